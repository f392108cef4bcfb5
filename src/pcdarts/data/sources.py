"""Data sets by name: held in memory as uint8, or streamed from their files if they are too large for that."""

from collections.abc import Callable, Collection
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pcdarts.config.groups.values import DATA_NAMES, IMAGE_FILES
from pcdarts.data.disk.decode import OnBadImage, too_many_pixels
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.encoded import Loading, check_size, expand_home, find_files, read_files
from pcdarts.data.disk.image_files import FileId, files_digest
from pcdarts.data.downloads import TITLES, read_torchvision
from pcdarts.data.images import DataSet, Images, classes_line, pixel_statistics
from pcdarts.data.leaks import with_leaks
from pcdarts.data.sets import keep_for_validation, limit_images, limit_training
from pcdarts.errors import InputError, did_you_mean, listed, shown

Read = tuple[tuple[str, ...], Images, Images]
"""The names of the classes, the training and the test images of a data set."""

CIFAR10_STATISTICS = ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))
"""Mean and standard deviation in the authors' scripts, which use them for CIFAR-100 as well."""

_STATISTICS = {
    "cifar10": CIFAR10_STATISTICS,
    "cifar100": ((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
}
"""Customary mean and standard deviation of the training images."""


def load_data(
    name: str,
    *,
    root: Path | str | None = None,
    hub_name: str | None = None,
    image_size: int | None = None,
    train_images: int | None = None,
    test_images: int | None = None,
    seed: int = 0,
    on_bad_image: OnBadImage = "stop",
    loading: Loading = "auto",
    border: float = 0.0,
    workers: int = 0,
    pixel_range: PixelRange | None = None,
    train_set: str | None = None,
    test_set: str | None = None,
    validation_set: str | None = None,
    validation_fraction: float = 0.0,
    to_measure: bool = False,
    learnt: Collection[FileId] = (),
) -> DataSet:
    """Load a data set into memory, or prepare to stream it.

    Args:
        name: one of `DATA_NAMES`.
        root: the image folder of `folder` and `imagenet`; for torchvision's data sets where they are kept (default
            `data`) and downloaded to if missing; not for `fashion-mini`, which is part of this package.
        hub_name: for `huggingface`, see `find_hub_images`.
        image_size: side of the images in pixels; None keeps their own.
        train_images, test_images: the most images to keep, equally many of each class, drawn by `seed`.
        on_bad_image: what happens if an image cannot be read: "stop" refuses the data, "skip" leaves the image out
            (a streamed image when it is needed). The split of the other images does not change.
        loading: "resident" in memory, "streaming" from files; "auto" streams what needs more than `RESIDENT_BYTES`.
        border: the share cut off each side of an image file before it is resized, see `fit_to_square`.
        workers: processes that read streamed images; 0 reads in this one.
        pixel_range: black and white in files with more than 8 bits; None finds it, see `find_pixel_range`.
        train_set, test_set, validation_set: folders below the root, or splits, to use as the sets; see `find_images`.
        validation_fraction: the share of each class of the training images that is kept for validation, where the data
            has no validation set; 0 keeps none, and a validation set that is not named is training or test data.
        to_measure: load only what is measured: the test set, or all images if there is none; `train` is then `test`.
        learnt: with `to_measure`, files that the network was trained on or chosen by, left out of "all images".

    Raises:
        InputError: an unknown name; data that is missing, cannot be read or does not fit in memory; a class without a
            readable image; images that are too small, or fewer than classes; streaming of data that has no files.
    """
    if name not in DATA_NAMES:
        raise InputError(f"unknown data {name!r}: {did_you_mean(name, DATA_NAMES)}")
    check_size(image_size)
    if name in IMAGE_FILES:
        which = (train_set, test_set, train_images, test_images, seed, to_measure, learnt)
        found = find_files(name, root, hub_name, *which, validation_set, validation_fraction)
        data = read_files(name, found, image_size, on_bad_image, loading, border, workers, pixel_range)
        if to_measure:
            return data
        digest = files_digest(found.train, found.test, found.validation)
        return with_leaks(replace(data, files=digest))
    _check_read_whole(name, loading, train_set or test_set or validation_set)
    data = _read_whole(name, root, image_size, train_images, test_images, seed, validation_fraction)
    return data if to_measure else with_leaks(data)


def _check_read_whole(name: str, loading: Loading, chosen: str | None) -> None:
    """Refuse what only data in image files can do: stream, and have sets that are chosen by name."""
    if loading == "streaming":
        raise InputError(
            f"data {name!r} is read whole and cannot be streamed: drop --loading, or use {listed(IMAGE_FILES)}"
        )
    if chosen:
        raise InputError(
            f"data {name!r} has sets of its own, and none called {shown(chosen)}: drop --train-set, --test-set and "
            "--validation-set"
        )


def _read_whole(
    name: str,
    root: Path | str | None,
    image_size: int | None,
    train_images: int | None,
    test_images: int | None,
    seed: int,
    fraction: float,
) -> DataSet:
    """A data set that one of `READERS` reads."""
    classes, train, every_test = READERS[name](root)
    validation, notes = None, [classes_line(classes)]
    if fraction:
        train, validation, said = keep_for_validation(train, classes, fraction)
        notes += said
    train, validation = limit_training(train, validation, classes, train_images, seed, fraction, notes)
    test = limit_images(every_test, classes, "test", test_images, seed, notes)
    test_is = f"the test set of {name}" + (f"; {len(every_test):,} in all" if len(test) < len(every_test) else "")
    train, test = _resized(train, image_size), _resized(test, image_size)
    validation = validation and _resized(validation, image_size)
    check_size(train.shape[-1])
    mean, std = _STATISTICS.get(name) or pixel_statistics(train.pixels)
    return DataSet(name, classes, train, test, mean, std, test_is=test_is, notes=tuple(notes), validation=validation)


def _resized(images: Images, image_size: int | None) -> Images:
    """Square images at another size, antialiased."""
    if image_size is None or image_size == images.pixels.shape[-1]:
        return images
    try:
        pixels = F.interpolate(images.pixels, (image_size, image_size), mode="bilinear", antialias=True)
    except (RuntimeError, TypeError):  # what PyTorch raises if memory is short, or if the size is out of range
        raise too_many_pixels(len(images), images.pixels.shape[1], image_size) from None
    return Images(pixels, images.labels)


def _fashion_mini(root: Path | str | None) -> Read:
    """The small part of Fashion-MNIST in this package."""
    if root is not None:
        raise InputError(
            "data 'fashion-mini' is part of this package and takes no --data-root: leave it out, or choose --data"
        )
    with (
        resources.files("pcdarts.data").joinpath("fashion-mini.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        train, test = (
            Images(
                torch.from_numpy(arrays[f"{which}_images"]).unsqueeze(1),
                torch.from_numpy(arrays[f"{which}_labels"]).long(),
            )
            for which in ("train", "test")
        )
    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
    return (*classes, "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"), train, test


def _by_torchvision(name: str) -> Callable[[Path | str | None], Read]:
    return lambda root: read_torchvision(name, expand_home(root or "data"))


READERS: dict[str, Callable[[Path | str | None], Read]] = {
    "fashion-mini": _fashion_mini,
    **{name: _by_torchvision(name) for name in TITLES},
}
"""What reads each data set that is held in memory whole, from its `--data-root` or None."""
