from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coco_set import box, write_set
from pcdarts.data.coco import CocoImages, load_coco_test
from pcdarts.errors import InputError
from pcdarts.jobs.draw_boxes import TILE, draw_detections

GREEN, ORANGE, RED, WHITE = (0, 128, 0), (255, 165, 0), (255, 0, 0), (255, 255, 255)


@pytest.fixture
def images(tmp_path: Path) -> CocoImages:
    """Three of 60x40 pixels; the first has one object, which is red."""
    write_set(tmp_path, "set", [[box(7, 30, 10, 20, 20)], [], []])
    return load_coco_test(tmp_path, "set", test_images=None, seed=0, on_bad_image="stop")


def detection(image_id: int, score: float) -> dict[str, Any]:
    box_ = torch.tensor([[3.0, 3.0, 20.0, 37.0]])
    return {"image_id": image_id, "boxes": box_, "scores": torch.tensor([score]), "labels": torch.tensor([1])}


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


def test_objects_are_green_where_they_are(images: CocoImages, tmp_path: Path) -> None:
    tile = drawn(images, [], tmp_path / "sheet.png")[:TILE, :TILE]
    rows, columns = np.nonzero((tile == GREEN).all(-1))
    scale = TILE / 60
    corners = [columns.min(), rows.min(), columns.max(), rows.max()]
    assert corners == pytest.approx([30 * scale, 10 * scale, 50 * scale, 30 * scale], abs=2)


def test_detections_are_orange_from_the_threshold_on(images: CocoImages, tmp_path: Path) -> None:
    sheet = drawn(images, [detection(2, 0.5), detection(3, 0.49), detection(77, 1.0)], tmp_path / "sheet.png")
    assert has(sheet[:TILE, TILE:], ORANGE)
    assert not has(sheet[:TILE, :TILE], ORANGE)
    assert not has(sheet[TILE:], ORANGE)


def test_boxes_that_reach_out_of_the_image_are_drawn_at_its_border(images: CocoImages, tmp_path: Path) -> None:
    wide = detection(1, 0.9) | {"boxes": torch.tensor([[-50.0, -50.0, 500.0, 500.0]])}
    tile = drawn(images.subset([0]), [wide], tmp_path / "sheet.png")
    assert tuple(tile[0, TILE // 2]) == ORANGE


@pytest.mark.parametrize(("count", "columns"), [(0, 2), (3, 0)])
def test_nothing_to_draw_is_refused(images: CocoImages, tmp_path: Path, count: int, columns: int) -> None:
    with pytest.raises(InputError, match="cannot be drawn"):
        drawn(images.subset(range(count)), [], tmp_path / "sheet.png", columns)
    assert not (tmp_path / "sheet.png").exists()
