"""Load data sets in COCO's format: the training and the test images of a detector."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

from pcdarts.data.coco.coco_boxes import check_boxes
from pcdarts.data.coco.coco_file import CocoFile, read_coco_file
from pcdarts.data.coco.coco_images import CocoImages, join_sets
from pcdarts.data.coco.coco_layout import find_annotations, find_image_folder
from pcdarts.data.coco.coco_sets import (
    check_no_shared_files,
    compare_classes,
    find_copies,
    note_unknown_classes,
    with_classes,
    with_equal_classes,
)
from pcdarts.data.disk.decode import BadImage, OnBadImage, quoted, stored_size, strict_warnings
from pcdarts.data.disk.image_files import ImagePaths
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, listed


@dataclass(frozen=True, eq=False)
class CocoData:
    """The training and the test images of a detector: either the same images, or disjoint."""

    train: CocoImages
    test: CocoImages
    skipped: tuple[str, ...] = ()
    """A line for each image left out because its file is missing: its path and the reason."""
    notes: tuple[str, ...] = ()
    """Lines about the data for the user, with numbers."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    def digest(self) -> str:
        """A digest of both sets."""
        return blake2b((self.train.digest() + self.test.digest()).encode(), digest_size=16).hexdigest()


def load_coco(
    root: Path | str,
    *,
    train_sets: tuple[str, ...],
    test_set: str | None = None,
    held_out: int = 0,
    train_images: int | None = None,
    test_images: int | None = None,
    seed: int = 0,
    on_bad_image: OnBadImage = "stop",
) -> CocoData:
    """Read the annotations of some sets; images are opened only to find a missing size.

    `find_annotations` says where sets are looked for, and which files without objects can be tested on. The images of
    test-dev are in the folder of test. The classes are those of the training sets, matched by name.

    Args:
        train_sets: their images together are the training set.
        test_set: None holds out `held_out` images of the last training set, the same for every seed: no run trains on
            test images of another one. The paper's "trainval minus 5k" is train2014 and val2014 with 5,000 held out, of
            which train2017 and val2017 are the official form. The name of the only training set measures on the
            training images.
        train_images, test_images: the most images to keep, drawn by `seed`.
        on_bad_image: what happens if an image file is missing: "stop" raises, "skip" leaves the image out.

    Raises:
        InputError: annotations that are missing or cannot be used (one line names the record), boxes that must be a
            mistake (see `check_boxes`), sets without a common category or with image files in common, a missing image
            file, a set without images.
    """
    folder = Path(root).expanduser()
    notes: list[str] = []
    skipped: list[str] = []
    sets = [_load_set(folder, name, on_bad_image, notes) for name in train_sets]
    test: CocoImages | None = None
    if test_set is None:
        sets[-1], test = _without(sets[-1], held_out)
    sets = with_equal_classes(sets)
    if test_set is not None and train_sets != (test_set,):
        test = _load_set(folder, test_set, on_bad_image, notes, sets[0].classes)
    if test is not None:
        test = with_classes(test, sets[0].classes, listed([repr(images.name) for images in sets], "and"))
    notes += check_no_shared_files(sets if test is None else [*sets, test])
    train = join_sets([_ready(each, True, skipped, notes) for each in _some(sets, train_images, "train", seed, notes)])
    if test is None:
        return CocoData(train, train, tuple(skipped), tuple(notes))
    (measured,) = _some([test], test_images, "test", seed, notes)
    measured = _ready(measured, False, skipped, notes)
    notes += find_copies(sets, measured)
    if measured.has_annotations:
        notes += compare_classes(train, measured)
    return CocoData(train, measured, tuple(skipped), tuple(notes))


def load_coco_test(
    root: Path | str,
    test_set: str,
    *,
    test_images: int | None,
    seed: int,
    on_bad_image: OnBadImage,
    classes: tuple[str, ...] | None = None,
    whose: str = "",
) -> CocoData:
    """The test set of `load_coco` with these arguments, without the training sets.

    Args:
        classes: the classes of a detector; None uses those of the set.
        whose: the owner of these classes, for messages.

    Returns:
        Data in which `train` and `test` are the test set.

    Raises:
        InputError: as `load_coco`.
    """
    notes: list[str] = []
    skipped: list[str] = []
    images = _load_set(Path(root).expanduser(), test_set, on_bad_image, notes, classes or ())
    if classes is not None:
        images = with_classes(images, classes, whose)
    (images,) = _some([images], test_images, "test", seed, notes)
    images = _ready(images, False, skipped, notes)
    if classes is not None:
        notes += note_unknown_classes(images, classes, whose)
    return CocoData(images, images, tuple(skipped), tuple(notes))


def _some(sets: Sequence[CocoImages], count: int | None, which: str, seed: int, notes: list[str]) -> list[CocoImages]:
    """At most `count` images of all sets together, drawn by `seed`; sets of which none is left are dropped."""
    total = sum(map(len, sets))
    if count is None or count >= total:
        return list(sets)
    names = listed([repr(images.name) for images in sets], "and")
    notes.append(f"{names}: {count} of {total} images are used (--{which}-images {count})")
    drawn = torch.randperm(total, generator=generator(seed, which, "images kept"))[:count].sort().values
    ends = np.cumsum([len(images) for images in sets])
    starts = ends - [len(images) for images in sets]
    parts = [drawn[(drawn >= start) & (drawn < end)] - start for start, end in zip(starts, ends, strict=True)]
    return [images.subset(part) for images, part in zip(sets, parts, strict=True) if len(part)]


