"""Data sets of encoded images, folders and those of the Hugging Face hub: which are used, decoded now or streamed."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pcdarts.data.disk.decode import OnBadImage, quoted, read_images
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.hf_data import find_hub_images
from pcdarts.data.disk.image_files import FileId, file_ids
from pcdarts.data.disk.image_folder import ImageFolder, find_images, find_images_to_measure
from pcdarts.data.disk.pixel_range import settle_range
from pcdarts.data.disk.streaming import STREAMED_CHANNELS, StreamedImages
from pcdarts.data.images import DataSet, Images, classes_line, pixel_statistics
from pcdarts.data.split import stratified_subset
from pcdarts.data.streams import generator
from pcdarts.errors import InputError

Loading = Literal["auto", "resident", "streaming"]

MIN_IMAGE_SIZE = 8
"""Pixels: two reduction cells leave 2 of them, and less is no image."""

RESIDENT_BYTES = 2 * 10**9
"""Images that need more are streamed, unless told otherwise: the same on every machine, so that a run can move."""

FILES = ("folder", "imagenet", "huggingface")
"""Data sets of encoded images, which can be streamed; `imagenet` is a folder with a place of its own."""

IMAGENET_STATISTICS: tuple[tuple[float, ...], tuple[float, ...]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What everyone normalises photographs with; those of streamed images would take a pass over all of them."""


def find_files(
    name: str,
    root: Path | str | None,
    hub_name: str | None,
    train_set: str | None,
    test_set: str | None,
    train_images: int | None,
    test_images: int | None,
    seed: int,
) -> ImageFolder:
    """The files that `load_data` with these arguments would read."""
    return some_of(find_encoded(name, root, hub_name, train_set, test_set), train_images, test_images, seed)


def without_learnt(found: ImageFolder, learnt: Collection[FileId]) -> ImageFolder:
    """Of images to measure those that a network has not learnt from; of a test set all, and how many it has."""
    if not learnt:
        return found
    is_new = torch.tensor([one not in learnt for one in file_ids(found.test.sources)])
    count = int((~is_new).sum())
    if count == 0:
        return found
    if found.undivided is None:
        note = f"warning: the network was trained on {count:,} of these {len(is_new):,} images"
        return replace(found, notes=(*found.notes, note))
    if count == len(is_new):
        raise InputError(
            f"there is no image to measure: {found.test_is}, and the network was trained on every one of them; give "
            "others"
        )
    left = found.test.subset(is_new.nonzero().flatten())
    words = f"but {count:,} that the network was trained on: it has"
    return replace(found, train=left, test=left, test_is=found.test_is.replace(": it has", f", {words}"))


def read_files(
    name: str,
    found: ImageFolder,
    image_size: int | None,
    on_bad_image: OnBadImage,
    loading: Loading,
    border: float,
    workers: int,
    pixel_range: PixelRange | None,
) -> DataSet:
    """The images of files, in memory or as streams."""
    others = found.test.sources
    if found.train is found.test:
        others = others.subset(torch.tensor([], dtype=torch.int64))
    used, notes = settle_range(found.train.sources, others, pixel_range, on_bad_image)
    found = replace(found, notes=(*found.notes, *notes))
    if not _is_streamed(found, loading, image_size):
        data = _decoded(name, found, image_size, border, on_bad_image, used or pixel_range)
        return replace(data, pixel_range=used)
    test = StreamedImages(found.test, image_size or 0, border, on_bad_image, workers, used or pixel_range)
    train = test if found.train is found.test else replace(test, files=found.train, skipped={})
    mean, std = IMAGENET_STATISTICS
    sources = found.train.sources
    return DataSet(
        name, found.classes, train, test, mean, std, (), sources, used, test_is=found.test_is, notes=found.notes
    )


def some_of(found: ImageFolder, train_images: int | None, test_images: int | None, seed: int) -> ImageFolder:
    """The images to keep, and what is to be said of classes, sets and the others."""
    train, test = found.train, found.test
    kept = test.subset(kept_of(test.labels, found.classes, "test", test_images, seed))
    notes = (classes_line(found.classes), *found.notes)
    if train is test:  # nothing but measured
        train, learnt = kept, tuple[str, ...]()
    else:
        learnt = limit_line("train", len(train), train_images)
        train = train.subset(kept_of(train.labels, found.classes, "train", train_images, seed))
    notes = (*notes, *learnt, *limit_line("test", len(test), test_images))
    return replace(found, train=train, test=kept, test_is=of_a_part(found.test_is, len(test), test_images), notes=notes)


def limit_line(which: str, count: int, limit: int | None) -> tuple[str, ...]:
    """How many of so many images are kept, where that is not all of them."""
    if limit is None or limit >= count:
        return ()
    called = "training" if which == "train" else which
    return (f"{limit:,} of {count:,} {called} images are used (--{which}-images {limit})",)


