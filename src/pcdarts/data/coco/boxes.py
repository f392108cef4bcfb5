"""Batches for detection: images decoded and augmented together with their boxes, in worker processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.disk.decode import BadImage, warnings_settled
from pcdarts.data.disk.streaming import complete
from pcdarts.data.disk.workers import in_workers
from pcdarts.data.streams import generator
from pcdarts.errors import InputError
from pcdarts.ops.sending import send


@dataclass(frozen=True, eq=False)
class BoxBatch:
    """Images and what is in them."""

    images: Tensor
    """`[B, 3, S, S]`, float32, normalised, in channels_last memory format."""
    targets: list[dict[str, Tensor]]
    """For each image "boxes" (left, top, right, bottom) in pixels of `images`, float32 `[n, 4]`, and "labels", int64
    `[n]`, from 1; n may be 0."""
    image_ids: list[int]
    sizes: Tensor
    """Height and width of the stored images in pixels, int64 `[B, 2]`, on the CPU."""


class BoxBatches:
    """An endless supply of epochs over `images`, as `Batches` for classification.

    Batch b of epoch e is a pure function of (seed, stream, e, b): the same after a resume and with any number of
    workers.

    Args:
        image_size: S; an image is resized to a square, whatever its shape.
        mean, std: per channel, of pixels scaled to [0, 1].
        augment: what SSD does to training images (Liu et al., 2016, Sec. 2.2, and torchvision's reference): colours
            distorted, zoomed out on a canvas of the mean colour, cropped with some overlap with the boxes, mirrored.
        shuffle: a new random order every epoch; otherwise the order of `images`.
        drop_last: leave out the last batch when it is smaller than the others.
        stream: the name that keeps these random numbers apart from others of the same seed.
        share: (which, of how many): of every batch only this part, for one of several processes, as in `Batches`.
        workers: processes that read; 0 reads in this one.

    Where bad images are skipped, another image of the batch stands in for one if `shuffle`, or else it is left out.

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
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.stream = stream
        self.device = torch.device(device)
        self.share = share
        self.workers = workers
        self.skipped: dict[int, str] = {}
        """A line for each image that could not be read so far, by its place among the images."""
        self._images = images
        self._reading = _Reading(images, image_size, tuple(mean) if augment else None)
        self._mean = torch.tensor(mean, device=self.device)
        self._std = torch.tensor(std, device=self.device)
        self._white = torch.tensor(255.0, device=self.device)  # as in `data/batches.py`

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self._images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[BoxBatch]:
        """Yield batches `start`, `start + 1`, ... of an epoch.

        Raises:
            InputError: an image that cannot be read, unless these are skipped.
            RunError: a worker was lost, or nothing of a batch can be read.
        """
        requests = self._requests(epoch, start)
        for read in in_workers(self._reading, requests, self.workers, self.device.type == "cuda"):
            self.skipped |= read.bad
            count = len(read.kept) + len(read.bad)
            if read.bad and self.shuffle:
                yield self._batch(read, complete(torch.arange(len(read.kept)), count, self._images.name).tolist())
            elif read.kept:
                yield self._batch(read, list(range(len(read.kept))))

    def _requests(self, epoch: int, start: int) -> Iterator["_Request"]:
        """This process's share of each batch: which images, and the seed of what happens to each."""
        order = torch.arange(len(self._images))
        if self.shuffle:
            order = torch.randperm(len(order), generator=generator(self.seed, self.stream, epoch, "order"))
        which, of_how_many = self.share
        for batch in range(start, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            seeds = torch.randint(2**32, indices.shape, generator=generator(self.seed, self.stream, epoch, batch))
            count = len(indices) - (len(indices) % of_how_many if self.shuffle else 0)
            own = torch.stack([indices, seeds])[:, :count].tensor_split(of_how_many, dim=1)[which]
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
    """What a worker returns for a batch: few tensors, because each is a file descriptor on its way."""

    pixels: Tensor  # uint8 [M, S, S, 3]
    boxes: Tensor  # [sum(counts), 4]
    labels: Tensor
    counts: list[int]
    kept: list[int]  # which images these are
    bad: dict[int, str]  # and a line for each of the others


@dataclass(frozen=True)
class _Reading:
    """What a worker does for a batch."""

    images: CocoImages
    image_size: int
    zoom_out_colour: tuple[float, ...] | None
    """None: no augmentation."""

    def __call__(self, request: _Request) -> _Read:
        transform = self._transform()
        read: list[tuple[Tensor, Tensor, Tensor]] = []
        kept: list[int] = []
        bad: dict[int, str] = {}
        with warnings_settled(), torch.random.fork_rng(devices=[]):
            for index, seed in zip(*request, strict=True):
                try:
                    read.append(self._one(transform, index, seed))
                    kept.append(index)
                except BadImage as error:
                    if self.images.on_bad_image == "stop":
                        raise error.met_at_work() from None
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
