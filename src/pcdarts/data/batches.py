"""Batches made on the device from uint8 images, in memory or streamed; crop, flip and cutout are index arithmetic."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from pcdarts.data.disk.streaming import StreamedImages, complete
from pcdarts.data.images import Images
from pcdarts.data.randaugment import draw_changes, rand_augment
from pcdarts.data.streams import generator
from pcdarts.errors import InputError
from pcdarts.ops.sending import send


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images, applied in this order; the default is none.

    Raises:
        InputError: a negative number of pixels.
    """

    crop_padding: int = 0
    """Black pixels added on every side before a random crop of the original size."""
    flip: bool = False
    """Mirror an image left to right with probability 1/2."""
    cutout: int = 0
    """Side in pixels of a square set to the mean colour, 0 after normalisation (DeVries & Taylor, 2017); 0 is off."""
    resized: bool = False
    """Before all others: resize a random crop with 8 to 100 % of the area and an aspect ratio of 3/4 to 4/3 (Szegedy et
    al., 2015). Needs streamed images, because images in memory are resized already."""
    color_jitter: float = 0.0
    """After `resized`: change brightness, contrast and saturation by a factor of up to 1 ± this, the hue by half."""
    randaugment: int = 0
    """After crop and flip: the magnitude of RandAugment, up to 30; 0 is off."""

    def __post_init__(self) -> None:
        for name, pixels in (("crop_padding", self.crop_padding), ("cutout", self.cutout)):
            if pixels < 0:
                raise InputError(f"{name} is {pixels}, but it counts pixels: use 0 (off) or more")


