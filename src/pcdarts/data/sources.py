"""Images in: a data set by name, held whole in memory as uint8 or, if it is too large for that, streamed from files."""

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pcdarts.data.decode import OnBadImage, does_not_fit, quoted, read_images
from pcdarts.data.depth import PixelRange
from pcdarts.data.downloads import TITLES, read_torchvision
from pcdarts.data.folder import ImageFolder, find_images
from pcdarts.data.hub import find_hub_images
from pcdarts.data.images import DataSet, Images, pixel_statistics
from pcdarts.data.pixel_range import settle_range
from pcdarts.data.split import stratified_subset
from pcdarts.data.streaming import STREAMED_CHANNELS, StreamedImages
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, did_you_mean, listed

Loading = Literal["auto", "resident", "streaming"]

MIN_IMAGE_SIZE = 8
"""Pixels: two reduction cells leave 2 of them, and less is no image."""

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

FILES = ("folder", "imagenet", "huggingface")
"""Data sets of encoded images, which can be streamed; `imagenet` is a folder with a place of its own."""

DATA_NAMES = ("fashion-mini", *TITLES, *FILES)

RESIDENT_BYTES = 2 * 10**9
"""Images that need more are streamed, unless told otherwise: the same on every machine, so that a run can move."""

IMAGENET_STATISTICS: tuple[tuple[float, ...], tuple[float, ...]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What everyone normalises photographs with; those of streamed images would take a pass over all of them."""

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
) -> DataSet:
    """Load a data set into memory, or find out what to stream.

    Args:
        name: one of `DATA_NAMES`.
        root: the image folder for `folder` and `imagenet`; where torchvision keeps its data sets (`data` when None,
            downloaded if they are not there); not for `fashion-mini`, which is part of this package.
        hub_name: for `huggingface`, see `find_hub_images`.
        image_size: side of the images in pixels; None keeps their own.
        train_images, test_images: keep so many if there are more, equally many of each class, drawn by `seed`.
        on_bad_image: what an image in a folder that cannot be read does: "stop" refuses the folder, "skip" leaves the
            image out. Which images are test images, and which are kept, is settled before: no image takes its place.
            Streamed images are read, and stop a job or are left out, when their turn comes.
        loading: "resident" in memory, "streaming" from files; "auto" streams what needs more than `RESIDENT_BYTES`.
        border: what is cut off either side of an image in a file before it is resized, see `decode.fitted`.
        workers: the processes that read streamed images; 0 is this one.
        pixel_range: what is black and white in files of more than 8 bits; found when None, see `settle_range`.

    Raises:
        InputError: an unknown name, data that is not there or cannot be read, a class of which nothing can be read,
            a size below `MIN_IMAGE_SIZE`, more pixels than memory, fewer images to keep than there are classes, or
            a data set to stream that has no files.
    """
    if name not in DATA_NAMES:
        raise InputError(f"unknown data {name!r}: {did_you_mean(name, DATA_NAMES)}")
    _check_size(image_size)
    if name in FILES:
        found = _some_of(_find(name, root, hub_name), train_images, test_images, seed)
        used, notes = settle_range(found.train.sources, found.test.sources, pixel_range, on_bad_image)
        if _is_streamed(found, loading, image_size):
            streams = [
                StreamedImages(files, image_size or 0, border, on_bad_image, workers, used or pixel_range)
                for files in (found.train, found.test)
            ]
            mean, std = IMAGENET_STATISTICS
            data = DataSet(name, found.classes, streams[0], streams[1], mean, std, (), found.train.sources)
        else:
            data = _decoded(name, found, image_size, border, on_bad_image, used or pixel_range)
        return replace(data, pixel_range=used, notes=(*data.notes, *notes))
    if loading == "streaming":
        raise InputError(f"data {name!r} is read whole and cannot be streamed: drop --loading, or use {listed(FILES)}")
    classes, train, test = (
        _fashion_mini(root)
        if name == "fashion-mini"
        else read_torchvision(name, _expanded("data" if root is None else root))
    )
    train = _resized(train.subset(_kept(train.labels, classes, "train", train_images, seed)), image_size)
    test = _resized(test.subset(_kept(test.labels, classes, "test", test_images, seed)), image_size)
    _check_size(train.shape[-1])
    mean, std = _STATISTICS.get(name) or pixel_statistics(train.pixels)
    return DataSet(name, classes, train, test, mean, std)


def _some_of(found: ImageFolder, train_images: int | None, test_images: int | None, seed: int) -> ImageFolder:
    """The images to keep."""
    train = found.train.subset(_kept(found.train.labels, found.classes, "train", train_images, seed))
    test = found.test.subset(_kept(found.test.labels, found.classes, "test", test_images, seed))
    return ImageFolder(found.classes, train, test)


def _find(name: str, root: Path | str | None, hub_name: str | None) -> ImageFolder:
    """All images of a data set of encoded images."""
    if name == "huggingface":
        if hub_name is None:
            raise InputError("data 'huggingface' needs the name of a data set: give --hub-name")
        if root is not None:
            raise InputError("data 'huggingface' is found by --hub-name: drop --data-root")
        return find_hub_images(hub_name)
    if name == "folder" and root is None:
        raise InputError("data 'folder' needs the folder of images: give --data-root")
    return find_images(_expanded("data/imagenet" if root is None else root))


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
    sources = [files.sources[index] for files in (found.train, found.test) for index in range(len(files))]
    decoded = read_images(sources, image_size, on_bad_image, border, pixel_range)
    labels = torch.cat([found.train.labels, found.test.labels])[decoded.kept]
    count = int((decoded.kept < len(found.train)).sum())
    train, test = Images(decoded.pixels[:count], labels[:count]), Images(decoded.pixels[count:], labels[count:])
    _check_every_class_is_left(found.classes, train, test, decoded.skipped)
    _check_size(train.shape[-1])
    known = name == "imagenet" and train.shape[0] == STREAMED_CHANNELS
    mean, std = IMAGENET_STATISTICS if known else pixel_statistics(train.pixels)
    kept = found.train.sources.subset(decoded.kept[:count])
    return DataSet(name, found.classes, train, test, mean, std, decoded.skipped, kept)


def _check_size(image_size: int | None) -> None:
    if image_size is not None and image_size < MIN_IMAGE_SIZE:
        raise InputError(
            f"the images are to be {image_size}x{image_size} pixels, but {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} is the "
            f"least a network can use: give --image-size {MIN_IMAGE_SIZE} or more"
        )


def _expanded(root: Path | str) -> Path:
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


def _kept(labels: Tensor, classes: tuple[str, ...], which: str, count: int | None, seed: int) -> Tensor:
    """Indices of the images to keep: all of them, or a stratified `count` of more."""
    if count is None or count >= len(labels):
        return torch.arange(len(labels))
    if count < len(classes):
        raise InputError(
            f"{which}_images is {count}, but there are {len(classes)} classes: use {len(classes)} or more, or none "
            "for all images"
        )
    return stratified_subset(labels, count, generator(seed, which, "images kept"))


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
