"""Images in: a data set by name, held whole in memory as uint8."""

from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pcdarts.data.decode import OnBadImage, does_not_fit, quoted, read_images, reason
from pcdarts.data.folder import find_images
from pcdarts.data.split import stratified_subset
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, did_you_mean

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

# Where the data sets that torchvision knows are looked for, below the root.
_TORCHVISION = {
    "fashion-mnist": ("FashionMNIST", "FashionMNIST/raw/train-images-idx3-ubyte and the three other unpacked files"),
    "cifar10": ("CIFAR10", "cifar-10-python.tar.gz"),
    "cifar100": ("CIFAR100", "cifar-100-python.tar.gz"),
}
DATA_NAMES = ("fashion-mini", *_TORCHVISION, "folder")

# Mean and standard deviation of the training images where everyone uses the same (CIFAR-10: the authors' figures).
_STATISTICS = {
    "cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)),
    "cifar100": ((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
}


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: `pixels` uint8 `[N, C, H, W]`, `labels` int64 `[N]`.

    Raises:
        InputError: not one label for each image.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise InputError(f"{len(self.pixels)} images have {len(self.labels)} labels: give one to each")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "Images":
        """The images at `indices` `[M]`, in that order."""
        return Images(self.pixels[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class DataSet:
    """What a job learns from (`train`) and is measured on (`test`).

    Raises:
        InputError: a set without images, a label that is no index of `classes`, or two sets whose images differ in
            shape.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to [0, 1], as is `std`."""
    std: tuple[float, ...]
    skipped: tuple[str, ...] = ()
    """A line for each image that was left out because it cannot be read: its path and the reason."""

    def __post_init__(self) -> None:
        for what, images in (("training", self.train), ("test", self.test)):
            if not len(images):
                raise InputError(f"{self.name!r} has no {what} images: the file is damaged")
            low, high = (int(extreme) for extreme in images.labels.aminmax())
            if low < 0 or high >= self.num_classes:
                raise InputError(
                    f"the {what} labels of {self.name!r} run from {low} to {high}, but its {self.num_classes} classes "
                    f"are 0 to {self.num_classes - 1}: the file is damaged or of another data set"
                )
        if self.train.pixels.shape[1:] != self.test.pixels.shape[1:]:
            raise InputError(
                f"the training images of {self.name!r} are {list(self.train.pixels.shape[1:])} and its test images "
                f"{list(self.test.pixels.shape[1:])} (channels, height, width): they must agree"
            )

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def image_channels(self) -> int:
        return self.train.pixels.shape[1]

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return self.train.pixels.shape[-1]

    def digest(self) -> str:
        """A fingerprint of all images and labels: the same if and only if they are."""
        found = blake2b(digest_size=16)
        for tensor in (self.train.pixels, self.train.labels, self.test.pixels, self.test.labels):
            found.update(repr(tuple(tensor.shape)).encode())
            for part in tensor.split(1024):
                found.update(part.contiguous().numpy())
        return found.hexdigest()

    def __str__(self) -> str:
        colours = "colour" if self.image_channels > 1 else "greyscale"
        return f"{self.name} ({self.num_classes} classes, {self.image_size}x{self.image_size} {colours})"


def load_data(
    name: str,
    *,
    root: Path | str | None = None,
    image_size: int | None = None,
    train_images: int | None = None,
    test_images: int | None = None,
    seed: int = 0,
    on_bad_image: OnBadImage = "stop",
) -> DataSet:
    """Load a data set into memory.

    Args:
        name: one of `DATA_NAMES`.
        root: the image folder for `folder`; where torchvision keeps its data sets (`data` when None, downloaded if
            they are not there); not for `fashion-mini`, which is part of this package.
        image_size: side of the images in pixels; None keeps their own.
        train_images, test_images: keep so many if there are more, equally many of each class, drawn by `seed`.
        on_bad_image: what an image in a folder that cannot be read does: "stop" refuses the folder, "skip" leaves the
            image out. Which images are test images, and which are kept, is settled before: no image takes its place.

    Raises:
        InputError: an unknown name, data that is not there or cannot be read, a class of which nothing can be read,
            a size below `MIN_IMAGE_SIZE`, more pixels than memory, or fewer images to keep than there are classes.
    """
    if name not in DATA_NAMES:
        raise InputError(f"unknown data {name!r}: {did_you_mean(name, DATA_NAMES)}")
    _check_size(image_size)
    skipped: tuple[str, ...] = ()
    if name == "folder":
        if root is None:
            raise InputError("data 'folder' needs the folder of images: give --data-root")
        found = find_images(_expanded(root))
        classes = found.classes
        train_files = found.train.subset(_kept(found.train.labels, classes, "train", train_images, seed))
        test_files = found.test.subset(_kept(found.test.labels, classes, "test", test_images, seed))
        # Together, because the size and the number of channels are those of all images.
        decoded = read_images(train_files.paths + test_files.paths, image_size, on_bad_image)
        labels = torch.cat([train_files.labels, test_files.labels])[decoded.kept]
        count = int((decoded.kept < len(train_files.paths)).sum())
        train, test = Images(decoded.pixels[:count], labels[:count]), Images(decoded.pixels[count:], labels[count:])
        skipped = decoded.skipped
        _check_every_class_is_left(classes, train, test, skipped)
    else:
        classes, train, test = _fashion_mini(root) if name == "fashion-mini" else _from_torchvision(name, root)
        train = _resized(train.subset(_kept(train.labels, classes, "train", train_images, seed)), image_size)
        test = _resized(test.subset(_kept(test.labels, classes, "test", test_images, seed)), image_size)
    _check_size(train.pixels.shape[-1])
    mean, std = _STATISTICS.get(name) or pixel_statistics(train.pixels)
    return DataSet(name, classes, train, test, mean, std, skipped)


def pixel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 `[N, C, H, W]`, of pixels scaled to [0, 1].

    Counted, not summed: 256 exact counts per channel give both in float64 with no copy of the images.

    Raises:
        InputError: a channel with the same value everywhere, which cannot be normalised.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for index, channel in enumerate(pixels.unbind(1)):
        counts = channel.flatten().bincount(minlength=256).cpu().double()
        average = (counts @ values / counts.sum()).item()
        deviation = (counts @ (values - average).square() / counts.sum()).sqrt().item()
        if counts.count_nonzero() == 1:
            raise InputError(f"channel {index} of all training images has one value everywhere: nothing can be learnt")
        mean.append(average)
        std.append(deviation)
    return tuple(mean), tuple(std)


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


def _from_torchvision(name: str, root: Path | str | None) -> tuple[tuple[str, ...], Images, Images]:
    from torchvision import datasets  # type: ignore[import-untyped]  # slow to import, and only needed here

    class_name, files = _TORCHVISION[name]
    folder = _expanded("data" if root is None else root)
    try:
        sets = [getattr(datasets, class_name)(folder, train=is_train, download=True) for is_train in (True, False)]
        train, test = (
            Images(_channels_first(torch.as_tensor(part.data)), torch.as_tensor(part.targets).long()) for part in sets
        )
        classes = tuple(sets[0].classes)
    except Exception as error:  # a failed download, a damaged file, a full disk: torchvision raises nearly anything
        raise InputError(
            f"data {name!r} could not be read from or downloaded to {quoted(folder)} ({reason(error)}): put {files} "
            "there, or give another --data-root"
        ) from error
    return classes, train, test


def _channels_first(pixels: Tensor) -> Tensor:
    """uint8 `[N, H, W]` or `[N, H, W, C]` as `[N, C, H, W]`."""
    if pixels.dtype != torch.uint8:
        raise ValueError(f"pixels are {pixels.dtype}, not bytes")
    return pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
