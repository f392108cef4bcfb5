"""Pictures of detections: images side by side, with what is in them and what was found."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pcdarts.data.coco import CocoImages
from pcdarts.data.decode import warnings_settled
from pcdarts.errors import InputError
from pcdarts.run.files import write_bytes

TILE = 320
"""Pixels of the longer side of an image in the sheet."""


def draw_detections(
    images: CocoImages, detections: list[dict[str, Any]], path: Path, *, threshold: float, columns: int
) -> None:
    """Draw all `images` on one sheet, a PNG: objects in green, detections in orange with their class and score.

    Args:
        detections: as `average_precision` takes them; those of other images are not drawn.
        threshold: the least score that is drawn.
        columns: images in a row.

    Raises:
        InputError: no image, no column, or an image that cannot be read.
        RunError: the picture cannot be saved.
    """
    if len(images) < 1 or columns < 1:
        raise InputError(f"{len(images)} images in {columns} columns cannot be drawn: both must be 1 or more")
    found: dict[int, list[dict[str, Any]]] = {}
    for of_image in detections:
        found.setdefault(of_image["image_id"], []).append(of_image)
    rows = -(-len(images) // columns)
    sheet = torch.full((3, rows * TILE, min(columns, len(images)) * TILE), 255, dtype=torch.uint8)
    with warnings_settled():
        for index, image_id in enumerate(images.image_ids):
            tile = _tile(images, index, found.get(image_id, []), threshold)
            row, column = divmod(index, columns)
            top, left = row * TILE, column * TILE
            sheet[:, top : top + tile.shape[1], left : left + tile.shape[2]] = tile
    png = BytesIO()
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(png, "PNG")
    write_bytes(path, png.getvalue())


def _tile(images: CocoImages, index: int, found: list[dict[str, Any]], threshold: float) -> Tensor:
    """One image uint8 `[3, H, W]` with its boxes, H and W at most `TILE`."""
    from torchvision.transforms.v2.functional import pil_to_tensor  # type: ignore[import-untyped]  # slow to import

    image = images.read(index)
    scale = TILE / max(image.size)
    tile = pil_to_tensor(image.resize([max(1, round(side * scale)) for side in image.size]))
    tile = _with_boxes(tile, images.target(index)[0] * scale, "green", None)
    for of_image in found:
        boxes, scores, labels = (of_image[name].cpu() for name in ("boxes", "scores", "labels"))
        shown = scores >= threshold
        names = [
            f"{images.classes[label - 1]} {score:.2f}"
            for score, label in zip(scores[shown].tolist(), labels[shown].tolist(), strict=True)
        ]
        tile = _with_boxes(tile, boxes[shown].float() * scale, "orange", names)
    return tile


def _with_boxes(tile: Tensor, boxes: Tensor, colour: str, names: list[str] | None) -> Tensor:
    from torchvision.utils import draw_bounding_boxes  # type: ignore[import-untyped]

    height, width = tile.shape[1:]
    boxes = boxes.clamp(min=0).minimum(torch.tensor([width, height, width, height]) - 1)
    if not len(boxes):  # which torchvision warns about
        return tile
    return draw_bounding_boxes(tile, boxes, names, colors=colour, width=2)
