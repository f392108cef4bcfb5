"""Data sets of encoded images, in folders or from the Hugging Face Hub: which images are used and how they are read."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from pcdarts.data.disk.decode import OnBadImage, quoted, read_images
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.hf_data import find_hub_images
from pcdarts.data.disk.image_files import FileId, file_ids
from pcdarts.data.disk.image_folder import ImageFolder, find_images, find_images_to_measure
from pcdarts.data.disk.pixel_range import find_pixel_range
from pcdarts.data.disk.streaming import STREAMED_CHANNELS, StreamedImages
from pcdarts.data.images import DataSet, Images, classes_line, pixel_statistics
from pcdarts.data.sets import keep_for_validation, limit_images, limit_training
from pcdarts.errors import InputError

Loading = Literal["auto", "resident", "streaming"]

MIN_IMAGE_SIZE = 8
"""Pixels: two reduction cells leave a side of 2."""

RESIDENT_BYTES = 2 * 10**9
"""With loading "auto", larger sets are streamed: a fixed limit, so that a run can move to another machine."""

IMAGENET_STATISTICS: tuple[tuple[float, ...], tuple[float, ...]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet, used for all streamed images: their own would take a pass over all files."""


def find_files(
    name: str,
    root: Path | str | None,
    hub_name: str | None,
    train_set: str | None,
    test_set: str | None,
    train_images: int | None,
    test_images: int | None,
    seed: int,
    to_measure: bool = False,
    learnt: Collection[FileId] = (),
    validation_set: str | None = None,
    validation_fraction: float = 0.0,
) -> ImageFolder:
    """The files that `load_data` with these arguments reads; none of them is opened."""
    if name == "huggingface":
        if hub_name is None:
            raise InputError("data 'huggingface' needs the name of a data set: give --hub-name")
        if root is not None:
            raise InputError("data 'huggingface' is found by --hub-name: drop --data-root")
        found = find_hub_images(hub_name, train_set, test_set, to_measure, validation_set, validation_fraction > 0)
    else:
        if name == "folder" and root is None:
            raise InputError("data 'folder' needs the folder of images: give --data-root")
        folder = expand_home("data/imagenet" if root is None else root)
        if to_measure:
            found = find_images_to_measure(folder, test_set)
        else:
            found = find_images(folder, train_set, test_set, validation_set, validation_fraction > 0)
    if learnt:
        found = _leave_out_learnt(found, learnt)
    train, validation, notes = found.train, found.validation, [classes_line(found.classes), *found.notes]
    if not to_measure:
        fraction = validation_fraction if validation is None else 0.0
        if fraction:
            train, validation, said = keep_for_validation(train, found.classes, fraction)
            notes += said
        train, validation = limit_training(train, validation, found.classes, train_images, seed, fraction, notes)
    test = limit_images(found.test, found.classes, "test", test_images, seed, notes)
    test_is = f"{found.test_is}; {len(found.test):,} in all" if len(test) < len(found.test) else found.test_is
    train = test if to_measure else train
    return replace(found, train=train, validation=validation, test=test, test_is=test_is, notes=tuple(notes))


def _leave_out_learnt(found: ImageFolder, learnt: Collection[FileId]) -> ImageFolder:
    """Leave out images that the network was trained on or chosen by; a test set stays whole, with a warning."""
    is_new = torch.tensor([one not in learnt for one in file_ids(found.test.sources)])
    count = int((~is_new).sum())
    if count == 0:
        return found
    if found.undivided is None:
        note = f"warning: the network was trained on or chosen by {count:,} of these {len(is_new):,} images"
        return replace(found, notes=(*found.notes, note))
    if count == len(is_new):
        raise InputError(
            f"there is no image to measure: {found.test_is}, and the network was trained on or chosen by every "
            "one of them; give others"
        )
    left = found.test.subset(is_new.nonzero().flatten())
    words = f"but {count:,} that the network was trained on or chosen by: it has"
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
    """Decode the files that were found into memory, or prepare to stream them."""
    others = [files.sources for files in (found.validation, found.test) if files and files is not found.train]
    used, notes = find_pixel_range(found.train.sources, others, pixel_range, on_bad_image)
    found = replace(found, notes=(*found.notes, *notes))
    if not _is_streamed(found, loading, image_size):
        return replace(
            _decode_all(name, found, image_size, border, on_bad_image, used or pixel_range), pixel_range=used
        )
    test = StreamedImages(found.test, image_size or 0, border, on_bad_image, workers, used or pixel_range)
    train = test if found.train is found.test else replace(test, files=found.train, skipped={})
    mean, std = IMAGENET_STATISTICS
    return DataSet(
        name,
        found.classes,
        train,
        test,
        mean,
        std,
        train_sources=found.train.sources,
        test_sources=found.test.sources,
        pixel_range=used,
        test_is=found.test_is,
        notes=found.notes,
        validation=replace(test, files=found.validation, skipped={}) if found.validation else None,
        validation_sources=found.validation.sources if found.validation else None,
    )


