"""Switches that make a dense search robust: what `methods/robust/` does to a method, each from a paper of its own."""

from typing import ClassVar

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import Count, NaturalNumber, NotNegative
from pcdarts.config.methods.settings import MethodSettings


class RobustSettings(MethodSettings):
    """A method whose mixture weighs all operations has these settings too; all of them are off."""

    has_logits: ClassVar[bool] = True
    """Whether the method's mixture is the softmax of its alpha."""

    perturbation: NotNegative = setting(
        0.0,
        "largest random change of an operation's weight while the supernet's weights learn, reached linearly at the "
        "end (SDARTS-RS: 0.3; 0: none)",
        after=("arch_weight_decay", "arch_adam_betas", "arch_learning_rate", "edge_normalization"),
        le=1,
    )
    perturbation_start: NotNegative = setting(0.03, "the same in the first epoch")
    auxiliary_skip: bool = setting(
        False, "an extra skip on every edge, whose weight falls from 1 to 0 and which no cell keeps (DARTS-)"
    )
    beta_penalty: NotNegative = setting(
        0.0,
        "weight of the mean log-sum-exp of alpha in the loss of alpha, reached linearly at the end (beta-DARTS: 25 "
        "after 50 epochs; 0: none)",
    )

    oles_threshold: NotNegative = setting(
        0.0,
        "an operation's weights stop to learn when their gradients on the two splits have a smaller mean cosine "
        "(OLES: 0.4; 0: they all go on)",
        le=1,
    )
    oles_steps: Count = setting(20, "steps over which that mean is taken")
    eigenvalue_every: NaturalNumber = setting(
        0,
        "epochs between two looks at the largest eigenvalue of the Hessian of alpha; when it grows, the search ends "
        "and alpha goes back to an earlier epoch (R-DARTS: 2; 0: never)",
    )
    eigenvalue_growth: float = setting(
        1.3, "factor by which its mean over five looks may grow from four looks before", gt=1
    )
    eigenvalue_earliest: NaturalNumber = setting(10, "number of first epochs of alpha to which it does not go back")

    @field_validator("perturbation_start")
    @classmethod
    def _perturbation_grows(cls, start: float, info: ValidationInfo) -> float:
        end = info.data.get("perturbation")
        if end and start > end:
            raise ValueError(f"perturbation_start is {start:g}, but it must be at most perturbation ({end:g})")
        return start

    @field_validator("oles_threshold")
    @classmethod
    def _gradients_are_of_the_weights_at_hand(cls, threshold: float, info: ValidationInfo) -> float:
        if threshold and info.data.get("second_order"):
            raise ValueError(
                f"oles_threshold is {threshold:g}, but in the second order gradients are those of other weights: drop "
                "second_order, or this"
            )
        return threshold

    @field_validator("beta_penalty")
    @classmethod
    def _a_penalty_of_logits_has_logits(cls, penalty: float, info: ValidationInfo) -> float:
        if penalty and not cls.has_logits:
            raise ValueError(
                f"beta_penalty is {penalty:g}, but it is about logits of a softmax, which method "
                f"{info.data.get('method')} does not have: drop it, or use method darts"
            )
        return penalty
