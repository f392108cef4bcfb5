"""The JSON of a COCO data set, checked: nothing in it is trusted."""

import json
import os
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.decode import quoted
from pcdarts.errors import InputError

MAX_SIDE = 2**16
"""Pixels; no image format that is read here has a longer side for less than gigabytes."""

MAX_ID = 2**53
"""What JSON can be trusted with: some readers take every number for a floating-point one."""

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects in images, as the file has them; the same number M of each."""

    boxes: NDArray[np.float64]
    """`[M, 4]`: left, top, width and height in pixels of the stored image."""
    labels: NDArray[np.int64]
    """1 to the number of classes."""
    areas: NDArray[np.float64]
    """Of the object, not of its box, in square pixels: what COCO's small, medium and large mean."""
    crowd: NDArray[np.bool_]
    """Whether it is a region full of objects rather than one."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> "Objects":
        return Objects(self.boxes[which], self.labels[which], self.areas[which], self.crowd[which])


@dataclass(frozen=True, eq=False)
class CocoFile:
    """What one annotation file says; images in its order, objects by image."""

    categories: dict[int, str]
    """Name by id, by ascending id."""
    image_ids: tuple[int, ...]
    names: tuple[str, ...]
    """Paths below the folder of images."""
    sizes: NDArray[np.int64]
    """`[N, 2]`: height and width in pixels."""
    counts: NDArray[np.int64]
    """`[N]`: objects in each image."""
    objects: Objects


def read_coco_file(path: Path, has_annotations: bool = True) -> CocoFile:
    """Read an annotation file.

    Raises:
        InputError: it cannot be read, is no JSON, or a record in it cannot be used: a field missing or of another kind,
            an id that is there twice, an object of an unknown image or category, a box that is none, a path that leads
            out of the folder.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"annotations {quoted(path)} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"annotations {quoted(path)} are no JSON ({error}): download or write them again") from None
    except MemoryError:
        raise InputError(f"there is not enough memory left to read the annotations {quoted(path)}") from None
    if not isinstance(content, dict):
        raise InputError(f"annotations {quoted(path)}: expected an object with images and categories")
    try:
        categories = dict(sorted(_by_id(_records(content, "categories", _category))))
        images = dict(_by_id(_records(content, "images", _image)))
        if not categories or not images:
            raise _Unusable(f"no {'images' if categories else 'categories'} in it")
        owners, objects = _objects(content, images, categories) if has_annotations else ([], NOTHING)
    except _Unusable as error:
        raise InputError(f"annotations {quoted(path)}: {error}: repair or remove that record") from None
    position = {image_id: place for place, image_id in enumerate(images)}
    places = np.array([position[owner] for owner in owners], dtype=np.int64)
    return CocoFile(
        categories,
        tuple(images),
        tuple(name for name, _, _ in images.values()),
        np.array([size for _, *size in images.values()], dtype=np.int64),
        np.bincount(places, minlength=len(images)),
        objects[places.argsort(kind="stable")],
    )


NOTHING = Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_))


class _Unusable(ValueError):
    """What is wrong with a record, without the name of the file."""


_NEEDED = object()


class _Record:
    """One object of a JSON list: its fields, checked when they are taken."""

    def __init__(self, where: str, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise _Unusable(f"{where} is {reprlib.repr(fields)}, but an object is expected")
        self._where, self._fields = where, fields

    def take(self, key: str, is_right: Callable[[Any], bool], expected: str, default: Any = _NEEDED) -> Any:
        value = self._fields.get(key, default)
        if value is _NEEDED:
            raise _Unusable(f"{self._where} has no {key}")
        if not is_right(value):
            raise _Unusable(f"{self._where} has {key} {reprlib.repr(value)}, but {expected} is expected")
        return value

    def take_id(self, key: str = "id") -> int:
        return self.take(key, lambda value: _is_integer(value) and abs(value) <= MAX_ID, "an integer of 53 bits")

    def take_known(self, key: str, known: dict[int, Any], what: str) -> int:
        value = self.take_id(key)
        if value not in known:
            raise _Unusable(f"{self._where} has {key} {value}, but there is no such {what}")
        return value


def _records(content: dict[str, Any], key: str, read: Callable[[_Record], Value]) -> Iterator[Value]:
    records = content.get(key)
    if not isinstance(records, list):
        raise _Unusable(f"it has no list of {key}")
    for index, fields in enumerate(records):
        yield read(_Record(f"{key}[{index}]", fields))


def _by_id(records: Iterator[tuple[int, Value]]) -> Iterator[tuple[int, Value]]:
    seen: set[int] = set()
    for record_id, value in records:
        if record_id in seen:
            raise _Unusable(f"the id {record_id} is there twice")
        seen.add(record_id)
        yield record_id, value


def _category(record: _Record) -> tuple[int, str]:
    return record.take_id(), record.take("name", lambda name: isinstance(name, str), "a text")


def _image(record: _Record) -> tuple[int, tuple[str, int, int]]:
    name = record.take("file_name", _is_inside, "a path below the folder of images")
    height, width = (
        record.take(side, lambda pixels: _is_integer(pixels) and 0 < pixels <= MAX_SIDE, f"1 to {MAX_SIDE} pixels")
        for side in ("height", "width")
    )
    return record.take_id(), (name, height, width)


def _objects(content: dict[str, Any], images: dict[int, Any], categories: dict[int, str]) -> tuple[list[int], Objects]:
    """The ids of the images in which the objects are, and the objects."""
    label_of = {category_id: label for label, category_id in enumerate(categories, start=1)}

    def read(record: _Record) -> tuple[int, tuple[int, int, list[float], float, bool]]:
        box = record.take("bbox", _is_box, "[left, top, width, height] in pixels")
        return record.take_id(), (
            record.take_known("image_id", images, "image"),
            label_of[record.take_known("category_id", categories, "category")],
            box,
            record.take("area", _is_area, "a number of square pixels", default=box[2] * box[3]),
            record.take("iscrowd", lambda value: value in (0, 1), "0 or 1", default=0),
        )

    found = [values for _, values in _by_id(_records(content, "annotations", read))]
    if not found:
        return [], NOTHING
    owners, labels, boxes, areas, crowd = zip(*found, strict=True)
    return list(owners), Objects(
        np.array(boxes, np.float64), np.array(labels, np.int64), np.array(areas, np.float64), np.array(crowd, np.bool_)
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any, below: float = 1e15) -> bool:
    """A finite one, so small that sums and products of it are."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < below


def _is_area(value: Any) -> bool:
    return _is_number(value, below=1e30) and value >= 0


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)) and min(value[2:]) >= 0


def _is_inside(name: Any) -> bool:
    """Whether a path stays in its folder, and is one that a file can have."""
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not path.drive and path != PurePosixPath()