def _load_set(
    root: Path, name: str, on_bad_image: OnBadImage, notes: list[str], classes: tuple[str, ...] | None = None
) -> CocoImages:
    """A set as it is in its files; appends lines about it to `notes`.

    Args:
        classes: None for a training set; for a test set, the classes of the training data.
    """
    content = read_coco_file(find_annotations(root, name, classes is None), needs_objects=classes is None)
    folder = find_image_folder(root, name, content.names)
    if content.from_polygons:
        notes.append(
            f"{name!r}: {content.from_polygons} objects without a box, but with a polygon: the box around that is used"
        )
    if content.without_box and not len(content.objects):
        raise InputError(
            f"none of the {content.without_box} annotations of the COCO set {name!r} has a bbox or a polygon: write "
            "them with bbox, [left, top, width, height] in pixels"
        )
    if content.without_box:
        notes.append(f"{name!r}: {content.without_box} objects with neither a box nor a polygon: left out")
    images = CocoImages(
        name,
        tuple(content.categories.values()),
        tuple(content.categories),
        content.image_ids,
        ImagePaths(root, [folder / image for image in content.names]),
        content.sizes,
        content.counts.cumsum(),
        content.objects,
        content.has_annotations,
        on_bad_image,
    )
    if content.heading is None or not _is_unwanted(content, content.heading, classes):
        return images
    if classes is None:
        notes.append(
            f"{name!r}: category {content.heading}, {quoted(content.categories[content.heading])}, has no box and is "
            "the supercategory of all others: left out"
        )
    return _without_heading(images, content.heading)


def _is_unwanted(content: CocoFile, heading: int, classes: tuple[str, ...] | None) -> bool:
    """Whether the supercategory of all others, which has no objects, is not one of the wanted classes."""
    name = content.categories[heading]
    return classes is None or Counter(classes)[name] < Counter(content.categories.values())[name]


def _without_heading(images: CocoImages, heading: int) -> CocoImages:
    place = images.category_ids.index(heading)
    labels = images.objects.labels
    return replace(
        images,
        classes=images.classes[:place] + images.classes[place + 1 :],
        category_ids=images.category_ids[:place] + images.category_ids[place + 1 :],
        objects=replace(images.objects, labels=labels - (labels > place)),
    )


def _ready(images: CocoImages, learnt_from: bool, skipped: list[str], notes: list[str]) -> CocoImages:
    """The images whose files exist, with all sizes known and boxes checked; appends lines to the lists."""
    images = _sized(_present(images, skipped), skipped, notes)
    if images.has_annotations:
        notes += check_boxes(images, learnt_from)
    return images


def _without(images: CocoImages, count: int) -> tuple[CocoImages, CocoImages]:
    """The images without `count` of them, and these."""
    if not 0 < count < len(images):
        raise InputError(
            f"{count} of the {len(images)} images of {images.name!r} cannot be held out for testing: "
            f"use 1 to {len(images) - 1}, or give a test set"
        )
    order = torch.randperm(len(images), generator=generator(0, "images held out"))
    held_out = images.subset(order[:count].sort().values)
    return images.subset(order[count:].sort().values), replace(held_out, name=f"{images.name} (held out)")


def _present(images: CocoImages, skipped: list[str]) -> CocoImages:
    """The images whose files exist; appends a line for each other image to `skipped`."""
    files = enumerate(images.files)
    missing = {index: BadImage(path, "it does not exist") for index, path in files if not os.path.isfile(path)}
    return _without_bad(images, missing, skipped)


def _sized(images: CocoImages, skipped: list[str], notes: list[str]) -> CocoImages:
    """The images with all sizes; those that the annotations lack are read from the files."""
    unknown = np.flatnonzero((images.sizes == 0).any(axis=1)).tolist()
    if not unknown:
        return images
    sizes = images.sizes.copy()
    unreadable: dict[int, BadImage] = {}
    turned = 0
    with strict_warnings():
        for index in unknown:
            try:
                sizes[index], is_turned = stored_size(images.files[index])
                turned += is_turned
            except BadImage as error:
                unreadable[index] = error
    line = f"{images.name!r}: {len(unknown)} of {len(images)} images without a size on record: read from the files"
    if turned:
        line += f" ({turned} of them are turned by their EXIF data when shown; boxes are read as stored pixels)"
    notes.append(line)
    return _without_bad(replace(images, sizes=sizes), unreadable, skipped)


def _without_bad(images: CocoImages, bad: dict[int, BadImage], skipped: list[str]) -> CocoImages:
    """The images without the `bad` ones; appends a line for each of these to `skipped`."""
    if not bad:
        return images
    if images.on_bad_image == "stop":
        raise next(iter(bad.values()))
    skipped += [error.line for error in bad.values()]
    if len(bad) == len(images):
        raise InputError(
            f"the COCO set {images.name!r} has no image that can be read; the first is {skipped[-len(bad)]}: "
            "check --data-root"
        )
    return images.subset([index for index in range(len(images)) if index not in bad])
