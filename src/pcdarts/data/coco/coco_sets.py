"""Compare COCO sets: all must have the same classes, and no image file may be in two of them."""

import filecmp
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.disk.decode import quoted
from pcdarts.data.disk.image_files import FileId, file_ids
from pcdarts.errors import InputError, first_of, listed

_NAMED = 5
"""The most categories named in a line."""


def with_classes(images: CocoImages, classes: Sequence[str], whose: str) -> CocoImages:
    """The same images labelled by `classes`, matched by name: ids and order may differ between files.

    Categories that only this set has, and has objects of, are added after `classes`.

    Raises:
        InputError: no category of this set is among the classes, which are those of `whose` data.
    """
    own, wanted = _number_equal_names(images.classes), _number_equal_names(classes)
    if not set(own) & set(wanted):
        raise InputError(
            f"the categories of {images.name!r} ({_some([quoted(name) for name, _ in own])}) and of {whose} "
            f"({_some([*map(quoted, classes)])}) have no name in common: give sets with the same categories"
        )
    if own == wanted:
        return images
    used = Counter((images.objects.labels - 1).tolist())
    known = set(wanted)
    together = [*wanted, *(key for place, key in enumerate(own) if key not in known and used[place])]
    place_of = {key: place for place, key in enumerate(together)}
    id_of = dict(zip(own, images.category_ids, strict=True))
    labels = np.array([place_of.get(key, -1) + 1 for key in own], dtype=np.int64)
    return replace(
        images,
        classes=tuple(name for name, _ in together),
        category_ids=tuple(id_of.get(key) for key in together),
        objects=replace(images.objects, labels=labels[images.objects.labels - 1]),
    )


def with_equal_classes(sets: Sequence[CocoImages]) -> list[CocoImages]:
    """All sets with the classes of the first one, followed by those that only others have objects of.

    Raises:
        InputError: a set has no category in common with the sets before it.
    """
    last = sets[0]
    for images in sets[1:]:
        last = with_classes(images, last.classes, f"{sets[0].name!r}")
    return [with_classes(images, last.classes, f"{last.name!r}") for images in sets]


def compare_classes(train: CocoImages, test: CocoImages) -> list[str]:
    """A line about classes that are learnt but not measured, and one about the reverse; crowds do not count."""
    counts = [
        np.bincount(images.objects.labels[which], minlength=len(test.classes) + 1)[1:]
        for images, which in ((train, train.targets()), (test, ~test.objects.crowd))
    ]
    learnt, measured = (count > 0 for count in counts)
    lines = []
    if (learnt & ~measured).any():
        lines.append(
            f"{_of(learnt & ~measured, learnt, train, 'has', 'have')} none in {test.name!r} (not measured): "
            f"{_counted(test.classes, counts[0] * ~measured)}"
        )
    if (measured & ~learnt).any():
        lines.append(
            f"{_of(measured & ~learnt, measured, test, 'has', 'have')} none in {train.name!r} (not learnt, but "
            f"measured as COCO's tools do: 0 %): {_counted(test.classes, counts[1] * ~learnt)}"
        )
    return lines


def note_unknown_classes(images: CocoImages, classes: Sequence[str], whose: str) -> list[str]:
    """A line about the objects of classes that come after `classes`, which are those of `whose` data."""
    counts = np.bincount(images.objects.labels[~images.objects.crowd], minlength=len(images.classes) + 1)[1:]
    unknown = counts * (np.arange(len(counts)) >= len(classes))
    if not unknown.any():
        return []
    return [
        f"{_of(unknown > 0, counts > 0, images, 'is', 'are')} unknown to {whose}, but measured as COCO's tools do "
        f"(0 %): {_counted(images.classes, unknown)}"
    ]


def _of(some: NDArray[np.bool_], every: NDArray[np.bool_], images: CocoImages, singular: str, plural: str) -> str:
    """How many of all categories, with the matching form of the verb."""
    verb = singular if some.sum() == 1 else plural
    return f"{some.sum()} of the {every.sum()} categories with boxes in {images.name!r} {verb}"


def check_no_shared_files(sets: Sequence[CocoImages]) -> list[str]:
    """A line for each set that has an image file more than once.

    Files are compared by the file system's ids, not by image ids, since most tools number the images of each set from
    0 or 1.

    Raises:
        InputError: two sets have image files in common.
    """
    lines = []
    seen: dict[FileId, int] = {}
    for place, images in enumerate(sets):
        ids = file_ids(images.files)
        own = [one for one in ids if one is not None and seen.setdefault(one, place) == place]
        shared = [
            (seen[one], path)
            for path, one in zip(images.files, ids, strict=True)
            if one is not None and seen[one] != place
        ]
        if shared:
            other = shared[0][0]
            files = [path for which, path in shared if which == other]
            raise InputError(
                f"{len(files)} of {len(images)} image files of {images.name!r} are also in {sets[other].name!r}, the "
                f"first is {quoted(files[0])}: remove them from one of the two"
            )
        twice = len(own) - len(set(own))
        if twice:
            lines.append(f"{images.name!r}: {twice} of {len(images)} images are files that it names more than once")
    return lines


def find_copies(sets: Sequence[CocoImages], test: CocoImages) -> list[str]:
    """A line if images of `test` are copies (with the same file name and content) of images of the other sets."""
    by_name: dict[str, list[Path]] = {}
    for images in sets:
        for path in images.files:
            by_name.setdefault(path.name, []).append(path)
    found = [path for path in test.files if any(_equal(path, other) for other in by_name.get(path.name, []))]
    if not found:
        return []
    return [
        f"{len(found)} of {len(test)} images of {test.name!r} are also in the training data, under the same name and "
        f"with the same content, so the measured precision is too high; the first is {quoted(found[0])}"
    ]


def _equal(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _number_equal_names(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with the number of earlier ones like it, because some files use a name twice."""
    before: Counter[str] = Counter()
    keys = []
    for name in names:
        keys.append((name, before[name]))
        before[name] += 1
    return keys


def _counted(classes: Sequence[str], counts: NDArray[np.int64]) -> str:
    """The classes that have boxes, the most frequent first."""
    order = [place for place in np.argsort(-counts, kind="stable").tolist() if counts[place]]
    return _some([f"{quoted(classes[place])} ({counts[place]})" for place in order])


def _some(names: Sequence[str]) -> str:
    return listed(first_of(names, _NAMED), "and")
