"""The rules of `pcdarts fit`: from facts about the images, measured times and the minutes to settings.

Pure functions. Every rule has its reason in docs/own-images.md.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pcdarts.cell.space import NetworkKind, largest_map, suggested_kind
from pcdarts.errors import counted
from pcdarts.own_images.export_time import export_seconds

SIDES = (224, 160, 128, 96, 64, 32)
"""Sides to which larger images are resized, in pixels."""
SMALL_SIDE = 32
"""Images up to this side stay as they are."""
LEAST_SIDE = 8
SIZES = ((5, 8), (5, 16), (8, 16), (14, 16), (8, 32), (14, 32), (20, 32))
"""Cells and channels, by cost: in multiples of 16 channels, which ONNX models compute the fastest."""
SIZE_FOR_SIDE = (5, 16)
"""The network that there must be time for before larger images are taken."""
LEAST_CHANNELS = 4

GOOD_EPOCHS, GOOD_STEPS = 30, 1500
"""As long a training is planned before the network or the images become larger."""
LEAST_EPOCHS, LEAST_STEPS = 10, 300
"""A shorter training is refused."""
MOST_EPOCHS = 600
"""The paper's; also where the machine is faster than it was measured."""

DROP_PATH, DROP_PATH_EPOCHS = 0.1, 50
"""Probability of dropping a path, and the shortest training with it: shorter ones are shown to be better without."""

VALIDATION, LEAST_VALIDATION = 0.15, 30
"""Part of the training images by which the best epoch is chosen; fewer images choose nothing."""

BATCHES = ((2000, 64), (400, 32), (0, 16))
"""From so many training images on, batches of so many."""
RATE = 0.05 / 64
"""Learning rate for each image of a batch."""

COMPARED, COMPARE_MINUTES = "mobilenet_v3_small", 20
"""The stock network that is trained too, and the time from which on."""
COMPARE_SECONDS = 15.0
"""What a comparison takes besides its trainings."""

EPOCH_SECONDS = 0.3
"""What an epoch takes besides its steps: saving and showing."""
START_SECONDS = 3.0
"""What a job takes before its first step, besides the images."""
SAFETY = 0.95
"""The part of the time that is planned: machines are seldom as fast as when they were measured."""
MARGIN = 1.3
"""How many times as long the least time is that is named to a user as what was measured to be enough."""


@dataclass(frozen=True)
class Facts:
    """What is known of the images before they are decoded."""

    classes: tuple[str, ...]
    train: tuple[int, ...]
    """Training images of each class."""
    validation: tuple[int, ...]
    """The same of validation images; empty if there are none."""
    test: tuple[int, ...]
    validation_fraction: float
    """What the jobs are told of it."""
    sides: tuple[int, int, int]
    """The smallest, the median and the largest of the shorter sides, of a sample."""
    square: bool
    """Whether all images of the sample are squares of one size."""
    image_channels: int
    decode_seconds: float
    """To decode an image, with the cores that there are."""
    leaks: dict[str, int] | None = None
    """How many images are in two of the sets; None if nobody looked."""

    @property
    def images(self) -> int:
        """Training images."""
        return sum(self.train)

    @property
    def imbalance(self) -> float:
        """How many times as many images the largest class has as the smallest one."""
        return max(self.train) / min(self.train)

    @property
    def load_seconds(self) -> float:
        """To begin a job and to decode all images for it."""
        return START_SECONDS + self.decode_seconds * (self.images + sum(self.validation) + sum(self.test))


@dataclass(frozen=True)
class Shape:
    """A network, but for its cell."""

    image_size: int
    kind: NetworkKind
    num_cells: int
    channels: int


@dataclass(frozen=True)
class StepTime:
    """Measured: seconds of a training step, and of measuring one image."""

    step: float
    image: float


