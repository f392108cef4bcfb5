"""The settings of methods that learn distributions over the operations of an edge."""

from typing import ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import Count, NotNegative, Positive, Probability
from pcdarts.config.methods.selection import SelectionSettings
from pcdarts.config.methods.settings import MethodSettings


class GaeaSettings(SelectionSettings):
    """weights on simplices; they learn by exponentiated gradient on the arch split (GAEA)"""

    has_logits: ClassVar[bool] = False

    arch_learning_rate: Positive = setting(
        0.1, "fixed rate of the exponentiated gradient, for operations and edges", after="gradient_clip"
    )


class DrnasSettings(SelectionSettings):
    """mixtures drawn from Dirichlet distributions, learnt by pathwise gradients; in two stages, if asked for (DrNAS)"""

    second_k: Count | None = setting(
        None,
        "K of a second stage of as many epochs, with the weights of the first, widened (none: one stage)",
        after="k",
    )
    operations_kept: Count = setting(4, "operations that every edge keeps in the second stage")
    arch_learning_rate: Positive = setting(6e-4, "fixed learning rate of Adam on alpha and beta", after="gradient_clip")
    arch_adam_betas: tuple[Probability, Probability] = setting((0.5, 0.999), "momenta of Adam")
    distance: Literal["l2", "kl"] = setting("l2", "distance from the uniform Dirichlet: sum of alpha squared, or KL")
    distance_weight: NotNegative = setting(1e-3, "weight of that distance in the loss of alpha")

    @field_validator("second_k")
    @classmethod
    def _k_only_falls(cls, second: int | None, info: ValidationInfo) -> int | None:
        first, channels = info.data.get("k"), info.data.get("channels")
        if second is not None and first is not None and second > first:
            raise ValueError(f"second_k is {second}, but K only falls: give k ({first}) or less")
        if second is not None and channels is not None and channels % second:
            raise ValueError(f"second_k is {second}, but it must divide channels ({channels})")
        return second


class ParsecSettings(MethodSettings):
    """a distribution over architectures, learnt by importance-weighted samples (PARSEC)"""

    samples: Count = setting(16, "architectures drawn for each batch", after="edge_normalization")
    temperature: Positive = setting(
        1.0, "divides the log-likelihood of a batch, a sum over its images (the batch size makes it their mean)"
    )
    arch_learning_rate: Positive = setting(
        3e-4, "fixed learning rate of Adam on the distribution and on beta", after="gradient_clip"
    )
    arch_adam_betas: tuple[Probability, Probability] = setting((0.5, 0.999), "momenta of Adam")


class BayesnasSettings(MethodSettings):
    """sparse switches on operations and edges, with priors in closed form; the cell keeps the relevant (BayesNAS)"""

    has_budgets: ClassVar[bool] = False
    without_budgets: ClassVar[str] = "finds cells by the priors of its switches"

    operation_sparsity: Positive = setting(
        0.01, "weight of the sparsity of the operations' switches in their loss", after="edge_normalization"
    )
    edge_sparsity: Positive = setting(0.01, "the same for the switches of edges")
    arch_learning_rate: Positive = setting(0.01, "fixed learning rate of SGD on the switches", after="gradient_clip")
