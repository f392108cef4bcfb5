"""Groups of settings about learning: epochs, momentum SGD and its learning rate, and precision."""

from typing import Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import Group, at_most, setting
from pcdarts.config.groups.values import Count, NaturalNumber, NotNegative, Positive, Probability


class Epochs(Group):
    """How long a job learns."""

    epochs: Count = setting(50, "passes over the training images")


class BatchSize(Group):
    """How many images are computed together."""

    batch_size: Count = setting(256, "images per step")


class Sgd(BatchSize):
    """Momentum SGD, by which the weights of a network learn."""

    learning_rate: Positive = setting(0.1, "initial learning rate of momentum SGD, annealed")
    momentum: Probability = setting(0.9, "momentum of SGD")
    nesterov: bool = setting(False, "Nesterov's momentum")
    weight_decay: NotNegative = setting(3e-4, "weight decay of the network weights")
    gradient_clip: Positive = setting(5.0, "largest norm of the gradient of the network weights")

    @field_validator("nesterov")
    @classmethod
    def _nesterov_has_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("nesterov is on, but momentum is 0: give a momentum, or drop nesterov")
        return nesterov


class LowestLearningRate(Group):
    """How far the learning rate falls."""

    learning_rate_min: NotNegative = setting(0.0, "learning rate that the schedule ends with", after="learning_rate")

    @field_validator("learning_rate_min")
    @classmethod
    def _learning_rate_falls(cls, end: float, info: ValidationInfo) -> float:
        return at_most(end, info, "learning_rate")


class Schedule(Group):
    """How the learning rate rises and falls; a class lists it after `Epochs`."""

    learning_rate_schedule: Literal["cosine", "linear"] = setting(
        "cosine", "how the learning rate falls", after=("learning_rate_min", "learning_rate")
    )
    lr_warmup_epochs: NaturalNumber = setting(
        0, "number of first epochs in which the learning rate rises in equal steps to its initial value"
    )

    @field_validator("lr_warmup_epochs")
    @classmethod
    def _warm_up_within_epochs(cls, warm_up: int, info: ValidationInfo) -> int:
        return at_most(warm_up, info, "epochs")


class Precision(Group):
    """How exactly a step is computed."""

    amp: Literal["off", "bf16", "fp16"] = setting(
        "off", "learn in mixed precision: convolutions in 16 bits, weights, alpha, beta and losses in 32"
    )
    synchronize_batch_norm: bool = setting(
        False, "BatchNorm over the images of all processes (no: of each process alone, as in the paper)"
    )


class Accumulation(Group):
    """Batches computed in parts."""

    gradient_accumulation_steps: Count = setting(
        1, "parts of a batch computed one after the other, for less memory; BatchNorm sees a part alone", after="amp"
    )
