"""The JSON of a COCO data set, checked: nothing in it is trusted."""

import json
import os
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.disk.decode import quoted
from pcdarts.errors import InputError

MAX_SIDE = 2**16
"""Pixels; no image format that is read here has a longer side for less than gigabytes."""

MAX_ID = 2**53
"""What JSON can be trusted with: some readers take every number for a floating-point one."""

_POLYGON_NUMBERS = 6
"""x and y of three corners, the fewest that a polygon has."""

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects in images, as the file has them; the same number M of each."""

    boxes: NDArray[np.float64]
    """`[M, 4]`: left, top, width and height in pixels of the stored image, whether or not that makes sense."""
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
    heading: int | None
    """The id of a category of which there is no object and which all others name as their supercategory, if any."""
    image_ids: tuple[int, ...]
    names: tuple[str, ...]
    """Paths below the folder of images."""
    sizes: NDArray[np.int64]
    """`[N, 2]`: height and width in pixels; 0 where the file does not say."""
    counts: NDArray[np.int64]
    """`[N]`: objects in each image."""
    objects: Objects
    has_annotations: bool
    """Whether the file has a list of objects, be it empty."""
    from_polygons: int
    """Objects without a box, whose box is that around their polygon."""
    without_box: int
    """Objects that were left out: they have neither a box nor a polygon."""


def read_coco_file(path: Path, needs_objects: bool = True) -> CocoFile:
    """Read an annotation file.

    Ids may be written as 1, 1.0 or "1". Those of annotations are not looked at: nothing needs them.

    Args:
        needs_objects: refuse a file without a list of annotations, as those of test sets may be.

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
        named = dict(sorted(_by_id(_records(content, "categories", _category))))
        categories = {category_id: name for category_id, (name, _) in named.items()}
        images = dict(_by_id(_records(content, "images", _image)))
        if not categories or not images:
            raise _Unusable(f"no {'images' if categories else 'categories'} in it")
        has_annotations = needs_objects or content.get("annotations") is not None
        found = _objects(content, images, categories) if has_annotations else _Found()
    except _Unusable as error:
        raise InputError(f"annotations {quoted(path)}: {error}: repair or remove that record") from None
    position = {image_id: place for place, image_id in enumerate(images)}
    places = np.array([position[owner] for owner in found.owners], dtype=np.int64)
    objects = found.objects()
    return CocoFile(
        categories,
        _heading(named, objects.labels),
        tuple(images),
        tuple(name for name, _, _ in images.values()),
        np.array([size for _, *size in images.values()], dtype=np.int64),
        np.bincount(places, minlength=len(images)),
        objects[places.argsort(kind="stable")],
        has_annotations,
        found.from_polygons,
        found.without_box,
    )


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
        """The value of a field; a `default` is for one that is missing or null."""
        value = self._fields.get(key, _NEEDED)
        if default is not _NEEDED and (value is _NEEDED or value is None):
            return default
        if value is _NEEDED:
            raise _Unusable(f"{self._where} has no {key}")
        if not is_right(value):
            raise _Unusable(f"{self._where} has {key} {reprlib.repr(value)}, but {expected} is expected")
        return value

    def take_whole(self, key: str, low: int, high: int, expected: str, default: Any = _NEEDED) -> int:
        """An integer within limits, which may be written as 1, 1.0 or "1"."""

        def is_right(value: Any) -> bool:
            whole = _whole(value)
            return whole is not None and low <= whole <= high

        return int(self.take(key, is_right, expected, default))

    def take_id(self, key: str = "id") -> int:
        return self.take_whole(key, -MAX_ID, MAX_ID, "a whole number of at most 53 bits")

    def take_known(self, key: str, known: dict[int, Any], what: str) -> int:
        value = self.take_id(key)
        if value not in known:
            raise _Unusable(f"{self._where} has {key} {value}, but there is no such {what}")
        return value

    def take_pixels(self, key: str) -> int:
        """A side of an image; 0 where the record does not say."""
        return self.take_whole(key, 0, MAX_SIDE, f"1 to {MAX_SIDE} pixels", 0)

    def take_box(self) -> list[float] | None:
        """None where there is none, which some tools write as an empty list."""
        box: list[float] = self.take("bbox", _is_box, "[left, top, width, height] in pixels", [])
        return box or None

    def box_around_polygon(self) -> list[float] | None:
        """None where there is no polygon."""
        polygons = self._fields.get("segmentation")
        if not isinstance(polygons, list):
            return None
        if not any(isinstance(part, list) for part in polygons):  # some tools do not nest the only one
            polygons = [polygons]
        if not all(map(_is_polygon, polygons)):
            return None
        x, y = ([number for part in polygons for number in part[start::2]] for start in (0, 1))
        return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


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