@dataclass(frozen=True)
class Order:
    """Which images make up which batch: a pure function of (seed, stream, epoch, batch)."""

    count: int
    """Number of images."""
    batch_size: int
    shuffle: bool
    drop_last: bool
    seed: int
    stream: str
    share: tuple[int, int]
    """(rank, number of processes)."""
    balance: Tensor | None = None
    """The class of each image, where an epoch is to hold equally many of each class."""

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(self.count, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, torch.Generator]]:
        """The indices `[B]` of the images in batches `start`, `start + 1`, ..., each with its own random generator."""
        order = torch.arange(self.count)
        draw = generator(self.seed, self.stream, epoch, "order")
        if self.balance is not None:
            order = balanced_order(self.balance, draw)
        elif self.shuffle:
            order = torch.randperm(self.count, generator=draw)
        for batch in range(start, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield indices, generator(self.seed, self.stream, epoch, batch)

    def own(self, columns: Tensor) -> Tensor:
        """This process's share of the columns of a batch, `[rows, B]`."""
        rank, processes = self.share
        count = columns.shape[1]
        if self.shuffle:
            columns = columns[:, : count - count % processes]
        return columns.tensor_split(processes, dim=1)[rank]


def balanced_order(labels: Tensor, draw: torch.Generator) -> Tensor:
    """As many indices of images as there are `labels` `[N]`, in random order, up to one equally many of each class.

    Of a class with too few images some come again, but none more than once more often than another.
    """
    classes = labels.unique()
    chosen = []
    for number, label in enumerate(classes.tolist()):
        images = (labels == label).nonzero().flatten()
        wanted = len(range(number, len(labels), len(classes)))
        rounds = -(-wanted // len(images))
        orders = [images[torch.randperm(len(images), generator=draw)] for _ in range(rounds)]
        chosen.append(torch.cat(orders)[:wanted])
    return torch.cat(chosen)[torch.randperm(len(labels), generator=draw)]


class Batches:
    """An endless supply of epochs over `images`.

    Batch b of epoch e is a pure function of (seed, stream, e, b): the same after a resume, and drawn from the same
    random numbers on every device.

    Args:
        images: images in memory are moved to `device` as uint8; streamed ones are read batch by batch.
        mean, std: per channel, of pixels scaled to [0, 1].
        shuffle: a new random order every epoch; otherwise the order of `images`.
        balanced: a shuffled epoch holds equally many images of each class, so some come more than once or not at all.
        drop_last: leave out the last batch if it is smaller than the others.
        stream: the name of these random numbers among others with the same seed, e.g. "weight".
        share: (rank, number of processes): use only this process's part of every batch. The parts together are the
            batch of a single process. In a shuffled epoch all parts are equally large, so up to (number of processes -
            1) images of the last batch are left out; otherwise they differ by at most one image.

    Raises:
        InputError: no image, or less than one whole batch with `drop_last`; or images in memory with an augmentation
            that needs their files.
    """

    def __init__(
        self,
        images: Images | StreamedImages,
        *,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Augmentation,
        shuffle: bool,
        drop_last: bool,
        seed: int,
        stream: str,
        device: torch.device | str,
        share: tuple[int, int] = (0, 1),
        balanced: bool = False,
    ) -> None:
        smallest = batch_size if drop_last else 1
        if batch_size < 1 or len(images) < smallest:
            raise InputError(
                f"batch_size is {batch_size}, but there are {len(images)} {stream!r} images: "
                f"use a batch size from 1 to {len(images)} or more images"
            )
        self.augmentation = augmentation
        self.batch_size = batch_size
        balance = images.labels if balanced else None
        self.order = Order(len(images), batch_size, shuffle, drop_last, seed, stream, share, balance)
        self.device = torch.device(device)
        self._labels = images.labels.to(self.device)
        self._channels, self._height, self._width = images.shape
        if isinstance(images, Images):
            if augmentation.resized or augmentation.color_jitter:
                raise InputError("random parts of images in memory cannot be resized: use --loading streaming")
            self._stream = None
            pixels = images.pixels.to(self.device).permute(0, 2, 3, 1).contiguous()
            self._colours = pixels.view(-1, self._channels)  # a row per pixel of the data set
        else:
            self._stream = images
        # Repeated over an image row, so that the inner loop is long instead of two or three channels.
        self._mean = torch.tensor(mean, device=self.device).repeat(self._width)
        self._std = torch.tensor(std, device=self.device).repeat(self._width)
        # A tensor on the device, because a GPU divides by a Python number in two steps and rounds differently.
        self._white = torch.tensor(255.0, device=self.device)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.order)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches `start`, `start + 1`, ... of an epoch.

        Yields:
            Images `[B, C, H, W]`, float32, normalised, in channels_last memory format; labels `[B]`, int64.
        """
        with closing(self.numbered(epoch, start)) as batches:
            for images, labels, _ in batches:
                yield images, labels

    def numbered(self, epoch: int, start: int = 0) -> Generator[tuple[Tensor, Tensor, Tensor]]:
        """The same batches, each with the indices of its images in the data, `[B]`, int64."""
        chances = (self.order.own(self._chance(*batch)) for batch in self.order.batches(epoch, start))
        if self._stream is not None:
            yield from self._streamed(self._stream, chances)
            return
        for chance, sent in _one_ahead((chance, send(chance, self.device)) for chance in chances):
            yield self._batch(self._colours, sent, chance), self._labels[sent[0]], sent[0]

    def _streamed(self, stream: StreamedImages, chances: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches of streamed images.

        An image that is skipped because it cannot be read is missing from a measurement; in a shuffled epoch another
        image of the batch is repeated instead.
        """
        augmentation = self.augmentation
        reading = stream.read(chances, augmentation.resized, augmentation.color_jitter, self.device.type == "cuda")
        for chance, kept, pixels in reading:
            place = torch.arange(len(kept))
            if self.order.shuffle:
                place = complete(kept, chance.shape[1], self.order.stream)
            chance = chance[:, kept[place]]
            indices = send(chance[0], self.device)
            colours = send(pixels, self.device).view(-1, self._channels)
            images = self._batch(colours, send(torch.stack([place, *chance[1:]]), self.device), chance)
            yield images, self._labels[indices], indices

    def _chance(self, indices: Tensor, draw: torch.Generator) -> Tensor:
        """All random numbers of a batch, int64 `[7, B]` (with RandAugment more), drawn on the CPU, sent in one piece.

        For each image: its index; the corner (down, right) of the crop in the padded image; whether to mirror it; the
        centre (y, x) of the cutout square; with RandAugment the seeds of its changes; the seed of the random crop and
        colours. All others are drawn, whether used or not: switching cutout on does not change the crops.
        """
        corners = 2 * self.augmentation.crop_padding + 1
        limits = (corners, corners, 2, self._height, self._width, 2**31)
        *rows, seeds = (torch.randint(limit, indices.shape, generator=draw) for limit in limits)
        changes = draw_changes(len(indices), draw) if self.augmentation.randaugment else ()
        return torch.stack([indices, *rows, *changes, seeds])

    def _batch(self, colours: Tensor, chance: Tensor, on_cpu: Tensor) -> Tensor:
        """The augmented, normalised batch `[B, C, H, W]`; the rows of `colours` are pixels of images.

        `on_cpu` is `chance` before it was sent to the device.
        """
        # Each [B, 1], to broadcast with positions [H] and [W].
        index, down, right, mirrored, centre_y, centre_x = chance[:6].unsqueeze(-1)
        padding = self.augmentation.crop_padding
        y = torch.arange(self._height, device=self.device)
        x = torch.arange(self._width, device=self.device)

        # The source of each row and column of the result: cropped first, then mirrored.
        rows = y + down - padding
        columns = torch.where(mirrored * self.augmentation.flip == 1, self._width - 1 - x, x) + right - padding
        pixels = self._pick_pixels(colours, index, rows, columns)
        if self.augmentation.randaugment:
            images = pixels.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)
            images = rand_augment(images, on_cpu[6:-1], self.augmentation.randaugment)
            pixels = images.permute(0, 2, 3, 1).reshape(pixels.shape)

        images = pixels.float().div_(self._white).sub_(self._mean).div_(self._std)
        if self.augmentation.cutout:
            cut_rows = self._inside_square(y, centre_y).float()
            cut_columns = self._inside_square(x, centre_x).float().repeat_interleave(self._channels, dim=1)
            images *= 1 - cut_rows.unsqueeze(2) * cut_columns.unsqueeze(1)
        return images.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)

    def _pick_pixels(self, colours: Tensor, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Pixels of image `index[b]` at (rows[b, i], columns[b, j]), black outside of it, uint8 `[B, H, W * C]`."""
        y = rows.clamp(0, self._height - 1)
        x = columns.clamp(0, self._width - 1)
        position = ((index * self._height + y) * self._width).unsqueeze(2) + x.unsqueeze(1)
        pixels = colours.index_select(0, position.flatten())
        pixels = pixels.view(len(index), self._height, self._width * self._channels)
        if self.augmentation.crop_padding:
            pixels *= (rows == y).byte().unsqueeze(2)
            pixels *= (columns == x).byte().repeat_interleave(self._channels, dim=1).unsqueeze(1)
        return pixels

    def _inside_square(self, positions: Tensor, centre: Tensor) -> Tensor:
        """Whether the positions `[H]` lie in the cutout square around each centre `[B, 1]`; bool `[B, H]`."""
        first = centre - self.augmentation.cutout // 2
        return (positions >= first) & (positions < first + self.augmentation.cutout)


def _one_ahead(items: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same items, each made before the previous one is used: drawn and sent while a GPU still computes."""
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        yield item
        item = following
