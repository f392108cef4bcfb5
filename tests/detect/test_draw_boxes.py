import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coco_set import box, write_set
from pcdarts.data.coco.coco import load_coco_test
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.detect.draw_boxes import BLACK, MOST_DRAWN, TILE, WHITE, class_colour, draw_detections
from pcdarts.errors import InputError, shown

RED = (255, 0, 0)


@pytest.fixture
def images(tmp_path: Path) -> CocoImages:
    """Three of 60x40 pixels; the first has one object, which is red."""
    write_set(tmp_path, "set", [[box(7, 30, 10, 20, 20)], [], []])
    return load_coco_test(tmp_path, "set", test_images=None, seed=0, on_bad_image="stop").test


def detection(image_id: int, *scores: float, label: int = 1) -> dict[str, Any]:
    """One for each score, one a little to the right of the other."""
    boxes = torch.tensor([[3.0 + place, 3.0, 20.0 + place, 37.0] for place in range(len(scores))])
    return {
        "image_id": image_id,
        "boxes": boxes,
        "scores": torch.tensor(scores),
        "labels": torch.full((len(scores),), label),
    }


def drawn(images: CocoImages, detections: list[dict[str, Any]], path: Path, columns: int = 2) -> Any:
    draw_detections(images, detections, path, threshold=0.5, columns=columns)
    return np.asarray(Image.open(path))


def has(picture: Any, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(-1).any())


def test_images_are_side_by_side_in_their_order(images: CocoImages, tmp_path: Path) -> None:
    sheet = drawn(images, [], tmp_path / "sheet.png")
    assert sheet.shape == (2 * TILE, 2 * TILE, 3)
    assert has(sheet[:TILE, :TILE], RED)
    assert not has(sheet[:TILE, TILE:], RED)
    assert (sheet[TILE:, TILE:] == WHITE).all()
    assert drawn(images, [], tmp_path / "sheet.png", columns=9).shape == (TILE, 3 * TILE, 3)


def test_objects_are_white_on_black_where_they_are(images: CocoImages, tmp_path: Path) -> None:
    scale = TILE / 60
    tile = drawn(images, [], tmp_path / "sheet.png")[: int(40 * scale), :TILE]
    for colour in (WHITE, BLACK):
        rows, columns = np.nonzero((tile == colour).all(-1))
        corners = [columns.min(), rows.min(), columns.max(), rows.max()]
        assert corners == pytest.approx([30 * scale, 10 * scale, 50 * scale, 30 * scale], abs=2)


def test_detections_have_the_colour_of_their_class_from_the_threshold_on(images: CocoImages, tmp_path: Path) -> None:
    beside = detection(2, 0.6, label=3) | {"boxes": torch.tensor([[30.0, 10.0, 50.0, 37.0]])}
    found = [detection(2, 0.5), beside, detection(3, 0.49), detection(77, 1.0)]
    sheet = drawn(images, found, tmp_path / "sheet.png")
    assert has(sheet[:TILE, TILE:], class_colour(1))
    assert has(sheet[:TILE, TILE:], class_colour(3))
    assert not has(sheet[:TILE, TILE:], class_colour(2))
    for label in (1, 2, 3):
        assert not has(sheet[:TILE, :TILE], class_colour(label))
        assert not has(sheet[TILE:], class_colour(label))


def test_classes_differ_in_colour_from_each_other_and_from_objects() -> None:
    colours = [class_colour(label) for label in range(1, 91)]
    assert len(set(colours)) == 90
    for colour in colours:
        assert max(colour) - min(colour) > 100  # neither black, grey nor white
    for one, next_one in itertools.pairwise(colours):
        assert max(abs(a - b) for a, b in zip(one, next_one, strict=True)) > 100


