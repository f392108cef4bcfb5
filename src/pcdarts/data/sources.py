"""Images in: a data set by name, held whole in memory as uint8 or, if it is too large for that, streamed from files."""

from collections.abc import Collection
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pcdarts.data.disk.decode import OnBadImage, does_not_fit
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.encoded import (
    FILES,
    Loading,
    check_size,
    expanded,
    find_encoded,
    find_files,
    kept_of,
    limit_line,
    of_a_part,
    read_files,
    some_of,
    without_learnt,
)
from pcdarts.data.disk.image_files import FileId, files_digest
from pcdarts.data.downloads import TITLES, read_torchvision
from pcdarts.data.images import DataSet, Images, classes_line, pixel_statistics
from pcdarts.errors import InputError, did_you_mean, listed, shown

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


DATA_NAMES = ("fashion-mini", *TITLES, *FILES)


CIFAR10_STATISTICS = ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))
"""The authors' figures, which their scripts use for CIFAR-100 as well."""

# Mean and standard deviation of the training images where everyone uses the same.
_STATISTICS = {
    "cifar10": CIFAR10_STATISTICS,
    "cifar100": ((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
}


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
) -> DataSet:
    """Load a data set into memory, or find out what to stream.

    Args:
        name: one of `DATA_NAMES`.
        root: the image folder for `folder` and `imagenet`; where torchvision keeps its data sets (`data` when None,
            downloaded if they are not there); not for `fashion-mini`, which is part of this package.
        hub_name: for `huggingface`, see `find_hub_images`.
        image_size: side of the images in pixels; None keeps their own.
        train_images, test_images: keep so many if there are more, equally many of each class, drawn by `seed`.
        on_bad_image: what an image that cannot be read does: "stop" refuses the data, "skip" leaves the image out; of
            streamed ones when their turn comes. No other image takes its place or its set.
        loading: "resident" in memory, "streaming" from files; "auto" streams what needs more than `RESIDENT_BYTES`.
        border: what is cut off either side of an image in a file before it is resized, see `decode.fitted`.
        workers: the processes that read streamed images; 0 is this one.
        pixel_range: what is black and white in files of more than 8 bits; found when None, see `settle_range`.
        train_set, test_set: which folder below the root, or which split, is which set; see `find_images`.

    Raises:
        InputError: an unknown name, data that is not there or cannot be read, a class of which nothing can be read,
            a size below `MIN_IMAGE_SIZE`, more pixels than memory, fewer images to keep than there are classes, or
            a data set to stream that has no files.
    """
    _check_name(name)
    check_size(image_size)
    if name in FILES:
        found = find_files(name, root, hub_name, train_set, test_set, train_images, test_images, seed)
        data = read_files(name, found, image_size, on_bad_image, loading, border, workers, pixel_range)
        return replace(data, files=files_digest(found.train, found.test))
    if loading == "streaming":
        raise InputError(f"data {name!r} is read whole and cannot be streamed: drop --loading, or use {listed(FILES)}")
    if chosen := train_set or test_set:
        raise InputError(
            f"data {name!r} has sets of its own, and none called {shown(chosen)}: drop --train-set and --test-set"
        )
    classes, train, test = _own_sets(name, root)
    notes = (classes_line(classes), *limit_line("train", len(train), train_images))
    notes = (*notes, *limit_line("test", len(test), test_images))
    test_is = of_a_part(f"the test set of {name}", len(test), test_images)
    train = _resized(train.subset(kept_of(train.labels, classes, "train", train_images, seed)), image_size)
    test = _resized(test.subset(kept_of(test.labels, classes, "test", test_images, seed)), image_size)
    check_size(train.shape[-1])
    statistics = _STATISTICS.get(name) or pixel_statistics(train.pixels)
    return DataSet(name, classes, train, test, *statistics, test_is=test_is, notes=notes)


def _own_sets(name: str, root: Path | str | None) -> tuple[tuple[str, ...], Images, Images]:
    """Classes, training and test images of a data set that has sets of its own."""
    return _fashion_mini(root) if name == "fashion-mini" else read_torchvision(name, expanded(root or "data"))


def load_measured(
    name: str,
    *,
    root: Path | None = None,
    hub_name: str | None = None,
    image_size: int | None = None,
    test_images: int | None = None,
    seed: int = 0,
    on_bad_image: OnBadImage = "stop",
    loading: Loading = "auto",
    border: float = 0.0,
    workers: int = 0,
    pixel_range: PixelRange | None = None,
    test_set: str | None = None,
    learnt: Collection[FileId] = (),
) -> DataSet:
    """Load images to measure a network on that was trained elsewhere: the test set, or all images where there is none.

    Of all images those in `learnt` are left out, which the network was trained on (see `file_ids`). Other arguments and
    errors are as in `load_data`; the images are `test`, and `train` too.
    """
    if name not in FILES:
        return load_data(
            name,
            root=root,
            image_size=image_size,
            test_images=test_images,
            seed=seed,
            loading=loading,
            test_set=test_set,
        )
    _check_name(name)
    check_size(image_size)
    found = without_learnt(find_encoded(name, root, hub_name, None, test_set, to_measure=True), learnt)
    return read_files(
        name,
        some_of(found, test_images, test_images, seed),
        image_size,
        on_bad_image,
        loading,
        border,
        workers,
        pixel_range,
    )


def _check_name(name: str) -> None:
    if name not in DATA_NAMES:
        raise InputError(f"unknown data {name!r}: {did_you_mean(name, DATA_NAMES)}")


def _resized(images: Images, image_size: int | None) -> Images:
    """Square images at another size, antialiased."""
    if image_size is None or image_size == images.pixels.shape[-1]:
        return images
    try:
        pixels = F.interpolate(images.pixels, (image_size, image_size), mode="bilinear", antialias=True)
    except (RuntimeError, TypeError):  # PyTorch's words for too little memory, and for too large a number
        raise does_not_fit(len(images), images.pixels.shape[1], image_size) from None
    return Images(pixels, images.labels)


def _fashion_mini(root: Path | str | None) -> tuple[tuple[str, ...], Images, Images]:
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
    return FASHION_CLASSES, train, test
