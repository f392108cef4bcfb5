"""Pictures of detections: images side by side, with the known objects and the detections drawn in."""

import colorsys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.disk.decode import strict_warnings
from pcdarts.errors import InputError
from pcdarts.learn.contact_sheet import drawable, write_names
from pcdarts.run.whole_files import write_bytes

TILE = 320
"""The longer side of an image on the sheet, in pixels."""

MOST_DRAWN = 15
"""The most detections, and the most objects, drawn in one image: more would hide the image and each other."""

_NAME_LENGTH = 20
_FONT_SIZE = 11
_GOLDEN = 0.618034
"""The step around the colour circle from one class to the next: neighbours differ, and hues do not repeat."""

Box = Sequence[float]
"""Left, top, right, bottom."""
Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)


def draw_detections(
    images: CocoImages, detections: list[dict[str, Any]], path: Path, *, threshold: float, columns: int
) -> int:
    """Draw all `images` on one PNG sheet: objects in white, detections in the colour of their class with its name.

    In each image the `MOST_DRAWN` best detections and the `MOST_DRAWN` largest objects are drawn; a line at its bottom
    counts the others. A class whose name has letters that the font lacks is a number that a file beside it explains.
    A name that would cover the name of a better detection is left out.

    Args:
        detections: as described in `average_precision`; those of other images are not drawn.
        threshold: the lowest score that is drawn.
        columns: images per row.

    Returns:
        How many detections with at least that score are not drawn.

    Raises:
        InputError: no image, no column, or an image that cannot be read.
        RunError: the picture cannot be saved.
    """
    if len(images) < 1 or columns < 1:
        raise InputError(f"{len(images)} images in {columns} columns cannot be drawn: both must be 1 or more")
    found: dict[int, list[_Found]] = {}
    for of_image in detections:
        boxes, scores, labels = (of_image[name].tolist() for name in ("boxes", "scores", "labels"))
        of_it = found.setdefault(of_image["image_id"], [])
        of_it += [one for one in zip(scores, labels, boxes, strict=True) if one[0] >= threshold]
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (min(columns, len(images)) * TILE, rows * TILE), WHITE)
    undrawn = 0
    with strict_warnings():
        for index, image_id in enumerate(images.image_ids):
            of_it = sorted(found.get(image_id, []), key=lambda one: -one[0])
            undrawn += len(of_it[MOST_DRAWN:])
            row, column = divmod(index, columns)
            sheet.paste(_tile(images, index, of_it), (column * TILE, row * TILE))
    png = BytesIO()
    sheet.save(png, "PNG")
    write_bytes(path, png.getvalue())
    labels = {label for of_it in found.values() for _, label, _ in of_it}
    names = {f"class no. {label}": images.classes[label - 1] for label in sorted(labels)}
    write_names(path, {label: name for label, name in names.items() if not name.isascii()})
    return undrawn


_Found = tuple[float, int, Box]
"""Score, label and box in pixels of the stored image."""


def class_colour(label: int) -> Colour:
    """The colour of a class, the same in every picture, and neither black, grey nor white."""
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1, 0.9, (1.0, 0.75)[label // 2 % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def _tile(images: CocoImages, index: int, found: list[_Found]) -> Image.Image:
    """One image with its boxes, no side longer than `TILE`; `found` in descending order of scores."""
    image = images.read(index)
    scale = TILE / max(image.size)
    tile = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw = ImageDraw.Draw(tile)
    objects = images.target(index)[0]
    largest = (objects[:, 2:] - objects[:, :2]).prod(dim=1).argsort(descending=True, stable=True)
    for box in objects[largest[:MOST_DRAWN]].tolist():
        box = _on_tile(box, scale, tile)
        draw.rectangle(box, outline=BLACK, width=3)
        draw.rectangle(
            [box[0] + 1, box[1] + 1, max(box[0], box[2] - 2) + 1, max(box[1], box[3] - 2) + 1], outline=WHITE
        )
    drawn = [(_on_tile(box, scale, tile), score, label) for score, label, box in found[:MOST_DRAWN]]
    for box, _, label in reversed(drawn):  # so that the best is on top
        draw.rectangle(box, outline=class_colour(label), width=2)
    left_out = [(len(found) - MOST_DRAWN, "detections"), (len(objects) - MOST_DRAWN, "objects")]
    lines = [f"{count} more {what}" for count, what in left_out if count > 0]
    texts = [(", ".join(lines), (0.0, float(tile.height)), BLACK)] if lines else []
    for box, score, label in drawn:
        name = drawable(images.classes[label - 1], f"class no. {label}", _NAME_LENGTH)
        text = f"{name} {score:.2f}"
        texts.append((text, (box[0], box[1] - _FONT_SIZE - 3), class_colour(label)))
    taken: list[Box] = []
    for text, corner, ground in texts:
        _write(draw, text, corner, ground, taken)
    return tile


def _on_tile(box: Box, scale: float, tile: Image.Image) -> list[float]:
    limits = [tile.width - 1, tile.height - 1] * 2
    left, top, right, bottom = (min(max(side * scale, 0), limit) for side, limit in zip(box, limits, strict=True))
    return [left, top, max(left, right), max(top, bottom)]


def _write(draw: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], ground: Colour, taken: list[Box]) -> None:
    """Write `text` on a `ground` colour, with its top left at `corner` or as near as the image allows.

    Does nothing if it would overlap a box in `taken`; otherwise adds its own box there.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right + 2, bottom + 2
    x, y = (max(0, min(corner[axis], draw.im.size[axis] - (width, height)[axis])) for axis in (0, 1))
    if any(x < box[2] and box[0] < x + width and y < box[3] and box[1] < y + height for box in taken):
        return
    taken.append((x, y, x + width, y + height))
    draw.rectangle(taken[-1], fill=ground)
    light = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2] > 128
    draw.text((x + 1, y), text, fill=BLACK if light else WHITE, font=font)