def test_only_the_best_of_many_detections_are_drawn_and_the_others_counted(images: CocoImages, tmp_path: Path) -> None:
    best = [0.99 - place / 100 for place in range(MOST_DRAWN)]
    many = [detection(2, *best, label=2), detection(2, *[0.51] * 7, label=1)]
    few = [detection(2, *best, label=2)]
    path = tmp_path / "sheet.png"
    assert draw_detections(images, many, path, threshold=0.5, columns=2) == 7
    with_line = np.asarray(Image.open(path))
    assert draw_detections(images, few, path, threshold=0.5, columns=2) == 0
    without = np.asarray(Image.open(path))
    rows, _ = np.nonzero((with_line != without).any(-1))
    height = round(TILE * 40 / 60)
    assert height - 20 < rows.min() <= rows.max() < height  # the line on the picture alone: "7 more detections"


def test_of_many_objects_the_largest_are_drawn(tmp_path: Path) -> None:
    sides = [5, 20, *[6] * (MOST_DRAWN - 1)]
    objects = [box(7, 40 if side == 5 else 5, 5, side, side) for side in sides]
    write_set(tmp_path, "set", [objects])
    images = load_coco_test(tmp_path, "set", test_images=None, seed=0, on_bad_image="stop").test
    tile = drawn(images, [], tmp_path / "sheet.png")
    scale = TILE / 60
    assert has(tile[: int(12 * scale), : int(30 * scale)], WHITE)
    assert not has(tile[: int(12 * scale), int(35 * scale) :], WHITE)


def test_boxes_that_reach_out_of_the_image_are_drawn_at_its_border(images: CocoImages, tmp_path: Path) -> None:
    wide = detection(1, 0.9) | {"boxes": torch.tensor([[-50.0, -50.0, 500.0, 500.0]])}
    tile = drawn(images.subset([0]), [wide], tmp_path / "sheet.png")
    assert tuple(tile[0, TILE // 2]) == class_colour(1)


def test_a_box_without_an_area_is_drawn_as_a_line(images: CocoImages, tmp_path: Path) -> None:
    for box_ in ([5.0, 5.0, 5.0, 20.0], [20.0, 20.0, 5.0, 5.0]):
        found = detection(1, 0.9) | {"boxes": torch.tensor([box_])}
        assert has(drawn(images, [found], tmp_path / "sheet.png"), class_colour(1))


def test_no_name_is_written_over_that_of_a_better_detection(images: CocoImages, tmp_path: Path) -> None:
    over = drawn(images, [detection(2, 0.9, label=2), detection(2, 0.8, label=1)], tmp_path / "sheet.png")
    alone = drawn(images, [detection(2, 0.9, label=2)], tmp_path / "sheet.png")
    assert (over == alone).all()  # the box of the second one is just under that of the first


@pytest.mark.parametrize("name", ["", "x" * 300, "cat\n\0dog", "Straße", "猫", "\u202e"])
def test_classes_of_any_name_can_be_written(images: CocoImages, tmp_path: Path, name: str) -> None:
    named = replace(images, classes=(name,) * 3)
    assert has(drawn(named, [detection(1, 0.9)], tmp_path / "sheet.png"), class_colour(1))
    beside = tmp_path / "sheet-names.txt"
    assert beside.is_file() != name.isascii()
    assert name.isascii() or beside.read_text("utf-8") == f"class no. 1: {shown(name)}\n"


@pytest.mark.parametrize("size", [(3000, 2), (2, 3000), (1, 1)])
def test_images_of_any_shape_can_be_drawn(tmp_path: Path, size: tuple[int, int]) -> None:
    write_set(tmp_path, "set", [[box(7, 0, 0, *size)]], size=size)
    images = load_coco_test(tmp_path, "set", test_images=None, seed=0, on_bad_image="stop").test
    draw_detections(images, [detection(1, *[0.9] * 20)], tmp_path / "sheet.png", threshold=0.5, columns=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (TILE, TILE)


@pytest.mark.parametrize(("count", "columns"), [(0, 2), (3, 0)])
def test_nothing_to_draw_is_refused(images: CocoImages, tmp_path: Path, count: int, columns: int) -> None:
    with pytest.raises(InputError, match="cannot be drawn"):
        drawn(images.subset(range(count)), [], tmp_path / "sheet.png", columns)
    assert not (tmp_path / "sheet.png").exists()
