"""The sheet of the surest mistakes: which images are on it, and names of any kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import copy_of
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import Images
from pcdarts.data.sources import load_data
from pcdarts.learn.contact_sheet import MOST, draw_mistakes, drawable
from pcdarts.learn.measure import Measured

NAMES = ["ant", "靴とサンダル", "x" * 300, "a\nb\x1b[31m\udcff", "", "Grüße"]


def all_wrong(images: Images | StreamedImages, classes: int) -> Measured:
    """The first image is the surest mistake."""
    count, wrong = len(images), (images.labels + 1) % classes
    order, among = torch.arange(count), torch.zeros(count, dtype=torch.bool)
    return Measured(classes, order, images.labels, wrong, 1 - order.double() / (count + 1), among)


def grey(shades: list[int], side: int = 8) -> Images:
    """Images of one shade each."""
    pixels = torch.tensor(shades, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, side, side).clone()
    return Images(pixels, torch.arange(len(shades)) % len(NAMES))


def test_the_surest_mistakes_are_drawn_row_by_row_in_their_colours(tmp_path: Path) -> None:
    images = grey([10 + index for index in range(40)])
    assert draw_mistakes(tmp_path / "sheet.png", images, all_wrong(images, len(NAMES)), NAMES) == MOST
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    flat = (sheet == sheet[:, :, :1]).all(axis=2)
    seen = {shade: int((flat & (sheet[:, :, 0] == shade)).sum()) for shade in range(10, 50)}
    assert all(seen[10 + index] >= 128 * 128 for index in range(MOST))
    assert all(seen[10 + index] < 128 * 128 for index in range(MOST, 40))


@pytest.mark.parametrize("side", [8, 28, 100, 128, 300])
def test_images_of_any_size_and_names_of_any_kind_make_a_sheet(tmp_path: Path, side: int) -> None:
    images = grey([100] * len(NAMES), side)
    assert draw_mistakes(tmp_path / "sheet.png", images, all_wrong(images, len(NAMES)), NAMES) == len(NAMES)
    sheet = Image.open(tmp_path / "sheet.png")
    sheet.load()
    assert sheet.size[0] < 1000


def test_names_are_written_as_they_are_or_as_the_number_of_their_class() -> None:
    said = [drawable(name, f"class no. {number}") for number, name in enumerate(NAMES, 1)]
    assert said == ["ant", "class no. 2", "x" * 77 + "...", "class no. 4", "''", "class no. 6"]
    assert drawable("Pullóver à côté", "image 1") == "image 1"  # without accents it would be another file


def test_names_that_cannot_be_drawn_are_in_a_file_beside_the_sheet(colour_images: Path, tmp_path: Path) -> None:
    root = copy_of(colour_images, tmp_path / "images")
    (root / "bee").rename(root / "猫 жи")
    for image in (root / "ant").iterdir():
        image.rename(image.with_name(f"bild ä{image.name}"))
    data = load_data("folder", root=root, image_size=16)
    sheet = tmp_path / "sheet.png"
    draw_mistakes(sheet, data.test, all_wrong(data.test, 3), data.classes, data.test_sources)
    lines = set((tmp_path / "sheet-names.txt").read_text("utf-8").splitlines())
    assert data.test_sources is not None
    files = [Path(str(data.test_sources[index])) for index in range(len(data.test))]
    ants = {f"image {index}: {file}" for index, file in enumerate(files) if file.parent.name == "ant"}
    assert lines == ants | {"class no. 3: 猫 жи"}
    assert all(file.is_file() for file in files)
    draw_mistakes(sheet, data.test, all_wrong(data.test, 3), ["a", "b", "c"])
    assert not (tmp_path / "sheet-names.txt").exists()


def test_without_a_mistake_there_is_no_sheet(tmp_path: Path) -> None:
    images = grey([1, 2, 3])
    right = Measured(6, torch.arange(3), images.labels, images.labels, torch.ones(3).double(), torch.ones(3).bool())
    assert draw_mistakes(tmp_path / "sheet.png", images, right, NAMES) == 0
    assert not (tmp_path / "sheet.png").exists()


def test_a_streamed_image_that_is_gone_by_now_is_left_out(colour_images: Path, tmp_path: Path) -> None:
    data = load_data("folder", root=copy_of(colour_images, tmp_path / "images"), image_size=16, loading="streaming")
    assert isinstance(data.test, StreamedImages)
    assert data.test_sources is not None
    Path(str(data.test_sources[1])).unlink()
    measured = all_wrong(data.test, data.num_classes)
    drawn = draw_mistakes(tmp_path / "sheet.png", data.test, measured, data.classes, data.test_sources)
    assert drawn == len(data.test) - 1
    assert not data.test.skipped  # what the job has skipped is told elsewhere


@pytest.mark.parametrize("loading", ["resident", "streaming"])
@pytest.mark.parametrize("to_measure", [False, True])
def test_the_files_of_test_images_are_known_in_their_order(
    colour_images: Path, tmp_path: Path, loading: str, to_measure: bool
) -> None:
    root = copy_of(colour_images, tmp_path / "images")
    options = {"root": root, "image_size": 16, "on_bad_image": "skip", "to_measure": to_measure}
    (root / "ant" / "1.png").write_bytes(b"no image")
    data = load_data("folder", **options, loading=loading)  # type: ignore[arg-type]
    assert data.test_sources is not None
    assert len(data.test_sources) == len(data.test)
    names = [Path(str(data.test_sources[index])).parent.name for index in range(len(data.test))]
    assert names == [data.classes[label] for label in data.test.labels.tolist()]
