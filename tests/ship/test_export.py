"""`pcdarts export`: files that others can run, checked, and what a reader of the card finds."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from torch import Tensor

import pcdarts
from command_line import GENOTYPE, copy_of, done, error_line, refused, result_of, run_in, snapshot
from hub_server import hub_server
from pcdarts.config.configs import TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.data.sources import load_data
from pcdarts.jobs.test import restored
from pcdarts.learn.by_class import read_by_class
from pcdarts.run.run_folder import RunFolder
from pcdarts.ship.export import model_card
from pcdarts.ship.formats import BLUEPRINT

ALWAYS = {"README.md", "config.json", "cell_normal.svg", "cell_reduce.svg"}


@pytest.fixture
def run(tmp_path: Path, finished_train: Path) -> Path:
    return copy_of(finished_train, tmp_path / "run")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def images_and_logits(run: Path, count: int) -> tuple[Tensor, Tensor]:
    """Test images of a run as pixels in [0, 1], and what its network makes of them."""
    folder = RunFolder(run)
    learnt = restored(resolve(TrainConfig, file=folder.config), folder)
    pixels = load_data("fashion-mini", image_size=8).test.pixels[:count] / 255
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (learnt.mean, learnt.std))
    with torch.no_grad():
        return pixels, learnt.network.eval()((pixels - mean) / std)


def test_safetensors_rebuild_the_network_without_its_run(tmp_path: Path, run: Path) -> None:
    printed = done(tmp_path, "export", "run")
    assert "\nrun/export/model.safetensors: 0.0" in printed
    assert "logits of 32 test images within " in printed
    assert names(run / "export") == {*ALWAYS, "model.safetensors"}
    pixels, logits = images_and_logits(run, 3)
    classifier = pcdarts.load_classifier(run / "export")
    assert torch.allclose(classifier(pixels), logits, atol=1e-5)
    assert classifier.network.genotype == GENOTYPE
    assert classifier.network.auxiliary_head is None
    assert classifier.blueprint.classes[1] == "Trouser"


def test_timm_builds_the_network_from_the_folder_alone(tmp_path: Path, run: Path) -> None:
    timm: Any = pytest.importorskip("timm")
    import pcdarts.timm_models

    done(tmp_path, "export", "run")
    pixels, logits = images_and_logits(run, 3)
    names = pcdarts.load_classifier(run / "export").blueprint.classes
    made = (
        timm.create_model(f"local-dir:{run / 'export'}", pretrained=True),
        pcdarts.timm_models.from_export(run / "export"),
    )
    for model in made:
        reading = timm.data.resolve_model_data_config(model)
        normalized = (pixels - torch.tensor(reading["mean"])) / torch.tensor(reading["std"])
        torch.testing.assert_close(model.eval()(normalized), logits, atol=1e-5, rtol=0)
        assert tuple(model.pretrained_cfg["label_names"]) == names


def test_onnx_runs_with_any_batch(tmp_path: Path, run: Path) -> None:
    import onnxruntime  # type: ignore[import-untyped]

    assert "logits of 32 test images within " in done(
        tmp_path, "export", "run", "--format", "onnx", "--out", "elsewhere"
    )
    assert names(tmp_path / "elsewhere") == {*ALWAYS, "model.onnx"}
    assert b".py" not in (tmp_path / "elsewhere" / "model.onnx").read_bytes()  # no path of this machine
    session = onnxruntime.InferenceSession(tmp_path / "elsewhere" / "model.onnx")
    assert session.get_inputs()[0].shape == ["batch", 1, 8, 8]
    assert json.loads(session.get_modelmeta().custom_metadata_map[BLUEPRINT])["classes"][1] == "Trouser"
    for count in (1, 5):
        pixels, logits = images_and_logits(run, count)
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        assert torch.allclose(torch.from_numpy(found), logits, atol=1e-5)


def test_an_exported_program_runs_with_any_batch(tmp_path: Path, run: Path) -> None:
    done(tmp_path, "export", "run")
    card = (run / "export" / "README.md").read_text()
    done(tmp_path, "export", "run", "--format", "torch-export")
    assert names(run / "export") == {*ALWAYS, "model.safetensors", "model.pt2"}
    with ZipFile(run / "export" / "model.pt2") as files:
        graph = files.read("model/models/model.json")
        assert graph.count(b"conv2d") > 10
        assert b".py" not in graph  # no path of this machine
    program = torch.export.load(run / "export" / "model.pt2").module()
    for count in (1, 5):
        pixels, logits = images_and_logits(run, count)
        assert torch.allclose(program(pixels), logits, atol=1e-5)
    both = (run / "export" / "README.md").read_text()
    assert both != card
    assert "| `model.safetensors` |" in both
    assert "| `model.pt2` |" in both


def test_the_card_says_what_the_network_is_bad_at_and_no_image_leaves_the_run(tmp_path: Path, run: Path) -> None:
    from huggingface_hub import ModelCard

    details = read_by_class(result_of(run)["test_details"])
    assert details is not None
    assert (run / "mistakes.png").exists()
    done(tmp_path, "export", "run")
    assert names(run / "export") == {*ALWAYS, "model.safetensors"}
    card = ModelCard.load(run / "export" / "README.md")
    assert "\n".join(["## What it is bad at", ""]) in card.text
    assert "\n".join(["```text", *details.lines(), "```"]) in card.text
    assert card.data.eval_results is not None
    assert card.data.eval_results[1].metric_value == pytest.approx(details.macro_f1 / 100, abs=1e-4)


def test_a_run_of_an_earlier_version_has_a_card_without_it(tmp_path: Path, run: Path) -> None:
    result = result_of(run)
    del result["test_details"]
    (run / "result.json").write_text(json.dumps(result))
    done(tmp_path, "export", "run")
    card = (run / "export" / "README.md").read_text()
    assert "bad at" not in card
    assert "macro F1" not in card
    assert "test_details" not in json.loads((run / "export" / "config.json").read_text())


def test_the_card_names_the_epoch_that_validation_images_have_chosen(tmp_path: Path, run: Path) -> None:
    more = {"done": 9, "epochs": 5}
    (run / "result.json").write_text(json.dumps({**result_of(run), "best_epoch": 3, "more_epochs": more}))
    done(tmp_path, "export", "run")
    card = (run / "export" / "README.md").read_text()
    assert " of 100 images, after epoch 3, chosen on validation images; one training" in card
    assert "after the last epoch" not in card
    assert "\nThe training had 9 epochs instead of 5, for which there was time.\n" in card


def test_the_card_counts_validation_images_apart_and_an_older_folder_takes_further_formats(
    tmp_path: Path, run: Path
) -> None:
    done(tmp_path, "export", "run")
    settings = json.loads((run / "export" / "config.json").read_text())
    counted = {"training_images": 1255, "validation_images": 45}
    assert (
        "It learnt from 1,255 training images of `fashion-mini`; another 45, from which it did not learn, are its "
        in (model_card(settings | {"data": counted}))
    )
    older = {name: value for name, value in settings.items() if name != "data"}
    assert "It learnt from training images of `fashion-mini`, at most 40 of them.\n" in model_card(older)
    (run / "export" / "config.json").write_text(json.dumps(older))
    assert "model.pt2" in done(tmp_path, "export", "run", "--format", "torch-export")


def test_the_card_says_what_the_run_measured_and_the_hub_can_read_it(tmp_path: Path, run: Path) -> None:
    from huggingface_hub import ModelCard

    done(tmp_path, "export", "run")
    card = ModelCard.load(run / "export" / "README.md")
    result = result_of(run)
    assert card.data.library_name == "pcdarts"
    assert card.data.datasets == ["zalando-datasets/fashion_mnist"]
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].metric_value == pytest.approx(1 - result["test_top1_error"] / 100, abs=1e-4)
    for claim in (
        f"**{result['test_top1_error']:.2f} %** of 100 images",
        f"{result['params']:,}",
        f"{result['mult_adds']:,}",
        GENOTYPE.to_text(),
        "![normal cell](cell_normal.svg)",
        "learnt from 40 training images of `fashion-mini`; there were no validation images.",
        'pcdarts.load_classifier("model.safetensors")',
    ):
        assert claim in card.text
    assert "model.onnx" not in card.text
    settings = json.loads((run / "export" / "config.json").read_text())
    assert settings["counts"] == {"params": result["params"], "mult_adds": result["mult_adds"]}
    assert str(tmp_path) not in (run / "export" / "README.md").read_text() + json.dumps(settings)


def test_the_python_of_the_card_runs(tmp_path: Path, run: Path, grey_images: Path) -> None:
    done(tmp_path, "export", "run")
    shutil.copy(grey_images / "ant" / "1.png", run / "export" / "photo.jpg")
    blocks = (run / "export" / "README.md").read_text().split("```python\n")[1:]
    found: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(run / "export")
    try:
        exec("".join(block.split("```")[0] for block in blocks).replace("print(", "answer = ("), found)
    finally:
        os.chdir(before)
    assert found["answer"] in found["classifier"].blueprint.classes
    assert json.loads(done(tmp_path, "predict", "run/export", "run/export/photo.jpg", "--top", "1", "--json")) == [
        {
            "image": "run/export/photo.jpg",
            "classes": [{"class": found["answer"], "probability": found["logits"].softmax(1).max().item()}],
        }
    ]


def test_nothing_is_overwritten(tmp_path: Path, run: Path, two_seeds: Path) -> None:
    done(tmp_path, "export", "run")
    assert refused(tmp_path, "export", "run") == (
        "run/export/model.safetensors exists already: remove it, or choose another folder with --out"
    )
    card = run / "export" / "README.md"
    card.write_text(card.read_text() + "\nMy own words.\n")
    edited = card.read_text()
    printed = done(tmp_path, "export", "run", "--format", "torch-export")
    assert "\nrun/export/README.md differs from what pcdarts wrote, and is kept as it is\n" in printed
    assert card.read_text() == edited
    message = refused(tmp_path, "export", str(two_seeds / "seed-1"), "--format", "torch-export", "--out", "run/export")
    assert "run/export/model.pt2 exists already" in message
    (run / "export" / "model.pt2").unlink()
    message = refused(tmp_path, "export", str(two_seeds / "seed-1"), "--format", "torch-export", "--out", "run/export")
    assert message == "run/export/config.json belongs to another network: choose another folder with --out"
    (run / "export" / "config.json").write_text("{}")
    assert "config.json was not written by pcdarts" in refused(tmp_path, "export", "run", "--format", "torch-export")


def test_a_file_that_fails_the_check_is_not_left_behind(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcdarts.ship.formats.TOLERANCE", -1.0)
    before = snapshot(tmp_path)
    ended = run_in(tmp_path, "export", "run")
    assert ended.code == 1
    assert error_line(ended).startswith("the exported model.safetensors differs from the network")
    assert snapshot(tmp_path) == before
    assert not (run / "export").exists()


def test_of_several_seeds_the_first_or_the_one_that_is_named(tmp_path: Path, two_seeds: Path) -> None:
    run = copy_of(two_seeds, tmp_path / "run")
    lines = done(tmp_path, "export", "run").splitlines()
    assert (lines[0], lines[-1][:31]) == ("of 2 seeds the first: run/seed-0", "run/export/model.safetensors: 0")
    assert "\nrun/seed-1/export/model.safetensors: " in done(tmp_path, "export", "run/seed-1")
    for seed, folder in ((0, run), (1, run / "seed-1")):
        settings = json.loads((folder / "export" / "config.json").read_text())
        assert settings["test"]["top1_error"] == result_of(run)["test_top1_errors"][seed]
        assert settings["training"]["seed"] == seed


def test_a_missing_library_is_one_line(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert refused(tmp_path, "export", "run", "--format", "onnx") == (
        "--format onnx needs onnxruntime: pip install 'pcdarts[onnx]'"
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refused(tmp_path, "export", "run", "--push", "me/net") == (
        "--push needs huggingface_hub: pip install 'pcdarts[hf]'"
    )


def test_what_is_no_finished_training_is_refused(tmp_path: Path, run: Path, finished_search: Path) -> None:
    assert "nowhere is not a run folder" in refused(tmp_path, "export", "nowhere")
    assert "configures the job search, not train" in refused(tmp_path, "export", str(finished_search))
    (run / "result.json").unlink()
    assert refused(tmp_path, "export", "run").startswith("run is not finished: finish it with --resume run")


def test_data_that_has_gone_can_be_named_anew(tmp_path: Path, colour_images: Path) -> None:
    shutil.copytree(colour_images, tmp_path / "images")
    train = "train --data folder --image-size 8 --channels 4 --num-cells 3 --batch-size 8 --epochs 1 --run run"
    genotype = ("--genotype", GENOTYPE.to_text())
    done(tmp_path, *train.split(), "--data-root", "images", *genotype)
    (tmp_path / "images").rename(tmp_path / "moved")
    assert "does not exist: check its path" in refused(tmp_path, "export", "run")
    done(tmp_path, "export", "run", "--data-root", "moved")
    assert pcdarts.load_classifier(tmp_path / "run" / "export").blueprint.classes == ("ant", "bee", "wasp")


def test_an_export_can_be_pushed_at_once_and_again(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_tests")
        lines = done(tmp_path, "export", "run", "--push", "me/net").splitlines()
        assert lines[3].startswith("run/export/model.safetensors: ")
        assert lines[4:] == ["uploading run/export", f"{server.address}/me/net"]
        assert set(server.files) == {*ALWAYS, "model.safetensors"}
        server.files.clear()
        assert done(tmp_path, "export", "run", "--push", "me/net").splitlines() == lines[4:]
        assert set(server.files) == {*ALWAYS, "model.safetensors"}
    ended = run_in(tmp_path, "export", "run", "--push", "me/net")  # the server has gone
    assert ended.code == 1
    assert error_line(ended).startswith("run/export cannot be uploaded to me/net (")
    message = refused(tmp_path, "export", "run", "--push", "not a name")
    assert "not a name is not a valid name of a repository" in message