def _is_streamed(found: ImageFolder, loading: Loading, image_size: int | None) -> bool:
    """Whether these files are decoded batch by batch.

    Raises:
        InputError: they are, but no size is given.
    """
    if image_size is None:  # all images must have one size already
        if loading == "streaming":
            raise InputError("images can only be streamed at a size that is given: add --image-size")
        return False
    count = sum(len(files) for files in (found.train, found.test, found.validation) if files)
    return loading == "streaming" or (loading == "auto" and count * STREAMED_CHANNELS * image_size**2 > RESIDENT_BYTES)


def _decode_all(
    name: str,
    found: ImageFolder,
    image_size: int | None,
    border: float,
    on_bad_image: OnBadImage,
    pixel_range: PixelRange | None,
) -> DataSet:
    """All images in memory."""
    # All sets together, because all images must agree in size and in the number of channels.
    parts = [found.test] if found.train is found.test else [found.train, found.test]
    parts += [found.validation] if found.validation else []
    every = [files.sources[index] for files in parts for index in range(len(files))]
    decoded = read_images(every, image_size, on_bad_image, border, pixel_range)
    pixels, labels = decoded.pixels, torch.cat([files.labels for files in parts])[decoded.kept]
    check_size(pixels.shape[-1])
    ends = torch.tensor([len(files) for files in parts]).cumsum(0)
    counts = torch.bucketize(decoded.kept, ends, right=True).bincount(minlength=len(parts)).tolist()
    sets = [*map(Images, pixels.split(counts), labels.split(counts))]
    places = zip(parts, decoded.kept.split(counts), ends, strict=True)
    sources = [files.sources.subset(kept - (end - len(files))) for files, kept, end in places]
    validation = sets[2] if found.validation else None
    if found.train is found.test:
        train = test = sets[0]
        try:
            mean, std = pixel_statistics(pixels)
        except InputError:  # one value everywhere: the statistics of the training count, not these
            mean, std = (0.0,) * pixels.shape[1], (1.0,) * pixels.shape[1]
    else:
        train, test = sets[:2]
        _check_every_class_is_left(found, train, test, decoded.skipped)
        is_imagenet = name == "imagenet" and pixels.shape[1] == STREAMED_CHANNELS
        mean, std = IMAGENET_STATISTICS if is_imagenet else pixel_statistics(train.pixels)
    return DataSet(
        name,
        found.classes,
        train,
        test,
        mean,
        std,
        decoded.skipped,
        None if train is test else sources[0],
        sources[0] if train is test else sources[1],
        sources[2] if validation else None,
        test_is=found.test_is,
        notes=found.notes,
        validation=validation,
    )


def check_size(image_size: int | None) -> None:
    if image_size is not None and image_size < MIN_IMAGE_SIZE:
        raise InputError(
            f"the images are to be {image_size}x{image_size} pixels, but {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} is the "
            f"least a network can use: give --image-size {MIN_IMAGE_SIZE} or more"
        )


def expand_home(root: Path | str) -> Path:
    """The path with `~` replaced by the home folder."""
    try:
        return Path(root).expanduser()
    except (RuntimeError, ValueError):
        raise InputError(f"{quoted(root)} names the home folder of an unknown user: check this path") from None


def _check_every_class_is_left(found: ImageFolder, train: Images, test: Images, skipped: tuple[str, ...]) -> None:
    """Check that every class that had training or test images still has some, which can be read."""
    for what, files, images in (("training", found.train, train), ("test", found.test, test)):
        had, has = (labels.bincount(minlength=len(found.classes)) > 0 for labels in (files.labels, images.labels))
        if empty := (had & ~has).nonzero().flatten().tolist():
            raise InputError(
                f"no {what} image of class {quoted(found.classes[empty[0]])} can be read ({len(skipped)} images were "
                f"skipped; the first is {skipped[0]}): repair some of them, or remove the class"
            )
