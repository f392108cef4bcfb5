"""Tiny data sets in COCO's format, written by the tests: coloured rectangles on a grey ground, boxed."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 7, "name": "red"}, {"id": 2, "name": "green"}, {"id": 90, "name": "blue"}]
"""In no order and with gaps, as categories may be: by id they are green, red and blue."""

COLOURS = {2: (0, 255, 0), 7: (255, 0, 0), 90: (0, 0, 255)}
GREY = 128


def box(category: int, left: float, top: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    return {"category_id": category, "bbox": [left, top, width, height], **more}


def write_set(
    root: Path,
    name: str,
    objects: list[list[dict[str, Any]]],
    *,
    size: tuple[int, int] = (60, 40),
    first_id: int = 1,
    kind: str = "instances",
    folder: str | None = None,
    change: Callable[[dict[str, Any]], object] = lambda content: None,
) -> Path:
    """Write a set of one image for each list of objects; `change` may do anything to the annotations before."""
    width, height = size
    images, annotations = [], []
    (root / (folder or name)).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for number, of_image in enumerate(objects, start=first_id):
        pixels = np.full((height, width, 3), GREY, dtype=np.uint8)
        for one in of_image:
            left, top, wide, high = (round(side) for side in one["bbox"])
            pixels[max(top, 0) : max(top + high, 0), max(left, 0) : max(left + wide, 0)] = COLOURS[one["category_id"]]
            area = one["bbox"][2] * one["bbox"][3]
            annotations.append({"id": len(annotations), "image_id": number, "area": area, "iscrowd": 0} | one)
        file_name = f"{number:04}.png"
        Image.fromarray(pixels).save(root / (folder or name) / file_name)
        images.append({"id": number, "file_name": file_name, "width": width, "height": height})
    content: dict[str, Any] = {"images": images, "categories": CATEGORIES}
    if kind == "instances":
        content["annotations"] = annotations
    content = deepcopy(content)  # the caller's, and every test's
    change(content)
    path = root / "annotations" / f"{kind}_{name}.json"
    path.write_text(json.dumps(content))
    return path
