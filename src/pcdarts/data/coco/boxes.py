"""Batches for detection: images are decoded and augmented together with their boxes, in worker processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pcdarts.data.batches import Order
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.disk.decode import BadImage, strict_warnings
from pcdarts.data.disk.streaming import complete
from pcdarts.data.disk.workers import in_workers
from pcdarts.errors import InputError
from pcdarts.ops.sending import send


@dataclass(frozen=True, eq=False)
class BoxBatch:
    """Images and their objects."""

    images: Tensor
    """`[B, 3, S, S]`, float32, normalised, in channels_last memory format."""
    targets: list[dict[str, Tensor]]
    """For each image "boxes" (left, top, right, bottom) in pixels of `images`, float32 `[n, 4]`, and "labels", int64
    `[n]`, starting at 1; n may be 0."""
    image_ids: list[int]
    sizes: Tensor
    """Height and width of the stored images in pixels, int64 `[B, 2]`, on the CPU."""


class BoxBatches:
    """An endless supply of epochs over `images`, as `Batches` for classification; it documents the other arguments.

    Batch b of epoch e is a pure function of (seed, stream, e, b): the same after a resume and with any number of
    workers.

    Args:
        image_size: S; an image is resized to a square, whatever its shape.
        augment: use SSD's augmentation (Liu et al., 2016, Sec. 2.2, and torchvision's reference): distort the colours,
            zoom out on a canvas of the mean colour, crop with some overlap with the boxes, mirror.
        workers: processes that read; 0 reads in this one.

    If bad images are skipped, another image of the batch is repeated in their place (with `shuffle`), or they are
    missing.

    Raises:
        InputError: a batch size below 1, or no image.
    """

    def __init__(
        self,
        images: CocoImages,
        *,
        batch_size: int,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        augment: bool,
        shuffle: bool,
        seed: int,
        stream: str,
        device: torch.device | str,
        share: tuple[int, int] = (0, 1),
        workers: int = 0,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1 or len(images) < 1:
            raise InputError(
                f"batch_size is {batch_size} for {len(images)} images of {images.name!r}: both must be 1 or more"
            )
        self.batch_size = batch_size
        self.order = Order(len(images), batch_size, shuffle, drop_last, seed, stream, share)
        self.device = torch.device(device)
        self.workers = workers
        self.skipped: dict[int, str] = {}
        """A line for each image that could not be read so far, by its index."""
        self._images = images
        self._reading = _Reading(images, image_size, tuple(mean) if augment else None)
        self._mean = torch.tensor(mean, device=self.device)
        self._std = torch.tensor(std, device=self.device)
        self._white = torch.tensor(255.0, device=self.device)  # as in `data/batches.py`

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.order)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[BoxBatch]:
        """Yield batches `start`, `start + 1`, ... of an epoch.

        Raises:
            InputError: an image cannot be read, and such images are not skipped.
            RunError: a worker was lost, or no image of a batch can be read.
        """
        requests = self._requests(epoch, start)
        for read in in_workers(self._reading, requests, self.workers, self.device.type == "cuda"):
            self.skipped |= read.bad
            count = len(read.kept) + len(read.bad)
            if read.bad and self.order.shuffle:
                yield self._batch(read, complete(torch.arange(len(read.kept)), count, self._images.name).tolist())
            elif read.kept:
                yield self._batch(read, list(range(len(read.kept))))

    def _requests(self, epoch: int, start: int) -> Iterator["_Request"]:
        """This process's share of each batch: the indices of the images, and a seed for each."""
        for indices, draw in self.order.batches(epoch, start):
            seeds = torch.randint(2**32, indices.shape, generator=draw)
            own = self.order.own(torch.stack([indices, seeds]))
            if own.numel():
                yield own[0].tolist(), own[1].tolist()

    def _batch(self, read: "_Read", positions: list[int]) -> BoxBatch:
        pixels = send(read.pixels[positions], self.device)
        images = pixels.float().div_(self._white).sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)
        boxes = send(read.boxes, self.device).split(read.counts)
        labels = send(read.labels, self.device).split(read.counts)
        kept = [read.kept[position] for position in positions]
        return BoxBatch(
            images,
            [{"boxes": boxes[position], "labels": labels[position]} for position in positions],
            [self._images.image_ids[index] for index in kept],
            torch.from_numpy(self._images.sizes[kept]),
        )


_Request = tuple[list[int], list[int]]


class _Read(NamedTuple):
    """A worker's result for a batch: few tensors, because each takes a file descriptor."""

    pixels: Tensor  # uint8 [M, S, S, 3]
    boxes: Tensor  # [sum(counts), 4]
    labels: Tensor
    counts: list[int]
    kept: list[int]  # the indices of these images
    bad: dict[int, str]  # a line for each image that cannot be read


@dataclass(frozen=True)
class _Reading:
    """A worker's task: the indices and seeds of a batch to its images."""

    images: CocoImages
    image_size: int
    zoom_out_colour: tuple[float, ...] | None
    """None: no augmentation."""

    def __call__(self, request: _Request) -> _Read:
        transform = self._transform()
        read: list[tuple[Tensor, Tensor, Tensor]] = []
        kept: list[int] = []
        bad: dict[int, str] = {}
        with strict_warnings(), torch.random.fork_rng(devices=[]):
            for index, seed in zip(*request, strict=True):
                try:
                    read.append(self._one(transform, index, seed))
                    kept.append(index)
                except BadImage as error:
                    if self.images.on_bad_image == "stop":
                        raise error.during_job() from None
                    bad[index] = error.line
        if not read:
            return _Read(torch.empty(0), torch.empty(0), torch.empty(0), [], kept, bad)
        pixels, boxes, labels = zip(*read, strict=True)
        return _Read(torch.stack(pixels), torch.cat(boxes), torch.cat(labels), list(map(len, labels)), kept, bad)

    def _one(self, transform: Any, index: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """An image uint8 `[S, S, 3]`, its boxes and labels."""
        from torchvision import tv_tensors  # type: ignore[import-untyped]

        image = tv_tensors.Image(self.images.read(index))
        boxes, labels = self.images.target(index)
        framed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=tuple(image.shape[-2:]))
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: that would seed a GPU as well
        image, target = transform(image, {"boxes": framed, "labels": labels})
        return image.as_subclass(Tensor).permute(1, 2, 0), target["boxes"].as_subclass(Tensor), target["labels"]

    def _transform(self) -> Any:
        from torchvision.transforms import v2  # type: ignore[import-untyped]  # slow to import; workers have it

        resize = v2.Resize((self.image_size, self.image_size), antialias=True)
        if self.zoom_out_colour is None:
            return v2.Compose([resize, v2.SanitizeBoundingBoxes()])
        return v2.Compose(
            [
                v2.RandomPhotometricDistort(),
                v2.RandomZoomOut(fill=[255 * channel for channel in self.zoom_out_colour]),
                v2.RandomIoUCrop(),
                v2.RandomHorizontalFlip(),
                resize,
                v2.SanitizeBoundingBoxes(),
            ]
        )
