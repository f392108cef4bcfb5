"""Labelled images in memory, and a data set: training and test images with what is known about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.image_files import ImageSources
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.leak_words import Leaks
from pcdarts.errors import InputError, counted, first_of, listed, shown


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: `pixels` uint8 `[N, C, H, W]`, `labels` int64 `[N]`.

    Raises:
        InputError: there is not one label per image.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise InputError(f"{len(self.pixels)} images have {len(self.labels)} labels: give one to each")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def subset(self, indices: Tensor) -> "Images":
        """The images at `indices` `[M]`, in that order."""
        return Images(self.pixels[indices], self.labels[indices])

    def relabelled(self, labels: Tensor) -> "Images":
        """The same images with other labels `[N]`."""
        return Images(self.pixels, labels)

    def with_channels(self, channels: int) -> "Images":
        """The same images; greyscale ones are repeated in so many channels, as in a data set with colour images."""
        return Images(self.pixels.expand(-1, channels, -1, -1), self.labels) if self.shape[0] == 1 else self

    def update(self, found: blake2b) -> None:
        """Add all pixels and labels to a digest."""
        for tensor in (self.pixels, self.labels):
            found.update(repr(tuple(tensor.shape)).encode())
            for part in tensor.split(1024):
                found.update(part.contiguous().numpy())


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images, and those to choose by if there are any.

    Raises:
        InputError: a set has no images, a label is not an index of `classes`, or the shapes of the sets differ.
    """

    name: str
    classes: tuple[str, ...]
    train: Images | StreamedImages
    test: Images | StreamedImages
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to [0, 1], as is `std`."""
    std: tuple[float, ...]
    left_out: tuple[str, ...] = ()
    """A line for each image that could not be read when the data was loaded: its path and the reason."""
    train_sources: ImageSources | None = None
    """The files of the training images in their order, if they come from files."""
    test_sources: ImageSources | None = None
    """The same for the test images."""
    validation_sources: ImageSources | None = None
    pixel_range: PixelRange | None = None
    """Black and white in the images with more than 8 bits; None if there are none."""
    test_is: str = "its test set"
    """Which images `test` are, in words. In data that is only measured, `train` is the same images."""
    files: str | None = None
    """A digest of the names, sizes in bytes and classes of the files, if the data comes from files."""
    notes: tuple[str, ...] = ()
    """Lines that every job prints about the data at its start."""
    validation: Images | StreamedImages | None = None
    """Images that choose: never learnt from, and never tested on. None: nothing is chosen."""
    leaks: Leaks | None = None
    """How many images are in two of the sets; None if nobody looked."""

    def __post_init__(self) -> None:
        sets = {"training": self.train, "test": self.test}
        if self.validation is not None:
            sets["validation"] = self.validation
        for what, images in sets.items():
            if not len(images):
                raise InputError(f"{self.name!r} has no {what} images: the file is damaged")
            low, high = (int(extreme) for extreme in images.labels.aminmax())
            if low < 0 or high >= self.num_classes:
                raise InputError(
                    f"the {what} labels of {self.name!r} run from {low} to {high}, but its {self.num_classes} classes "
                    f"are 0 to {self.num_classes - 1}: the file is damaged or of another data set"
                )
            if self.train.shape != images.shape:
                raise InputError(
                    f"the training images of {self.name!r} are {list(self.train.shape)} and its {what} images "
                    f"{list(images.shape)} (channels, height, width): they must agree"
                )

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def image_channels(self) -> int:
        return self.train.shape[0]

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return self.train.shape[-1]

    @property
    def skipped(self) -> tuple[str, ...]:
        """A line for each image left out so far because it cannot be read: its path and the reason."""
        every = (self.train, self.validation, self.test)
        streams = [images for images in every if isinstance(images, StreamedImages)]
        return (*self.left_out, *(line for images in streams for line in images.skipped.values()))

    def digest(self) -> str:
        """A digest of all images and labels; of streamed images, of their names and sizes."""
        found = blake2b(digest_size=16)
        for images in (self.train, self.test, self.validation):
            if images is not None:
                images.update(found)
        return found.hexdigest()

    def __str__(self) -> str:
        colours = "colour" if self.image_channels > 1 else "greyscale"
        return f"{self.name} ({self.num_classes} classes, {self.image_size}x{self.image_size} {colours})"


def classes_line(classes: Sequence[str]) -> str:
    """The number of classes and the names of at most ten."""
    names = first_of([shown(name, 40) for name in classes], 10)
    return f"{counted(len(classes), 'class', 'classes')}: {listed(names, 'and')}"


def pixel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 `[N, C, H, W]`, of pixels scaled to [0, 1].

    Computed in float64 from a histogram of each channel, without a copy of the images.

    Raises:
        InputError: a channel has one value everywhere, so it cannot be normalised.
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