def _category(record: _Record) -> tuple[int, tuple[str, str | None]]:
    """An id; the name and that of the supercategory, if there is one."""
    name = record.take("name", lambda name: isinstance(name, str), "a text")
    supercategory = record.take("supercategory", lambda _: True, "a text", None)
    return record.take_id(), (name, supercategory if isinstance(supercategory, str) else None)


def _heading(named: dict[int, tuple[str, str | None]], labels: NDArray[np.int64]) -> int | None:
    """See `CocoFile`; `labels` are those of the objects."""
    used = {list(named)[label - 1] for label in np.unique(labels).tolist()}
    for category_id, (name, _) in named.items():
        others = {supercategory for other_id, (_, supercategory) in named.items() if other_id != category_id}
        if others == {name} and category_id not in used:
            return category_id
    return None


def _image(record: _Record) -> tuple[int, tuple[str, int, int]]:
    name = record.take("file_name", _is_inside, "a path below the folder of images")
    height, width = record.take_pixels("height"), record.take_pixels("width")
    return record.take_id(), (name, height, width) if height and width else (name, 0, 0)


@dataclass
class _Found:
    """The objects of a file while they are read."""

    owners: list[int] = field(default_factory=list)
    """The ids of the images in which they are."""
    labels: list[int] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    from_polygons: int = 0
    without_box: int = 0

    def objects(self) -> Objects:
        return Objects(
            np.array(self.boxes, np.float64).reshape(-1, 4),
            np.array(self.labels, np.int64),
            np.array(self.areas, np.float64),
            np.array(self.crowd, np.bool_),
        )


def _objects(content: dict[str, Any], images: dict[int, Any], categories: dict[int, str]) -> _Found:
    label_of = {category_id: label for label, category_id in enumerate(categories, start=1)}
    found = _Found()

    def read(record: _Record) -> None:
        owner = record.take_known("image_id", images, "image")
        label = label_of[record.take_known("category_id", categories, "category")]
        box = record.take_box()
        if box is None:
            box = record.box_around_polygon()
            if box is None:
                found.without_box += 1
                return
            found.from_polygons += 1
        is_turned = min(box[2:]) < 0  # and so may its area be: it has none
        of_box = 0 if is_turned else box[2] * box[3]
        found.owners.append(owner)
        found.labels.append(label)
        found.boxes.append(box)
        found.areas.append(0 if is_turned else record.take("area", _is_area, "a number of square pixels", of_box))
        found.crowd.append(record.take("iscrowd", lambda value: value in (0, 1), "0 or 1", 0))

    for _ in _records(content, "annotations", read):
        pass
    return found


def _whole(value: Any) -> int | None:
    """An integer, if the value is one or is written as 1.0 or "1"."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID)):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: Any, below: float = 1e15) -> bool:
    """A finite one, so small that sums and products of it are."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < below


def _is_area(value: Any) -> bool:
    return _is_number(value, below=1e30) and value >= 0


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (0, 4) and all(map(_is_number, value))


def _is_polygon(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= _POLYGON_NUMBERS
        and len(value) % 2 == 0
        and all(map(_is_number, value))
    )


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
