"""What one search method alone can be told: for each method a group of settings, which only `--method` of it takes."""

from typing import Annotated

from pydantic import Field

from pcdarts.config.fields import NotNegative, Positive, Probability
from pcdarts.config.group import After, Group


class MethodSettings(Group):
    """The settings of one method; those that do not say `After` stand behind all others in help and YAML."""


class DartsSettings(MethodSettings):
    """DARTS: alpha and beta learn by Adam, on the loss of the arch split."""

    second_order: Annotated[bool, After("edge_normalization")] = Field(
        default=False, description="second-order architecture gradient, as in DARTS v2"
    )
    arch_learning_rate: Annotated[Positive, After("gradient_clip")] = Field(
        default=6e-4, description="fixed learning rate of Adam on alpha and beta"
    )
    arch_adam_betas: Annotated[tuple[Probability, Probability], After("arch_learning_rate")] = Field(
        default=(0.5, 0.999), description="momenta of Adam"
    )
    arch_weight_decay: Annotated[NotNegative, After("arch_adam_betas")] = Field(
        default=1e-3, description="weight decay of alpha and beta"
    )


METHOD_SETTINGS: dict[str, type[MethodSettings]] = {"darts": DartsSettings}
"""By the name that `--method` takes. The first is the usual one."""
