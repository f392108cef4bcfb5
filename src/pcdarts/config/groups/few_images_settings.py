"""Groups of settings for imbalanced and small data: balance between classes, augmentation, an average of weights."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.values import Probability

Alpha = Annotated[float, Field(ge=0, le=100)]


class Sampling(Group):
    """How often training images of each class are drawn."""

    sampling: Literal["shuffled", "balanced"] = setting(
        "shuffled",
        "training images of an epoch: each once (shuffled), or equally many of each class (balanced)",
        after="batch_size",
    )


class FewImages(Group):
    """What a training does about classes of unequal size, and about few images; a class lists it after `Sampling`."""

    class_weights: Literal["none", "balanced"] = setting(
        "none",
        "weights of the classes in the training loss: none, or the rarer the larger (balanced)",
        after="sampling",
    )
    randaugment: int = setting(
        0,
        "magnitude of RandAugment, two random changes of each training image (0: off; 9 is usual)",
        after="cutout",
        ge=0,
        le=30,
    )
    mixup: Alpha = setting(0.0, "MixUp of each two training images: alpha of its beta distribution (0: off; 0.2)")
    cutmix: Alpha = setting(
        0.0, "CutMix, the same with pieces of images: alpha (0: off; 1); with both, each batch gets one of them"
    )
    ema: Probability = setting(
        0.0,
        "decay of an average of the weights over the steps, which is what is measured and kept (0: off; 0.99)",
        after="weight_decay",
    )

    @field_validator("mixup", "cutmix")
    @classmethod
    def _shares_can_be_drawn(cls, alpha: float, info: ValidationInfo) -> float:
        if 0 < alpha < 0.01:  # numbers in 32 bits, with which torchvision draws, then give 0.5 each time
            raise ValueError(f"{info.field_name} is {alpha:g}, but it must be 0 (off) or at least 0.01")
        return alpha

    @field_validator("class_weights")
    @classmethod
    def _classes_are_balanced_once(cls, weights: str, info: ValidationInfo) -> str:
        if weights == "balanced" and info.data.get("sampling") == "balanced":
            raise ValueError(
                "class_weights is balanced, but so is sampling: both together would favour rare classes, so drop one"
            )
        return weights
