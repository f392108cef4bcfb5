"""The data of a job, and the batches it works through: augmented ones to learn from, plain ones to measure on."""

from collections.abc import Sequence

import torch

from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.sources import DataSet, Images, load_data
from pcdarts.errors import InputError


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
    )


def training_batches(
    config: SearchConfig | TrainConfig, data: DataSet, images: Images, stream: str, device: torch.device
) -> Batches:
    """Shuffled, augmented batches of `images`: all training images of `data`, or the split that `stream` names.

    A last batch of a single image is left out: it has no batch statistics to normalise with.

    Raises:
        InputError: every batch would be a single image.
    """
    batch_size = min(config.batch_size, len(images))
    if batch_size == 1:
        raise InputError(
            f"the batches of the {stream} images would be single images ({len(images)} in all, batch_size "
            f"{config.batch_size}), but BatchNorm needs two: raise --batch-size, or give more images"
        )
    return Batches(
        images,
        batch_size=batch_size,
        mean=data.mean,
        std=data.std,
        augmentation=Augmentation(config.crop_padding, config.flip, config.cutout),
        shuffle=True,
        drop_last=len(images) % batch_size == 1,
        seed=config.seed,
        stream=stream,
        device=device,
    )


def plain_batches(
    images: Images, mean: Sequence[float], std: Sequence[float], batch_size: int, device: torch.device
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
    )