def of_a_part(test_is: str, count: int, limit: int | None) -> str:
    return test_is if limit is None or limit >= count else f"{test_is}; {count:,} in all"


def find_encoded(
    name: str,
    root: Path | str | None,
    hub_name: str | None,
    train_set: str | None,
    test_set: str | None,
    to_measure: bool = False,
) -> ImageFolder:
    """All images of a data set of encoded images."""
    if name == "huggingface":
        if hub_name is None:
            raise InputError("data 'huggingface' needs the name of a data set: give --hub-name")
        if root is not None:
            raise InputError("data 'huggingface' is found by --hub-name: drop --data-root")
        return find_hub_images(hub_name, train_set, test_set, to_measure)
    if name == "folder" and root is None:
        raise InputError("data 'folder' needs the folder of images: give --data-root")
    folder = expanded("data/imagenet" if root is None else root)
    return find_images_to_measure(folder, test_set) if to_measure else find_images(folder, train_set, test_set)


def _is_streamed(found: ImageFolder, loading: Loading, image_size: int | None) -> bool:
    """Whether these files are decoded batch by batch.

    Raises:
        InputError: they are, but nobody knows at which size.
    """
    if image_size is None:  # they all have one size, or cannot be used
        if loading == "streaming":
            raise InputError("images can only be streamed at a size that is given: add --image-size")
        return False
    count = len(found.train) + len(found.test)
    return loading == "streaming" or (loading == "auto" and count * STREAMED_CHANNELS * image_size**2 > RESIDENT_BYTES)


def _decoded(
    name: str,
    found: ImageFolder,
    image_size: int | None,
    border: float,
    on_bad_image: OnBadImage,
    pixel_range: PixelRange | None,
) -> DataSet:
    """All files in memory."""
    # Together, because the size and the number of channels are those of all images.
    parts = (found.test,) if found.train is found.test else (found.train, found.test)
    sources = [files.sources[index] for files in parts for index in range(len(files))]
    decoded = read_images(sources, image_size, on_bad_image, border, pixel_range)
    if found.train is found.test:
        images = Images(decoded.pixels, found.test.labels[decoded.kept])
        check_size(images.shape[-1])
        try:
            statistics = pixel_statistics(images.pixels)
        except InputError:  # a single value everywhere: those of the training are what matters
            statistics = ((0.0,) * images.shape[0], (1.0,) * images.shape[0])
        return DataSet(
            name, found.classes, images, images, *statistics, decoded.skipped, test_is=found.test_is, notes=found.notes
        )
    labels = torch.cat([found.train.labels, found.test.labels])[decoded.kept]
    count = int((decoded.kept < len(found.train)).sum())
    train, test = Images(decoded.pixels[:count], labels[:count]), Images(decoded.pixels[count:], labels[count:])
    _check_every_class_is_left(found.classes, train, test, decoded.skipped)
    check_size(train.shape[-1])
    known = name == "imagenet" and train.shape[0] == STREAMED_CHANNELS
    mean, std = IMAGENET_STATISTICS if known else pixel_statistics(train.pixels)
    kept = found.train.sources.subset(decoded.kept[:count])
    return DataSet(
        name, found.classes, train, test, mean, std, decoded.skipped, kept, test_is=found.test_is, notes=found.notes
    )


def check_size(image_size: int | None) -> None:
    if image_size is not None and image_size < MIN_IMAGE_SIZE:
        raise InputError(
            f"the images are to be {image_size}x{image_size} pixels, but {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} is the "
            f"least a network can use: give --image-size {MIN_IMAGE_SIZE} or more"
        )


def expanded(root: Path | str) -> Path:
    try:
        return Path(root).expanduser()
    except (RuntimeError, ValueError):  # ~nobody
        raise InputError(f"{quoted(root)} names the home folder of nobody known here: check --data-root") from None


def _check_every_class_is_left(classes: tuple[str, ...], train: Images, test: Images, skipped: tuple[str, ...]) -> None:
    for what, images in (("training", train), ("test", test)):
        empty = (images.labels.bincount(minlength=len(classes)) == 0).nonzero().flatten().tolist()
        if empty:
            raise InputError(
                f"no {what} image of class {quoted(classes[empty[0]])} can be read ({len(skipped)} images were "
                f"skipped; the first is {skipped[0]}): repair some of them, or remove the class"
            )


def kept_of(labels: Tensor, classes: tuple[str, ...], which: str, count: int | None, seed: int) -> Tensor:
    """Indices of the images to keep: all of them, or a stratified `count` of more."""
    if count is None or count >= len(labels):
        return torch.arange(len(labels))
    if count < len(classes):
        raise InputError(
            f"{which}_images is {count}, but there are {len(classes)} classes: use {len(classes)} or more, or none "
            "for all images"
        )
    return stratified_subset(labels, count, generator(seed, which, "images kept"))
