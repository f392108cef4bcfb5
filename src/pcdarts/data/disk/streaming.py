"""Images that stay in files until a batch needs them: decoded, cropped and jittered in worker processes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import tee

import torch
from PIL import Image
from torch import Tensor

from pcdarts.data.disk.decode import BadImage, OnBadImage, decode, fit_to_square, strict_warnings
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.image_files import ImageFiles, ImageSources, add_identities
from pcdarts.data.disk.workers import in_workers
from pcdarts.errors import RunError

STREAMED_CHANNELS = 3
"""Streamed images become RGB: whether all are greyscale is unknown before they are decoded."""


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Labelled image files, the counterpart of `Images`."""

    files: ImageFiles
    image_size: int
    """S: the side of an image in a batch, in pixels."""
    border: float
    """The share cut off each side before an image is resized; not used for random crops."""
    on_bad_image: OnBadImage
    workers: int
    pixel_range: PixelRange | None = None
    """Black and white in images with more than 8 bits."""
    skipped: dict[str, str] = field(default_factory=dict)
    """A line for each image skipped so far because it cannot be read, by name; shared by all subsets."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> Tensor:
        return self.files.labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return STREAMED_CHANNELS, self.image_size, self.image_size

    def subset(self, indices: Tensor) -> "StreamedImages":
        """The images at `indices` `[M]`, in that order."""
        return replace(self, files=self.files.subset(indices))

    def relabelled(self, labels: Tensor) -> "StreamedImages":
        """The same images with other labels `[N]`."""
        return replace(self, files=replace(self.files, labels=labels))

    def update(self, found: blake2b) -> None:
        """Add names, sizes and classes of the images to a digest."""
        found.update(repr(self.shape).encode())
        add_identities(found, self.files.sources)
        found.update(self.labels.numpy().tobytes())
        if self.pixel_range is not None:
            found.update(repr(self.pixel_range).encode())

    def read(
        self, chances: Iterable[Tensor], resized: bool, color_jitter: float, pin_memory: bool
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Decode the images of batches ahead of time.

        Args:
            chances: for each batch int64 `[rows, B]`: the first row holds the indices of the images, the last one the
                seeds of their random crops and colours.
            resized, color_jitter: see `Augmentation`.

        Yields:
            The same tensor; the positions in the batch of the images that could be read, int64 `[M]`; and these images,
            uint8 `[M, S, S, C]`.

        Raises:
            RunError: an image cannot be read and such images are not skipped; or a worker process was lost.
        """
        chances, ahead = tee(chances)
        requests = ((chance[0].tolist(), chance[-1].tolist()) for chance in ahead)
        sources, size, border = self.files.sources, self.image_size, self.border
        reading = _Reading(sources, size, border, self.on_bad_image, self.pixel_range, resized, color_jitter)
        results = in_workers(reading, requests, self.workers, pin_memory)
        for chance, (kept, pixels, bad) in zip(chances, results, strict=False):
            self.skipped.update(bad)
            yield chance, kept, pixels


@dataclass(frozen=True)
class _Reading:
    """A worker's task: (indices, seeds) of a batch to (positions read, their pixels, lines about bad images)."""

    sources: ImageSources
    image_size: int
    border: float
    on_bad_image: OnBadImage
    pixel_range: PixelRange | None
    resized: bool
    color_jitter: float

    def __call__(self, request: tuple[list[int], list[int]]) -> tuple[Tensor, Tensor, dict[str, str]]:
        with strict_warnings():
            return self._read(*request)

    def _read(self, indices: list[int], seeds: list[int]) -> tuple[Tensor, Tensor, dict[str, str]]:
        kept: list[int] = []
        images: list[Tensor] = []
        bad: dict[str, str] = {}
        for position, (index, seed) in enumerate(zip(indices, seeds, strict=True)):
            source = self.sources[index]
            try:
                image = decode(source, pixel_range=self.pixel_range).convert("RGB")
            except BadImage as error:
                if self.on_bad_image == "stop":
                    raise error.during_job() from None
                bad[str(source)] = error.line
                continue
            image = self._augment(image, seed) if self.resized else fit_to_square(image, self.image_size, self.border)
            kept.append(position)
            images.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8))
        shape = (-1, self.image_size, self.image_size, STREAMED_CHANNELS)
        pixels = torch.stack(images) if images else torch.empty(0, dtype=torch.uint8)
        return torch.tensor(kept, dtype=torch.int64), pixels.view(shape), bad

    def _augment(self, image: Image.Image, seed: int) -> Image.Image:
        """A random crop of an image with random colours; a function of the seed."""
        from torchvision.transforms import v2  # type: ignore[import-untyped]  # slow to import; workers have it

        jitter = self.color_jitter
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
            image = v2.RandomResizedCrop(self.image_size)(image)
            if jitter > 0:
                image = v2.ColorJitter(jitter, jitter, jitter, min(jitter / 2, 0.5))(image)
        return image


def complete(kept: Tensor, count: int, what: str) -> Tensor:
    """Positions `[count]` among the `kept` images that fill a batch: images are repeated in place of missing ones.

    Raises:
        RunError: none is kept.
    """
    if len(kept) == 0:
        raise RunError(f"none of the {count} images of a batch of {what} can be read: repair them, then resume")
    return torch.arange(count) % len(kept)
