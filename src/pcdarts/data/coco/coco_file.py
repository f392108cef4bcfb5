"""Read and check COCO's annotation files; every field is checked before it is used."""

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
"""Pixels; a longer side would take gigabytes in every format that is read here."""

MAX_ID = 2**53
"""Larger integers are not safe in JSON, since some programs read all numbers as floating-point."""

_POLYGON_NUMBERS = 6
"""x and y of three corners, the fewest of a polygon."""

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Objects:
    """M objects in images, as they are in the file."""

    boxes: NDArray[np.float64]
    """`[M, 4]`: left, top, width and height in pixels of the stored image, not checked for plausibility."""
    labels: NDArray[np.int64]
    """`[M]`: 1 to the number of classes."""
    areas: NDArray[np.float64]
    """`[M]`: area of the object (not of its box) in square pixels, which decides whether it is small, medium or large
    for COCO's metrics."""
    crowd: NDArray[np.bool_]
    """`[M]`: whether it is a region with many objects."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> "Objects":
        return Objects(self.boxes[which], self.labels[which], self.areas[which], self.crowd[which])


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The content of an annotation file: images in its order, objects ordered by image."""

    categories: dict[int, str]
    """Name by id, in ascending order of ids."""
    heading: int | None
    """The id of a category without objects that is the supercategory of all others; None if there is none."""
    image_ids: tuple[int, ...]
    names: tuple[str, ...]
    """Paths below the folder of images."""
    sizes: NDArray[np.int64]
    """`[N, 2]`: height and width in pixels; 0 if the file does not give them."""
    counts: NDArray[np.int64]
    """`[N]`: number of objects in each image."""
    objects: Objects
    has_annotations: bool
    """Whether the file has a list of objects, even an empty one."""
    from_polygons: int
    """Number of objects without a box whose box was computed from their polygon."""
    without_box: int
    """Number of objects left out because they have neither a box nor a polygon."""


def read_coco_file(path: Path, needs_objects: bool = True) -> CocoFile:
    """Read an annotation file.

    Ids may be written as 1, 1.0 or "1". The ids of annotations are not needed and not read.

    Args:
        needs_objects: refuse a file without a list of annotations, such as that of a test set.

    Raises:
        InputError: it cannot be read, is not JSON, or has an unusable record: a field that is missing or of the wrong
            type, a duplicate id, an object of an unknown image or category, an invalid box, a path outside the folder.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"annotations {quoted(path)} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"annotations {quoted(path)} are not JSON ({error}): download or write them again") from None
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
    owners, labels, boxes, areas, crowd = zip(*found.rows, strict=True) if found.rows else ((),) * 5
    places = np.array([position[owner] for owner in owners], dtype=np.int64)
    objects = Objects(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(areas, np.float64),
        np.array(crowd, np.bool_),
    )
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
    """The fault of a record, without the name of the file."""


_NEEDED = object()


class _Record:
    """One object in a JSON list; its fields are checked when they are read."""

    def __init__(self, where: str, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise _Unusable(f"{where} is {reprlib.repr(fields)}, but an object is expected")
        self._where, self._fields = where, fields

    def take(self, key: str, is_right: Callable[[Any], bool], expected: str, default: Any = _NEEDED) -> Any:
        """The value of a field, or the `default`, if given, when it is missing or null."""
        value = self._fields.get(key, _NEEDED)
        if default is not _NEEDED and (value is _NEEDED or value is None):
            return default
        if value is _NEEDED:
            raise _Unusable(f"{self._where} has no {key}")
        if not is_right(value):
            raise _Unusable(f"{self._where} has {key} {reprlib.repr(value)}, but {expected} is expected")
        return value

    def take_whole(self, key: str, low: int, high: int, expected: str, default: Any = _NEEDED) -> int:
        """An integer from `low` to `high`, which may be written as 1, 1.0 or "1"."""

        def is_right(value: Any) -> bool:
            whole = _whole(value)
            return whole is not None and low <= whole <= high

        return int(self.take(key, is_right, expected, default))

    def take_id(self, key: str = "id") -> int:
        return self.take_whole(key, -MAX_ID, MAX_ID, "an integer of at most 53 bits")

    def take_known(self, key: str, known: dict[int, Any], what: str) -> int:
        value = self.take_id(key)
        if value not in known:
            raise _Unusable(f"{self._where} has {key} {value}, but there is no such {what}")
        return value

    def take_pixels(self, key: str) -> int:
        """A side of an image; 0 if the record does not give it."""
        return self.take_whole(key, 0, MAX_SIDE, f"1 to {MAX_SIDE} pixels", 0)

    def box_around_polygon(self) -> list[float]:
        """The box around the polygons; empty if there are none."""
        polygons = self._fields.get("segmentation")
        if not isinstance(polygons, list):
            return []
        if not any(isinstance(part, list) for part in polygons):  # some tools do not nest a single polygon
            polygons = [polygons]
        if not all(map(_is_polygon, polygons)):
            return []
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
            raise _Unusable(f"the id {record_id} occurs twice")
        seen.add(record_id)
        yield record_id, value


def _category(record: _Record) -> tuple[int, tuple[str, str | None]]:
    """The id; the name and the supercategory's name, None if there is none."""
    name = record.take("name", lambda name: isinstance(name, str), "a text")
    supercategory = record.take("supercategory", lambda _: True, "a text", None)
    return record.take_id(), (name, supercategory if isinstance(supercategory, str) else None)


def _heading(named: dict[int, tuple[str, str | None]], labels: NDArray[np.int64]) -> int | None:
    """The id of the heading category (see `CocoFile`); `labels` are those of the objects."""
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
    """The objects read so far."""

    rows: list[tuple[int, int, list[float], float, bool]] = field(default_factory=list)
    """The image id, label, box, area and crowd flag of each."""
    from_polygons: int = 0
    without_box: int = 0


def _objects(content: dict[str, Any], images: dict[int, Any], categories: dict[int, str]) -> _Found:
    label_of = {category_id: label for label, category_id in enumerate(categories, start=1)}
    found = _Found()

    def read(record: _Record) -> None:
        owner = record.take_known("image_id", images, "image")
        label = label_of[record.take_known("category_id", categories, "category")]
        box = record.take("bbox", _is_box, "[left, top, width, height] in pixels", [])
        if not box:  # some tools write an empty list
            box = record.box_around_polygon()
            if not box:
                found.without_box += 1
                return
            found.from_polygons += 1
        area = 0
        if min(box[2:]) >= 0:  # the area on record may be negative as well
            area = record.take("area", _is_area, "a number of square pixels", box[2] * box[3])
        crowd = record.take("iscrowd", lambda value: value in (0, 1), "0 or 1", 0)
        found.rows.append((owner, label, box, area, crowd))

    for _ in _records(content, "annotations", read):
        pass
    return found


def _whole(value: Any) -> int | None:
    """The value as an integer, if it is one or is written as 1.0 or "1"; otherwise None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID)):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: Any, below: float = 1e15) -> bool:
    """Whether it is a number so small that sums and products stay finite."""
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
    """Whether it is a valid path that stays below its folder."""
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not path.drive and path != PurePosixPath()
