"""`pcdarts export --format onnx-int8`: what is lost is measured, calibration sees training images alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import GENOTYPE, copy_of, done, refused, result_of, run_in, snapshot
from pcdarts.config.configs import ExportConfig
from pcdarts.data.sources import load_data
from pcdarts.ship.export import run_export
from pcdarts.ship.formats import BLUEPRINT
from pcdarts.ship.int8 import CALIBRATION_IMAGES, METHODS, LosesTooMuch, calibration_batches

DARK, BRIGHT = 150, 255


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, finished_train: Path) -> tuple[Path, str]:
    """A run exported as ONNX model and then as int8 model, and what the latter printed."""
    folder = tmp_path_factory.mktemp("int8")
    copy_of(finished_train, folder / "run")
    done(folder, "export", "run", "--format", "onnx")
    return folder / "run", done(folder, "export", "run", "--format", "onnx-int8", "--max-loss", "100")


def session_of(path: Path) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime.InferenceSession(path)


def record_of(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "export" / "config.json").read_text())["files"]["model-int8.onnx"]
    return record


def test_what_is_said_of_accuracy_is_what_the_files_give(exported: tuple[Path, str]) -> None:
    run, printed = exported
    test = load_data("fashion-mini", image_size=8, test_images=100).test
    found = {}
    for name in ("model.onnx", "model-int8.onnx"):
        (logits,) = session_of(run / "export" / name).run(None, {"pixels": test.pixels.numpy().astype("float32") / 255})
        found[name] = 100 * float((logits.argmax(1) == test.labels.numpy()).mean())
    said = record_of(run)["int8"]
    assert (said["float_accuracy"], said["int8_accuracy"]) == (found["model.onnx"], found["model-int8.onnx"])
    assert said["float_accuracy"] == pytest.approx(100 - result_of(run)["test_top1_error"])
    halves = (said["calibration_images"], said["deciding_images"])
    assert sum(halves) == 40
    assert (
        f"calibrated on {halves[0]} training images ({said['calibration']}, which {halves[1]} others decided)"
        in printed
    )
    claim = f"accuracy on 100 test images: float {found['model.onnx']:.2f} %, int8 {found['model-int8.onnx']:.2f} %, "
    assert f"\n{claim}" in printed
    card = (run / "export" / "README.md").read_text()
    assert f"| accuracy on 100 test images | {found['model.onnx']:.2f} % | {found['model-int8.onnx']:.2f} % |" in card
    assert "were not those that" not in card


def test_who_knows_only_the_card_gets_the_accuracy_of_both_files_from_images_in_a_folder(
    exported: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, test = exported[0], load_data("fashion-mini", image_size=8, test_images=100)
    card = (run / "export" / "README.md").read_text()
    blocks = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    of_image, of_float, of_int8 = (
        next(block for block in blocks if name in block) for name in ("photo.jpg", '"model.onnx"', '"model-int8.onnx"')
    )
    found: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    pixels = []
    for image in test.test.pixels.numpy():
        Image.fromarray(image[0]).save("photo.png")
        exec(of_image.replace("photo.jpg", "photo.png"), found)
        pixels.append(found["pixels"])
    monkeypatch.chdir(run / "export")
    found["pixels"] = np.concatenate(pixels)
    for block, accuracy in ((of_float, "float_accuracy"), (of_int8, "int8_accuracy")):
        exec(block.replace("print(", "answer = ("), found)
        named = [found["classes"][number] for number in found["logits"].argmax(1)]
        right = sum(one == test.classes[label] for one, label in zip(named, test.test.labels.tolist(), strict=True))
        assert right == pytest.approx(record_of(run)["int8"][accuracy])  # of 100 images
        assert found["answer"] == named[0]


def test_the_weights_have_8_bits_and_the_batch_any_size(exported: tuple[Path, str]) -> None:
    import onnx  # type: ignore[import-untyped]

    run, _ = exported
    model = onnx.load(run / "export" / "model-int8.onnx")
    weights = {one.name: one for one in model.graph.initializer}
    kernels = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    sources = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    assert len(kernels) > 10
    for kernel in kernels:
        integers, scales, _ = (weights[name] for name in sources[kernel].input)
        assert integers.data_type == onnx.TensorProto.INT8
        assert list(scales.dims) == [integers.dims[0]]  # one for each output channel
    session = session_of(run / "export" / "model-int8.onnx")
    assert session.get_inputs()[0].shape == ["batch", 1, 8, 8]
    assert json.loads(session.get_modelmeta().custom_metadata_map[BLUEPRINT])["classes"][1] == "Trouser"
    pixels = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    (together,), (alone,) = (session.run(None, {"pixels": some}) for some in (pixels, pixels[:1]))
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


def test_a_model_that_loses_too_much_is_refused_after_every_calibration_was_tried(
    tmp_path: Path, exported: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(exported[0], tmp_path / "run")
    (run / "export" / "model-int8.onnx").unlink()
    before = snapshot(tmp_path)
    config = ExportConfig(run=run, format="onnx-int8").model_copy(update={"max_loss": -101.0})
    with pytest.raises(
        LosesTooMuch, match=r"^the int8 model loses .* of 100 test images\), but at most -101 may be lost; "
    ) as refusal:
        run_export(config)
    known = record_of(exported[0])["int8"]
    found = refusal.value.found
    assert found["max_loss"] == -101
    assert [found[name] for name in ("images", "float_accuracy")] == [
        known[name] for name in ("images", "float_accuracy")
    ]
    assert 0 <= found["int8_accuracy"] <= 100
    assert snapshot(tmp_path) == before
    printed = capsys.readouterr().out
    for method in METHODS:
        assert f"points are lost on other training images with calibration by {method}\n" in printed


def test_calibration_sees_training_images_alone_also_streamed_ones_that_have_moved(tmp_path: Path) -> None:
    """The test images are brighter than all training images: integers calibrated on them would reach further."""
    numbers = np.random.default_rng(0)
    for set_name, brightest in (("train", DARK), ("test", BRIGHT)):
        for name in ("ant", "bee"):
            (tmp_path / "images" / set_name / name).mkdir(parents=True)
            for index in range(4):
                pixels = numbers.integers(0, brightest, (8, 8, 3), dtype=np.uint8, endpoint=True)
                pixels[0, 0] = brightest
                Image.fromarray(pixels).save(tmp_path / "images" / set_name / name / f"{index}.png")
    train = "train --data folder --data-root images --loading streaming --workers 0 --image-size 8 --channels 4"
    small = "--num-cells 3 --batch-size 8 --epochs 1 --run run --no-auxiliary"
    done(tmp_path, *train.split(), *small.split(), "--genotype", GENOTYPE.to_text())
    (tmp_path / "images").rename(tmp_path / "moved")
    export = ("export", "run", "--format", "onnx-int8", "--max-loss", "100")
    assert "does not exist: check its path" in refused(tmp_path, *export)
    assert "accuracy on 8 test images: float " in done(tmp_path, *export, "--data-root", "moved")
    assert {path.name for path in (tmp_path / "run" / "export").iterdir()} == {
        "README.md", "config.json", "cell_normal.svg", "cell_reduce.svg", "model-int8.onnx",
    }  # fmt: skip
    network = json.loads((tmp_path / "run" / "export" / "config.json").read_text())["network"]
    highest = max((DARK / 255 - mean) / std for mean, std in zip(network["mean"], network["std"], strict=True))
    assert largest_input(tmp_path / "run" / "export" / "model-int8.onnx") == pytest.approx(highest, rel=0.01)


def largest_input(path: Path) -> float:
    """The largest normalised pixel that an int8 model can tell from others."""
    import onnx

    model = onnx.load(path)
    values = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    scale, zero = (values[name] for name in first.input[1:])
    return float((255 - int(zero)) * scale)


def test_calibration_and_the_decision_use_different_images_from_the_whole_set() -> None:
    data = load_data("fashion-mini", image_size=8)
    parts = calibration_batches(data)
    seen = [np.concatenate([pixels for pixels, _ in part]).reshape(CALIBRATION_IMAGES, -1) for part in parts]
    train = data.train.pixels.flatten(1).float().div(255).numpy()
    places = [{int(np.abs(train - one).sum(1).argmin()) for one in some} for some in seen]
    assert not places[0] & places[1]
    assert {len(set(data.train.labels[sorted(some)].tolist())) for some in places} == {10}
    assert max(places[0]) - min(places[0]) > 5900


def test_a_file_of_weights_has_no_training_images(tmp_path: Path, exported: tuple[Path, str]) -> None:
    shutil.copy(exported[0] / "checkpoint.pt", tmp_path / "weights.pt")
    assert refused(tmp_path, "export", "weights.pt", "--format", "onnx-int8") == (
        "--format onnx-int8 needs training images, and weights.pt has none: export a run, or use --format onnx"
    )


def test_a_loss_is_for_int8_alone(tmp_path: Path) -> None:
    message = refused(tmp_path, "export", "run", "--format", "onnx", "--max-loss", "2")
    assert message == "max_loss is for format onnx-int8, not for onnx: drop it"
    ended = run_in(tmp_path, "export", "run", "--format", "onnx-int8", "--max-loss", "-1")
    assert (ended.code, "max_loss is -1, but it must be at least 0" in ended.err) == (2, True)
