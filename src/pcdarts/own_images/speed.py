"""How fast this machine learns: steps of a training and of a search, measured on random images before the plan."""

import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.data.images import DataSet, Images
from pcdarts.learn.job_batches import plain_batches, training_batches
from pcdarts.learn.learning import WeightStep, make_scaler, make_sgd
from pcdarts.learn.networks import make_network
from pcdarts.learn.steps import SearchStep, search_setting
from pcdarts.own_images.rules import StepTime
from pcdarts.run.device import choose_device, seconds_of
from pcdarts.run.finite import FiniteCheck, asked_every
from pcdarts.run.processes import ALONE

SECONDS, MOST = 0.5, 5
"""A part is repeated until it has taken so long, or so often."""


def step_time(config: TrainConfig, genotype: Genotype | None, classes: int, image_channels: int) -> StepTime:
    """The median time of a step of this training, its images augmented, and of measuring an image.

    Without a genotype it is that of a stock network.
    """
    device = choose_device(config.device, config.threads)
    data = random_images(2 * config.batch_size, classes, image_channels, config.image_size or 32)
    batches = training_batches(config, data, data.train, "train", device, ALONE)
    network = make_network(config, genotype, classes, image_channels, config.image_size or 32).to(device)
    network = network.to(memory_format=torch.channels_last)
    finite = FiniteCheck(0, [network], ALONE, asked_every(device))
    step = WeightStep(
        network, make_sgd(network, config), make_scaler(config.amp, device), ALONE, finite, config.gradient_clip
    )
    network.drop_path = config.drop_path
    endless = (batch for epoch in range(10 * MOST) for batch in batches.epoch(epoch))

    def learn() -> None:
        images, labels = next(endless)
        with finite.guarded(None, 1, 1, config.learning_rate):
            step(images, labels, loss_of)

    plain = plain_batches(data.test, data.mean, data.std, config.batch_size, device)

    def measure() -> None:
        with torch.no_grad():
            for images, _ in plain.epoch(0):
                network(images)

    seconds = median_seconds(learn, device)
    network.eval()
    return StepTime(seconds, median_seconds(measure, device) / len(data.test))


def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A loss that costs what that of a training does, twice; and the logits."""
    output = network(images)
    every = output if isinstance(output, tuple) else (output,)
    loss = torch.stack([F.cross_entropy(logits, labels) for logits in every]).sum()
    return loss, loss, every[0]


def search_step_time(config: SearchConfig, classes: int, image_channels: int, images: int) -> tuple[float, float]:
    """The median times of a weight step and of an α step of this search, of batches cut from so many images."""
    setting = search_setting(
        config,
        batch_size=min(config.batch_size, max(2, images)),
        image_size=config.image_size or 32,
        image_channels=image_channels,
        num_classes=classes,
    )
    step = SearchStep(setting)
    return median_seconds(step.weight_step, step.device), median_seconds(step.arch_step, step.device)


def random_images(count: int, classes: int, image_channels: int, side: int) -> DataSet:
    """A data set of noise."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, image_channels, side, side), dtype=torch.uint8, generator=draw)
    images = Images(pixels, torch.arange(count) % classes)
    mean, std = (0.5,) * image_channels, (0.25,) * image_channels
    return DataSet("noise", tuple(map(str, range(classes))), images, images, mean, std)


def median_seconds(part: Callable[[], object], device: torch.device) -> float:
    """How long one call takes, after a first one that warms up; on a GPU until its last kernel has ended."""
    first = seconds_of(part, device)
    if first > 5:
        return first
    times = [seconds_of(part, device)]
    while len(times) < MOST and sum(times) < SECONDS:
        times.append(seconds_of(part, device))
    return statistics.median(times)
