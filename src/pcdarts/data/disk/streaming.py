"""Images that stay files until a batch needs them: decoded, cropped and jittered in worker processes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import tee

import torch
from PIL import Image
from torch import Tensor

from pcdarts.data.disk.decode import BadImage, OnBadImage, decoded, fitted, warnings_settled
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.image_files import ImageFiles, ImageSources, add_identities
from pcdarts.data.disk.workers import in_workers
from pcdarts.errors import RunError

STREAMED_CHANNELS = 3
"""Nobody knows whether all images are greyscale before they have been decoded: they become RGB."""


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Labelled image files, the counterpart of `Images`."""

    files: ImageFiles
    image_size: int
    """S: the side in pixels that they have in a batch."""
    border: float
    """How much of either side is cut off before an image is resized, where nothing is left to chance."""
    on_bad_image: OnBadImage
    workers: int
    pixel_range: PixelRange | None = None
    """What is black and white in images of more than 8 bits."""
    skipped: dict[str, str] = field(default_factory=dict)
    """A line for each image that was left out so far because it cannot be read, by name; shared by all subsets."""

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

    def update(self, found: "blake2b") -> None:
        """Add to a fingerprint what tells these images from others: names, bytes, classes."""
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
            chances: for each batch int64 `[rows, B]`, whose first row says which images, and whose last seeds the
                random part of each.
            resized: see `Augmentation`.
            color_jitter: see `Augmentation`.

        Yields:
            The same; which of the batch's images could be read, int64 `[M]`; and these as uint8 `[M, S, S, C]`.

        Raises:
            RunError: an image that cannot be read, unless these are skipped; or a worker process was lost.
        """
        chances, ahead = tee(chances)
        requests = ((chance[0].tolist(), chance[-1].tolist()) for chance in ahead)
        reading = _Reading(
            self.files.sources,
            self.image_size,
            self.border,
            self.on_bad_image,
            self.pixel_range,
            resized,
            color_jitter,
        )
        results = in_workers(reading, requests, self.workers, pin_memory)
        for chance, (kept, pixels, bad) in zip(chances, results, strict=False):
            self.skipped.update(bad)
            yield chance, kept, pixels


@dataclass(frozen=True)
class _Reading:
    """What a worker does for a batch: (which images, their seeds) to (positions read, their pixels, the bad ones)."""

    sources: ImageSources
    image_size: int
    border: float
    on_bad_image: OnBadImage
    pixel_range: PixelRange | None
    resized: bool
    color_jitter: float

    def __call__(self, request: tuple[list[int], list[int]]) -> tuple[Tensor, Tensor, dict[str, str]]:
        with warnings_settled():
            return self._read(*request)

    def _read(self, indices: list[int], seeds: list[int]) -> tuple[Tensor, Tensor, dict[str, str]]:
        kept: list[int] = []
        images: list[Tensor] = []
        bad: dict[str, str] = {}
        for position, (index, seed) in enumerate(zip(indices, seeds, strict=True)):
            source = self.sources[index]
            try:
                image = decoded(source, pixel_range=self.pixel_range).convert("RGB")
            except BadImage as error:
                if self.on_bad_image == "stop":
                    raise error.met_at_work() from None
                bad[str(source)] = error.line
                continue
            image = self._varied(image, seed) if self.resized else fitted(image, self.image_size, self.border)
            kept.append(position)
            images.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8))
        shape = (-1, self.image_size, self.image_size, STREAMED_CHANNELS)
        pixels = torch.stack(images) if images else torch.empty(0, dtype=torch.uint8)
        return torch.tensor(kept, dtype=torch.int64), pixels.view(shape), bad

    def _varied(self, image: Image.Image, seed: int) -> Image.Image:
        """A random part of an image in random colours; a function of its seed."""
        from torchvision.transforms import v2  # type: ignore[import-untyped]  # slow to import; workers have it

        jitter = self.color_jitter
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # which leaves those of GPUs alone
            image = v2.RandomResizedCrop(self.image_size)(image)
            if jitter > 0:
                image = v2.ColorJitter(jitter, jitter, jitter, min(jitter / 2, 0.5))(image)
        return image


def complete(kept: Tensor, count: int, what: str) -> Tensor:
    """Positions `[count]` among `kept` ones that make a batch whole again: some images stand in for missing ones.

    Raises:
        RunError: there is none.
    """
    if len(kept) == 0:
        raise RunError(f"none of the {count} images of a batch of {what} can be read: repair them, then resume")
    return torch.arange(count) % len(kept)
