"""The data of a job, and the batches it works through: augmented ones to learn from, plain ones to measure on."""

from collections.abc import Sequence

import torch

from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.sources import DataSet, Images, load_data
from pcdarts.errors import InputError
from pcdarts.run.files import write_text
from pcdarts.run.folder import RunFolder
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.progress import Progress


def training_data(config: SearchConfig | TrainConfig) -> DataSet:
    """The data that `config` names.

    Raises:
        InputError: it is not there, or cannot be used.
    """
    return load_data(
        config.data,
        root=config.data_root,
        image_size=config.image_size,
        train_images=config.train_images,
        seed=config.seed,
        on_bad_image=config.on_bad_image,
    )


def skipped_lines(data: DataSet) -> list[str]:
    """How many images were left out because they cannot be read, then which and why; nothing if there are none."""
    if not data.skipped:
        return []
    count = len(data.train) + len(data.test) + len(data.skipped)
    return [f"skipped {len(data.skipped)} of {count} images that cannot be read", *data.skipped]


def report_skipped(data: DataSet, run: RunFolder, progress: Progress) -> None:
    """Say how many images were left out, and list them in the run folder.

    Raises:
        RunError: the list cannot be saved.
    """
    if data.skipped and not progress.quiet:
        first, *each = skipped_lines(data)
        place = run.path / "skipped_images.txt"
        write_text(place, "\n".join([*each, ""]))
        progress.warn(f"{first}: {place} lists them")


def training_batches(
    config: SearchConfig | TrainConfig,
    data: DataSet,
    images: Images,
    stream: str,
    device: torch.device,
    processes: Processes,
) -> Batches:
    """Shuffled, augmented batches of `images`: all training images of `data`, or the split that `stream` names.

    Every process has an equal share of each batch. A last batch that would leave a process a single image is left out:
    that has no batch statistics to normalise with.

    Raises:
        InputError: the batches cannot be shared out, or a share would be a single image.
    """
    count = processes.count
    batch_size = min(config.batch_size, len(images))
    if config.batch_size % count:
        raise InputError(
            f"batch_size is {config.batch_size}, but {count} processes share a batch: use a multiple of {count}"
        )
    if batch_size < 2 * count:
        raise InputError(
            f"the batches of the {stream} images would be single images ({len(images)} in all, batch_size "
            f"{config.batch_size}{f', {count} processes' if count > 1 else ''}), but BatchNorm needs two: "
            "raise --batch-size, or give more images"
        )
    return Batches(
        images,
        batch_size=batch_size,
        mean=data.mean,
        std=data.std,
        augmentation=Augmentation(config.crop_padding, config.flip, config.cutout),
        shuffle=True,
        drop_last=0 < len(images) % batch_size < 2 * count,
        seed=config.seed,
        stream=stream,
        device=device,
        share=(processes.rank, count),
    )


def plain_batches(
    images: Images,
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