@dataclass(frozen=True)
class Training:
    """A training that is planned."""

    shape: Shape
    batch_size: int
    epochs: int
    epoch_seconds: float
    load_seconds: float
    compare_seconds: float = 0.0
    """Of the comparison after it."""
    export_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Without the export and the comparison."""
        return self.load_seconds + self.epochs * self.epoch_seconds

    @property
    def all_seconds(self) -> float:
        """With what comes after it."""
        return self.seconds + self.export_seconds + self.compare_seconds


Speed = Callable[[Shape, int], StepTime]
"""How fast a network learns in batches of so many images, on this machine."""


def possible_sides(facts: Facts, fixed: Mapping[str, Any]) -> tuple[int, ...]:
    """The sides of images to choose from, the largest first: never larger than most images are."""
    if fixed.get("image_size") is not None:
        return (fixed["image_size"],)
    median = facts.sides[1]
    if median <= SMALL_SIDE:
        return (max(median, LEAST_SIDE),)
    return tuple(side for side in SIDES if side <= median)


def batch_size_for(images: int) -> int:
    """Images per step: fewer for little data, so that there are enough steps."""
    return next(size for least, size in BATCHES if images >= least)


def steps_in(images: int, batch_size: int) -> int:
    """Steps of an epoch."""
    return math.ceil(images / min(batch_size, images))


def least_epochs(images: int, batch_size: int, epochs: int, steps: int) -> int:
    """The fewest epochs that are so many, and so many steps."""
    return max(epochs, math.ceil(steps / steps_in(images, batch_size)))


def possible_shapes(side: int, fixed: Mapping[str, Any], fits: Callable[[Shape], bool]) -> Iterator[Shape]:
    """Networks for images of this side within the budget, the smallest first; the last one uses the budget up."""
    kind: NetworkKind = fixed.get("kind") or suggested_kind(side)
    before = None
    for num_cells, channels in SIZES:
        shape = Shape(side, kind, fixed.get("num_cells") or num_cells, fixed.get("channels") or channels)
        wanted = shape
        while not fits(shape) and shape.channels > LEAST_CHANNELS and not fixed.get("channels"):
            shape = replace(shape, channels=shape.channels - 2)
        if not fits(shape):
            return
        if shape != before:
            yield shape
        if shape != wanted:
            return
        before = shape


def plan_training(
    facts: Facts,
    seconds: float,
    fixed: Mapping[str, Any],
    speed: Speed,
    fits: Callable[[Shape], bool],
    beside: tuple[float, ...] = (),
    formats: tuple[str, ...] = (),
) -> Training:
    """The largest images and the largest network for which `seconds` are enough.

    Fewer epochs than make a long training, be it for lack of time or because they are fixed, teach the smallest alone.

    Args:
        beside: of the networks that are trained for as many epochs afterwards, how many times as long an epoch is.
        formats: those of the files to ship.

    Raises:
        TooShort: there is no time for any training.
        NothingFits: no network is in the budget.
    """
    batch = fixed.get("batch_size") or batch_size_for(facts.images)
    good = least_epochs(facts.images, batch, GOOD_EPOCHS, GOOD_STEPS)  # however many the user wants
    least = fixed.get("epochs") or least_epochs(facts.images, batch, LEAST_EPOCHS, LEAST_STEPS)

    def training_of(shape: Shape) -> Training:
        time = speed(shape, batch)
        each = EPOCH_SECONDS + time.step * steps_in(facts.images, batch) + time.image * sum(facts.validation)
        load = facts.load_seconds + time.image * sum(facts.test)
        extra = len(beside) * load + COMPARE_SECONDS if beside else 0.0
        every = each * (1 + sum(beside))
        reading = facts.load_seconds - START_SECONDS
        export = MARGIN * export_seconds(formats, reading, shape.num_cells, time.image, sum(facts.test))
        epochs = fixed.get("epochs") or min(MOST_EPOCHS, math.floor((seconds - load - extra - export) / every))
        return Training(shape, batch, epochs, each, load, extra + epochs * each * sum(beside), export)

    by_side = {side: list(possible_shapes(side, fixed, fits)) for side in possible_sides(facts, fixed)}
    by_side = {side: shapes for side, shapes in by_side.items() if shapes}
    if not by_side:
        raise NothingFits
    for shapes in by_side.values():
        small = _up_to(SIZE_FOR_SIDE, shapes)
        chosen = training_of(small[-1])
        if _is_long_enough(chosen, good, seconds):
            for shape in shapes[len(small) :]:
                if not _is_long_enough(larger := training_of(shape), good, seconds):
                    break
                chosen = larger
            return chosen
    cheapest = min(by_side.values(), key=lambda shapes: largest_map(shapes[0].kind, shapes[0].image_size))
    for shape in reversed(_up_to(SIZE_FOR_SIDE, cheapest)):
        chosen = training_of(shape)
        if _is_long_enough(chosen, good, seconds):
            return chosen
    if not _is_long_enough(chosen, least, seconds):
        extra = len(beside) * chosen.load_seconds + COMPARE_SECONDS if beside else 0.0
        compared = extra + least * chosen.epoch_seconds * sum(beside)
        raise TooShort(replace(chosen, epochs=least, compare_seconds=compared))
    return chosen


def _up_to(size: tuple[int, int], shapes: list[Shape]) -> list[Shape]:
    """The first networks, no larger than `size` (cells, channels): one at least."""
    return [shape for shape in shapes if (shape.num_cells, shape.channels) <= size] or shapes[:1]


def _is_long_enough(training: Training, epochs: int, seconds: float) -> bool:
    return training.epochs >= epochs and training.all_seconds <= seconds


class NothingFits(Exception):
    """No network is within the budget."""


class TooShort(Exception):
    """There is no time for any training, not even for this one, which is the shortest."""

    def __init__(self, training: Training) -> None:
        super().__init__(f"{counted(training.epochs, 'epoch')} take {training.seconds:.0f} s")
        self.training = training


def settings_for(facts: Facts, training: Training) -> dict[str, Any]:
    """The settings of a training that follow from its size."""
    shape = training.shape
    return {
        "image_size": shape.image_size,
        "kind": shape.kind,
        "num_cells": shape.num_cells,
        "channels": shape.channels,
        "batch_size": training.batch_size,
        "epochs": training.epochs,
        "learning_rate": round(RATE * training.batch_size, 6),
        "crop_padding": max(1, shape.image_size // 8),
        "cutout": shape.image_size // 4,
        "drop_path": DROP_PATH if training.epochs >= DROP_PATH_EPOCHS else 0.0,
        **mirroring_of(facts),
        **choice_of(facts, training.epochs),
    }


def mirroring_of(facts: Facts) -> dict[str, bool]:
    """Letters and digits are not mirrored: where the names of all classes are single ones."""
    return {"flip": False} if all(len(name) == 1 and name.isalnum() for name in facts.classes) else {}


def choice_of(facts: Facts, epochs: int) -> dict[str, Any]:
    """How the epoch is chosen whose weights are the result: by validation images, if there are enough.

    Otherwise it is the last one, be it of so many or of more, and the only one after which test images are measured.
    """
    if not facts.validation:
        every = max(epochs, MOST_EPOCHS)
        return {"validation_fraction": facts.validation_fraction, "select": "last", "test_every": every}
    return {"validation_fraction": facts.validation_fraction, "select": "best"}


def compared_networks(wanted: str | None, minutes: float) -> tuple[str, ...]:
    """The stock networks that are trained beside the network."""
    if wanted == "auto":
        return (COMPARED,) if minutes >= COMPARE_MINUTES else ()
    return tuple(dict.fromkeys(name.strip() for name in (wanted or "").split(",") if name.strip()))


def published_cell(kind: NetworkKind) -> str:
    """The cell of a network that no search is made for."""
    return "pc_darts_imagenet" if kind == "imagenet" else "pc_darts_cifar10"
