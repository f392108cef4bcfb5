"""Images of more than 8 bits from the command line: what training made of them, test, predict and exported files do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command_line import GENOTYPE, done, error_line, refused, result_of, run_in
from deep_images import save_deep
from pcdarts.config.configs import SearchConfig
from pcdarts.data.disk.image_folder import find_images
from pcdarts.jobs.outcome.evaluation import EvaluationNetwork, training_command
from pcdarts.network.classifier import load_classifier

TRAIN = ["train", "--genotype", GENOTYPE.to_text(), "--data", "folder", "--data-root", "sensor", "--no-auxiliary"]
TRAIN += ["--recipe", "fashion-mini", "--channels", "2", "--num-cells", "3", "--epochs", "1", "--batch-size", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12-bit images in files of 16 bits, the run that learnt them and its export; the same images in 8 bits."""
    place = tmp_path_factory.mktemp("deep")
    numbers = np.random.default_rng(0)
    for name, brightness in (("ant", 0.4), ("bee", 1.0)):
        for number in range(5):
            scene = brightness * numbers.random((9, 9))
            save_deep(place / "sensor" / name / f"{number}.png", np.rint(scene * 4095).astype(np.uint16))
            eight = np.rint(np.rint(scene * 4095) / 4095 * 255).astype(np.uint8)
            save_deep(place / "eight" / name / f"{number}.png", eight)
    printed = done(place, *TRAIN, "--run", "run")
    assert "10 of 10 images have more than 8 bits; their values 0 to 4095 become 0 to 255" in printed.splitlines()
    assert printed.splitlines()[1] in (place / "run" / "log.txt").read_text()
    done(place, "export", "run")
    return place


def test_an_image_of_12_bits_is_predicted_as_the_same_one_of_8(folder: Path) -> None:
    for source in ("run", "run/export"):
        deep, eight = (
            json.loads(done(folder, "predict", source, "--json", f"{name}/ant", f"{name}/bee"))
            for name in ("sensor", "eight")
        )
        assert [image["classes"] for image in deep] == [image["classes"] for image in eight]
        assert len(deep) == 10


def test_a_test_measures_what_the_training_did_on_the_images_of_either_kind(folder: Path) -> None:
    printed = done(folder, "test", "run")
    error = f"run: top-1 error {result_of(folder / 'run')['test_top1_error']:.2f} %"
    assert printed.splitlines()[2] == "10 of 10 images have more than 8 bits; their values 0 to 4095 become 0 to 255"
    assert f"{error} of 2 images (a fifth of each class" in printed
    for path in find_images(folder / "sensor").test.sources:  # the same images of 8 bits
        place = folder / "eight-tested" / "test" / path.parent.name
        place.mkdir(parents=True)
        shutil.copy(folder / "eight" / path.parent.name / path.name, place)
    printed = done(folder, "test", "run", "--data", "folder", "--data-root", "eight-tested")
    assert f"{error} of 2 images (the test set 'test')" in printed


def test_other_images_have_the_range_of_the_run_unless_another_one_is_given(folder: Path) -> None:
    for name in ("ant", "bee"):
        for number in range(2):
            values = np.random.default_rng(number).integers(0, 60_000, (9, 9), dtype=np.uint16)
            save_deep(folder / "other" / name / f"{number}.png", values)
    arguments = ("test", "run", "--data", "folder", "--data-root", "other")
    assert "4 images have values outside of the pixel range 0 to 4095, the first is" in refused(folder, *arguments)
    assert "values 0 to 65535 become 0 to 255" in done(folder, *arguments, "--pixel-range", "0", "65535")
    ended = run_in(folder, "predict", "run", "other/ant/0.png")
    assert ended.code == 2
    assert error_line(ended).startswith("cannot use 'other/ant/0.png': its values ")
    assert error_line(ended).endswith(" are not within the pixel range 0 to 4095")
    assert done(folder, "predict", "run", "other/ant/0.png", "--pixel-range", "0", "65535").startswith("other/ant")


def test_the_card_says_how_an_image_of_many_bits_becomes_one_of_8(folder: Path, tmp_path: Path) -> None:
    card = (folder / "run" / "export" / "README.md").read_text()
    assert "In images of more than 8 bits 0 is black and 4095 white." in card
    code = card.partition("made one of 8 bits first:\n\n```python\n")[2].partition("```")[0]
    shutil.copy(folder / "sensor" / "ant" / "0.png", tmp_path / "photo.tif")
    assert '"photo.tif"' in code
    found: dict[str, object] = {}
    from PIL import Image

    exec(code.replace('"photo.tif"', repr(str(tmp_path / "photo.tif"))), {"np": np, "Image": Image}, found)
    assert np.array_equal(np.asarray(found["image"]), np.asarray(Image.open(folder / "eight" / "ant" / "0.png")))
    assert load_classifier(folder / "run" / "export").blueprint.pixel_range == (0, 4095)


def test_a_network_that_has_seen_8_bits_alone_asks_what_is_black_and_white(folder: Path) -> None:
    done(folder, *TRAIN, "--data-root", "eight", "--run", "of-eight")
    line = refused(folder, "predict", "of-eight", "sensor/ant/0.png")
    assert "have more than 8 bits, and no pixel range says what is black and white (--pixel-range of" in line
    assert done(folder, "predict", "of-eight", "sensor/ant/0.png", "--pixel-range", "0", "4095").startswith("sensor/")


def test_a_given_range_is_kept_by_the_run_and_said_where_it_changes_nothing(folder: Path) -> None:
    printed = done(folder, *TRAIN, "--data-root", "eight", "--run", "given", "--pixel-range", "-1000", "3000")
    assert "no image has more than 8 bits: --pixel-range -1000 to 3000 changes nothing" in printed
    assert "pixel_range:\n- -1000.0\n- 3000.0\n" in (folder / "given" / "config.yaml").read_text()
    assert done(folder, "predict", "given", "eight/ant/0.png") != ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("3", "2"), "pixel_range is 3 2, but it must be the value of black and a larger one of white"),
        (("nan", "2"), "pixel_range is nan, but it must be a finite number"),
        (("a", "2"), "pixel_range is a, but it must be a number"),
    ],
)
def test_a_range_that_is_none_is_refused(folder: Path, values: tuple[str, str], words: str) -> None:
    assert refused(folder, *TRAIN, "--run", "never", "--pixel-range", *values) == words
    assert not (folder / "never").exists()


def test_a_data_set_without_files_takes_no_range(folder: Path) -> None:
    assert refused(folder, "search", "--pixel-range", "0", "4095").startswith("pixel_range is for images in files, but")


def test_a_search_names_its_range_in_the_command_that_comes_next() -> None:
    config = SearchConfig(data="folder", data_root=Path("sensor"), pixel_range=(0, 4095))
    network = EvaluationNetwork("cifar", 8, 5, num_classes=2, image_channels=1, image_size=9)
    assert " --pixel-range 0.0 4095.0" in training_command(Path("run"), config, network)
