"""Batches made on the device of uint8 images, resident there or streamed; crop, flip and cutout are arithmetic."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pcdarts.data.disk.streaming import StreamedImages, complete
from pcdarts.data.images import Images
from pcdarts.data.streams import generator
from pcdarts.errors import InputError
from pcdarts.ops.sending import send


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image, in this order; the default is nothing.

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
    """Before that, a random part of the original is resized: 8 to 100 % of its area, aspect ratio 3/4 to 4/3 (Szegedy
    et al., 2015). Needs streamed images: those in memory have lost their size."""
    color_jitter: float = 0.0
    """Then brightness, contrast and saturation change by a factor of up to 1 ± this, the hue by up to half of it."""

    def __post_init__(self) -> None:
        for name, pixels in (("crop_padding", self.crop_padding), ("cutout", self.cutout)):
            if pixels < 0:
                raise InputError(f"{name} is {pixels}, but it counts pixels: use 0 (off) or more")


class Batches:
    """An endless supply of epochs over `images`; the order and the augmentation never depend on what came before.

    Batch b of epoch e is a pure function of (seed, stream, e, b): the same after a resume, and made of the same random
    numbers on every device.

    Args:
        images: resident ones are moved to `device` as they are, uint8; streamed ones are read batch by batch.
        mean, std: per channel, of pixels scaled to [0, 1].
        shuffle: a new random order every epoch; otherwise the order of `images`.
        drop_last: leave out the last batch when it is smaller than the others.
        stream: the name that keeps these random numbers apart from others of the same seed, e.g. "weight".
        share: (which, of how many): of every batch only this part, for one of several processes. All parts together are
            the batch that one process would have. Parts are equally large in a shuffled epoch, for which up to
            `of how many` - 1 images of the last batch are left out; otherwise they differ by one image at most.

    Raises:
        InputError: no image, or not one whole batch where `drop_last` asks for whole ones; or an augmentation that
            needs the files of images that are in memory.
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
    ) -> None:
        smallest = batch_size if drop_last else 1
        if batch_size < 1 or len(images) < smallest:
            raise InputError(
                f"batch_size is {batch_size}, but the {stream!r} images are {len(images)}: "
                f"use a batch size from 1 to {len(images)} or more images"
            )
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.stream = stream
        self.device = torch.device(device)
        self.share = share
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
        # Spread over a whole image row: one long inner loop instead of one of two or three channels.
        self._mean = torch.tensor(mean, device=self.device).repeat(self._width)
        self._std = torch.tensor(std, device=self.device).repeat(self._width)
        # There as well: by a number of the CPU, a GPU divides in two steps and rounds otherwise.
        self._white = torch.tensor(255.0, device=self.device)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self._labels), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches `start`, `start + 1`, ... of an epoch.

        Yields:
            Images `[B, C, H, W]`, float32, normalised, in channels_last memory format; labels `[B]`, int64.
        """
        count = len(self._labels)
        order = torch.arange(count)
        if self.shuffle:
            order = torch.randperm(count, generator=generator(self.seed, self.stream, epoch, "order"))

        def chance_of(batch: int) -> Tensor:
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            return self._own(self._chance(indices, epoch, batch))

        chances = map(chance_of, range(start, len(self)))
        if self._stream is not None:
            yield from self._streamed(self._stream, chances)
            return
        for chance in _one_ahead(send(chance, self.device) for chance in chances):
            yield self._batch(self._colours, chance), self._labels[chance[0]]

    def _streamed(self, stream: StreamedImages, chances: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The same of images that are read when their turn comes.

        One that cannot be read and may be skipped is missing in a measurement; in a shuffled epoch another image of
        the same batch is there twice.
        """
        augmentation = self.augmentation
        reading = stream.read(chances, augmentation.resized, augmentation.color_jitter, self.device.type == "cuda")
        for chance, kept, pixels in reading:
            place = torch.arange(len(kept))
            if self.shuffle:
                place = complete(kept, chance.shape[1], self.stream)
            chance = chance[:, kept[place]]
            labels = self._labels[send(chance[0], self.device)]
            colours = send(pixels, self.device).view(-1, self._channels)
            yield self._batch(colours, send(torch.stack([place, *chance[1:]]), self.device)), labels

    def _chance(self, indices: Tensor, epoch: int, batch: int) -> Tensor:
        """All that a batch owes to chance, int64 `[7, B]`, drawn on the CPU, to be sent to the device in one piece.

        For each image: its index; the corner (down, right) of the crop in the padded image; whether to mirror it; the
        centre (y, x) of the cutout square; a seed for what happens before it is in the batch. All are drawn, used or
        not: switching cutout on leaves the crops alone.
        """
        draw = generator(self.seed, self.stream, epoch, batch)
        corners = 2 * self.augmentation.crop_padding + 1
        limits = (corners, corners, 2, self._height, self._width, 2**31)
        drawn = [torch.randint(limit, indices.shape, generator=draw) for limit in limits]
        return torch.stack([indices, *drawn])

    def _own(self, chance: Tensor) -> Tensor:
        """This process's share of a batch `[7, B]`."""
        which, of_how_many = self.share
        count = chance.shape[1]
        if self.shuffle:
            chance = chance[:, : count - count % of_how_many]
        return chance.tensor_split(of_how_many, dim=1)[which]

    def _batch(self, colours: Tensor, chance: Tensor) -> Tensor:
        """The augmented, normalised batch `[B, C, H, W]` of images whose pixels are the rows of `colours`."""
        # Each [B, 1], to meet the positions [H] and [W].
        index, down, right, mirrored, centre_y, centre_x, _ = chance.unsqueeze(-1)
        padding = self.augmentation.crop_padding
        y = torch.arange(self._height, device=self.device)
        x = torch.arange(self._width, device=self.device)

        # Where each row and column of the result comes from: cropped first, then mirrored.
        rows = y + down - padding
        columns = torch.where(mirrored * self.augmentation.flip == 1, self._width - 1 - x, x) + right - padding
        pixels = self._gather(colours, index, rows, columns)

        images = pixels.float().div_(self._white).sub_(self._mean).div_(self._std)
        if self.augmentation.cutout:
            cut_rows = self._inside_square(y, centre_y).float()
            cut_columns = self._inside_square(x, centre_x).float().repeat_interleave(self._channels, dim=1)
            images *= 1 - cut_rows.unsqueeze(2) * cut_columns.unsqueeze(1)
        return images.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)

    def _gather(self, colours: Tensor, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Read image `index[b]` at (rows[b, i], columns[b, j]), black outside it, as uint8 `[B, H, W * C]`."""
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
        """Which of the positions `[H]` lie in the cutout square around each centre `[B, 1]`; bool `[B, H]`."""
        first = centre - self.augmentation.cutout // 2
        return (positions >= first) & (positions < first + self.augmentation.cutout)


def _one_ahead(items: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same, each made before the one before it is used: drawn and sent while a GPU still computes."""
    made = next(items, None)
    while made is not None:
        following = next(items, None)
        yield made
        made = following
