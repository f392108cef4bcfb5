"""`pcdarts predict`: the classes of images, by a run or by what was exported from it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import done, error_line, refused, run_in
from pcdarts.data.sources import load_data


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, finished_train: Path) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    done(folder, "export", str(finished_train), "--out", "small")
    return folder / "small"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three test images of the embedded data, in a folder and one below it."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name, pixels in zip(("a", "b", "more/c"), load_data("fashion-mini").test.pixels, strict=False):
        Image.fromarray(pixels.squeeze().numpy()).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def test_a_run_and_its_export_say_the_same(tmp_path: Path, finished_train: Path, exported: Path, photos: Path) -> None:
    lines = done(tmp_path, "predict", str(finished_train), "photos/a.png", "photos/b.png", "--top", "2")
    assert [line.split(": ")[0] for line in lines.splitlines()] == ["photos/a.png", "photos/b.png"]
    assert all(line.count(" %") == 2 for line in lines.splitlines())
    for source in (exported, exported / "model.safetensors"):
        assert done(tmp_path, "predict", "--top", "2", str(source), "photos/a.png", "photos/b.png") == lines


def test_probabilities_are_sorted_and_those_of_all_classes_add_up(tmp_path: Path, exported: Path, photos: Path) -> None:
    (prediction,) = json.loads(done(tmp_path, "predict", str(exported), "photos/a.png", "--json", "--top", "99"))
    probabilities = [one["probability"] for one in prediction["classes"]]
    assert prediction["image"] == "photos/a.png"
    assert len({one["class"] for one in prediction["classes"]}) == 10
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities == sorted(probabilities, reverse=True)


def test_an_image_alone_and_among_others_has_the_same_classes(tmp_path: Path, exported: Path, photos: Path) -> None:
    folder = json.loads(done(tmp_path, "predict", str(exported), "photos", "--json"))
    assert [one["image"] for one in folder] == ["photos/a.png", "photos/b.png", "photos/more/c.png"]
    for one in folder:
        (alone,) = json.loads(done(tmp_path, "predict", str(exported), one["image"], "--json"))
        assert [best["class"] for best in alone["classes"]] == [best["class"] for best in one["classes"]]


def test_bad_images_are_named_after_the_others_have_been_predicted(
    tmp_path: Path, exported: Path, photos: Path
) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photos / "colour.png")
    ended = run_in(tmp_path, "predict", str(exported), "photos/broken.png", "photos/a.png", "photos/colour.png", "gone")
    assert ended.code == 2
    assert ended.out.startswith("photos/a.png: ")
    assert ended.out.count("\n") == 1
    assert ended.err.splitlines() == [
        "pcdarts: error: 3 of 4 images cannot be used:",
        "  'photos/broken.png': it is not an image of type AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF or WEBP",
        "  'photos/colour.png': it has colours, but the network knows greyscale images alone",
        "  'gone': No such file or directory",
    ]
    ended = run_in(tmp_path, "predict", str(exported), "gone", "photos/a.png", "--json")
    assert (ended.code, error_line(ended)) == (2, "cannot use 'gone': No such file or directory")
    assert [set(one) for one in json.loads(ended.out)] == [{"image", "error"}, {"image", "classes"}]


def test_of_several_seeds_the_first_is_asked(tmp_path: Path, two_seeds: Path, photos: Path) -> None:
    said, line = done(tmp_path, "predict", str(two_seeds), "photos/a.png").splitlines()
    assert said == f"of 2 seeds the first: {two_seeds}/seed-0"
    assert line in done(tmp_path, "predict", str(two_seeds / "seed-0"), "photos/a.png")


def test_a_greyscale_image_has_three_equal_colours_for_a_network_of_colours(
    tmp_path: Path, colour_images: Path, grey_images: Path
) -> None:
    train = "train --data folder --image-size 8 --channels 4 --num-cells 3 --batch-size 8 --epochs 1 --run run"
    done(tmp_path, *train.split(), "--genotype", "darts_v1", "--data-root", str(colour_images))
    shutil.copy(grey_images / "ant" / "1.png", tmp_path / "grey.png")
    Image.open(tmp_path / "grey.png").convert("RGB").save(tmp_path / "colour.png")
    grey, colour = done(tmp_path, "predict", "run", "grey.png", "colour.png").splitlines()
    assert grey.removeprefix("grey.png") == colour.removeprefix("colour.png")
    assert {"ant", "bee", "wasp"} <= set(grey.replace(",", "").split())


def test_what_cannot_predict_is_refused(tmp_path: Path, exported: Path, finished_search: Path, photos: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "model.safetensors does not exist" in refused(tmp_path, "predict", "empty", "photos")
    assert "configures the job search, not train" in refused(tmp_path, "predict", str(finished_search), "photos")
    assert "a.png is not a file of weights: give one" in refused(tmp_path, "predict", "photos/a.png", "photos")
    assert "there are no images below 'empty'" in refused(tmp_path, "predict", str(exported), "photos", "empty")
    assert refused(tmp_path, "predict", str(exported)) == "images is missing: image files, and folders of image files"


def test_the_first_argument_is_the_run_wherever_the_flags_stand(tmp_path: Path) -> None:
    orders = ["nowhere photos", "--device cpu nowhere --top 2 photos", "nowhere --json photos"]
    messages = {refused(tmp_path, "predict", *order.split()) for order in orders}
    assert len(messages) == 1
    assert "nowhere" in messages.pop()
