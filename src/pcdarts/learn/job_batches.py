"""The data of a job, and the batches it works through: augmented ones to learn from, plain ones to measure on."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import torch

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.disk.depth import range_text
from pcdarts.data.disk.encoded import Loading
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet, Images
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError
from pcdarts.learn.few_images.balance import balance_lines
from pcdarts.run.processes import ALONE, Processes

BORDER = 1 / 16
"""Cut off either side of a photograph where crops are random parts of it: 224 of 256 pixels, as everyone measures."""


def training_data(config: SearchConfig | TrainConfig, device: torch.device, processes: Processes = ALONE) -> DataSet:
    """The data that `config` names.

    Raises:
        InputError: it is not there, or cannot be used.
    """
    data = load_data(
        config.data,
        root=config.data_root,
        hub_name=config.hub_name,
        train_set=config.train_set,
        test_set=config.test_set,
        validation_set=config.validation_set,
        validation_fraction=config.validation_fraction,
        image_size=config.image_size,
        train_images=config.train_images,
        test_images=config.test_images if isinstance(config, TrainConfig) else None,
        seed=config.seed,
        on_bad_image=config.on_bad_image,
        workers=reading_processes(config.workers, device, processes),
        pixel_range=config.pixel_range,
        **how_to_read(config),
    )
    if config.pixel_range is not None and data.pixel_range is None:
        unused = f"no image has more than 8 bits: --pixel-range {range_text(config.pixel_range)} changes nothing"
        data = replace(data, notes=(*data.notes, unused))
    return replace(data, notes=(*data.notes, *balance_lines(config, data)))


def pixel_range_of(config: TrainConfig, data: DataSet) -> list[float] | None:
    """What a trained network takes for black and white in images of more than 8 bits, None if it has seen none."""
    known = data.pixel_range or config.pixel_range
    return None if known is None else list(known)


class HowToRead(TypedDict):
    """What decides how files become images, apart from their size."""

    loading: Loading
    border: float


def how_to_read(config: SearchConfig | TrainConfig | None) -> HowToRead:
    """How a job's images are read, so that others are read like them; None for images that are not in files."""
    if config is None:
        return {"loading": "auto", "border": 0.0}
    if config.crop == "resized":
        return {"loading": "streaming", "border": BORDER}
    return {"loading": config.loading, "border": 0.0}


def reading_processes(workers: int | None, device: torch.device, processes: Processes = ALONE) -> int:
    """How many processes decode images: as many as are asked for, else those that keep the device busy.

    A GPU's share of the cores, 8 at most; a single one beside a CPU that computes.
    """
    if workers is not None:
        return workers
    if device.type == "cpu":
        return 1
    return max(1, min(8, (os.cpu_count() or 1) // processes.local_count))


def skipped_lines(data: DataSet) -> list[str]:
    """How many images were left out because they cannot be read, then which and why; nothing if there are none."""
    skipped = data.skipped
    if not skipped:
        return []
    parts = (data.test, None if data.train is data.test else data.train, data.validation)
    count = sum(len(part) for part in parts if part is not None) + len(data.left_out)
    return [f"skipped {len(skipped)} of {count} images that cannot be read", *skipped]


def shared_batch_size(batch_size: int, images: int, stream: str, processes: Processes) -> tuple[int, bool]:
    """The size of the batches of so many images to learn from, and whether the last one is left out.

    Every process has an equal share of each batch. A last batch that would leave a process a single image is left out:
    that has no batch statistics to normalise with.

    Raises:
        InputError: the batches cannot be shared out, or a share would be a single image.
    """
    count = processes.count
    if batch_size % count:
        raise InputError(f"batch_size is {batch_size}, but {count} processes share a batch: use a multiple of {count}")
    smaller = min(batch_size, images)
    if smaller < 2 * count:
        shared = f", {count} processes" if count > 1 else ""
        raise InputError(
            f"the batches of the {stream} images would be single images ({images} in all, batch_size {batch_size}"
            f"{shared}), but BatchNorm needs two: raise --batch-size, or give more images"
        )
    return smaller, 0 < images % smaller < 2 * count


def training_batches(
    config: SearchConfig | TrainConfig,
    data: DataSet,
    images: Images | StreamedImages,
    stream: str,
    device: torch.device,
    processes: Processes,
) -> Batches:
    """Shuffled, augmented batches of `images`: all training images of `data`, or the split that `stream` names.

    Raises:
        InputError: as in `shared_batch_size`.
    """
    batch_size, drop_last = shared_batch_size(config.batch_size, len(images), stream, processes)
    return Batches(
        images,
        batch_size=batch_size,
        mean=data.mean,
        std=data.std,
        augmentation=Augmentation(
            config.crop_padding,
            config.flip,
            config.cutout,
            config.crop == "resized",
            config.color_jitter,
            config.randaugment if isinstance(config, TrainConfig) else 0,
        ),
        shuffle=True,
        drop_last=drop_last,
        seed=config.seed,
        stream=stream,
        device=device,
        share=(processes.rank, processes.count),
        balanced=config.sampling == "balanced",
    )


def plain_batches(
    images: Images | StreamedImages,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    device: torch.device,
    processes: Processes = ALONE,
) -> Batches:
    """Batches for a measurement: in order, and nothing done to the images but normalising."""
    return Batches(
        images,
        batch_size=batch_size,
        mean=mean,
        std=std,
        augmentation=Augmentation(),
        shuffle=False,
        drop_last=False,
        seed=0,
        stream="test",
        device=device,
        share=(processes.rank, processes.count),
    )
