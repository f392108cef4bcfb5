"""Data sets in COCO's format: what a detector learns from, and what it is measured on."""

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
from pcdarts.data.coco.coco_images import CocoImages, joined
from pcdarts.data.coco.coco_layout import find_annotations, find_image_folder
from pcdarts.data.coco.coco_sets import (
    check_apart,
    compared,
    copies,
    unknown_classes,
    with_classes,
    with_equal_classes,
)
from pcdarts.data.disk.decode import BadImage, OnBadImage, quoted, stored_size, warnings_settled
from pcdarts.data.disk.image_files import ImagePaths
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, listed


@dataclass(frozen=True, eq=False)
class CocoData:
    """What a detector learns from (`train`) and is measured on (`test`): the same images, or none in both."""

    train: CocoImages
    test: CocoImages
    skipped: tuple[str, ...] = ()
    """A line for each image that was left out because its file is missing: its path and the reason."""
    notes: tuple[str, ...] = ()
    """A line for each thing about the data that its users should know, with numbers."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    def digest(self) -> str:
        """A fingerprint of both sets."""
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
    """Read the annotations of some sets; no image is opened yet.

    `coco_layout.py` says where a set may lie, and which files do without objects, for testing alone. The images of
    test-dev lie in the folder of test. Classes are those of the training sets, matched by name. A size that the
    annotations do not have is read from the head of the image.

    Args:
        train_sets: their images together are the training set.
        test_set: None takes `held_out` images out of the last training set, the same for every seed: no run trains on
            what another one was tested on. The paper's "trainval minus 5k" is train2014 and val2014 with 5,000 held
            out; train2017 and val2017 are the official form of it.
            The only training set takes the training images themselves: how well a detector remembers them.
        train_images, test_images: keep so many if there are more, drawn by `seed`.
        on_bad_image: what a missing image file does: "stop" raises, "skip" leaves the image out.

    Raises:
        InputError: annotations that are missing or cannot be used (one line says which record), or boxes that cannot be
            meant (see `check_boxes`); sets without a common category, or with image files in common; a missing image
            file; a set without images.
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
    notes += check_apart(sets if test is None else [*sets, test])
    train = joined([_ready(each, True, skipped, notes) for each in _some(sets, train_images, "train", seed, notes)])
    if test is None:
        return CocoData(train, train, tuple(skipped), tuple(notes))
    (measured,) = _some([test], test_images, "test", seed, notes)
    measured = _ready(measured, False, skipped, notes)
    notes += copies(sets, measured)
    if measured.has_annotations:
        notes += compared(train, measured)
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
    """The test set that `load_coco` would give with these arguments, where the training sets need not be.

    Args:
        classes: those that a detector knows, and `whose` data had them (None: those of the set).

    Returns:
        Data whose `train` is the test set too.

    Raises:
        InputError: as there.
    """
    notes: list[str] = []
    skipped: list[str] = []
    images = _load_set(Path(root).expanduser(), test_set, on_bad_image, notes, classes or ())
    if classes is not None:
        images = with_classes(images, classes, whose)
    (images,) = _some([images], test_images, "test", seed, notes)
    images = _ready(images, False, skipped, notes)
    if classes is not None:
        notes += unknown_classes(images, classes, whose)
    return CocoData(images, images, tuple(skipped), tuple(notes))


def _some(sets: Sequence[CocoImages], count: int | None, which: str, seed: int, notes: list[str]) -> list[CocoImages]:
    """`count` of the images of all sets, drawn by `seed`, without sets of which none is left; all, if it is None."""
    total = sum(map(len, sets))
    if count is None or count >= total:
        return list(sets)
    names = listed([repr(images.name) for images in sets], "and")
    notes.append(f"{names}: {count} of {total} images are taken (--{which}-images {count})")
    drawn = torch.randperm(total, generator=generator(seed, which, "images kept"))[:count].sort().values
    ends = np.cumsum([len(images) for images in sets])
    starts = ends - [len(images) for images in sets]
    parts = [drawn[(drawn >= start) & (drawn < end)] - start for start, end in zip(starts, ends, strict=True)]
    return [images.subset(part) for images, part in zip(sets, parts, strict=True) if len(part)]


def _load_set(
    root: Path, name: str, on_bad_image: OnBadImage, notes: list[str], classes: tuple[str, ...] | None = None
) -> CocoImages:
    """A set as its files have it; lines about it are added to `notes`.

    `classes`: those of the training data, if the set is one to test on.
    """
    content = read_coco_file(find_annotations(root, name, classes is None), needs_objects=classes is None)
    folder = find_image_folder(root, name, content.names)
    if content.from_polygons:
        notes.append(
            f"{name!r}: {content.from_polygons} objects without a box, but with a polygon: the box around that is taken"
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
    if content.heading is None or not _is_in_the_way(content, content.heading, classes):
        return images
    if classes is None:
        notes.append(
            f"{name!r}: category {content.heading}, {quoted(content.categories[content.heading])}, has no box and is "
            "the supercategory of all others: left out"
        )
    return _without_heading(images, content.heading)


def _is_in_the_way(content: CocoFile, heading: int, classes: tuple[str, ...] | None) -> bool:
    """Whether a category without objects, which is the supercategory of all others, is none of the classes wanted."""
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
    """The images whose files are there, with all sizes known and boxes looked at; lines are added to the lists."""
    images = _sized(_present(images, skipped), skipped, notes)
    if images.has_annotations:
        notes += check_boxes(images, learnt_from)
    return images


def _without(images: CocoImages, count: int) -> tuple[CocoImages, CocoImages]:
    """All but `count` of the images, and these."""
    if not 0 < count < len(images):
        raise InputError(
            f"{count} of the {len(images)} images of {images.name!r} are to be held out for testing: "
            f"use 1 to {len(images) - 1}, or give a test set"
        )
    order = torch.randperm(len(images), generator=generator(0, "images held out"))
    held_out = images.subset(order[:count].sort().values)
    return images.subset(order[count:].sort().values), replace(held_out, name=f"{images.name} (held out)")


def _present(images: CocoImages, skipped: list[str]) -> CocoImages:
    """The images whose files are there; a line for each of the others is added to `skipped`."""
    missing = {
        index: BadImage(path, "it is not there") for index, path in enumerate(images.files) if not os.path.isfile(path)
    }
    return _readable(images, missing, skipped)


def _sized(images: CocoImages, skipped: list[str], notes: list[str]) -> CocoImages:
    """The images with sizes read from their files where the annotations have none."""
    unknown = np.flatnonzero((images.sizes == 0).any(axis=1)).tolist()
    if not unknown:
        return images
    sizes = images.sizes.copy()
    unreadable: dict[int, BadImage] = {}
    turned = 0
    with warnings_settled():
        for index in unknown:
            try:
                sizes[index], is_turned = stored_size(images.files[index])
                turned += is_turned
            except BadImage as error:
                unreadable[index] = error
    line = f"{images.name!r}: {len(unknown)} of {len(images)} images without a size on record: read from the files"
    if turned:
        line += (
            f" ({turned} of them are turned by their EXIF data when shown; boxes are taken to mean the stored pixels)"
        )
    notes.append(line)
    return _readable(replace(images, sizes=sizes), unreadable, skipped)


def _readable(images: CocoImages, bad: dict[int, BadImage], skipped: list[str]) -> CocoImages:
    """The images without the `bad` ones, a line for each of which is added to `skipped`."""
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
