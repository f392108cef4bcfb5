"""What methods can be told whose operations do not compete: FairDARTS."""

from typing import Any, ClassVar

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import NotNegative, Probability
from pcdarts.config.methods.selection import SelectionSettings
from pcdarts.config.methods.settings import ArchAdam


class FairDartsSettings(ArchAdam, SelectionSettings):
    """a sigmoid for every operation, driven to 0 or 1 by a loss of its own (FairDARTS)"""

    has_logits: ClassVar[bool] = False
    defaults: ClassVar[Any] = {"arch_learning_rate": 3e-3, "arch_adam_betas": (0.9, 0.999)}

    zero_one_weight: NotNegative = setting(
        10.0, "weight of the zero-one loss in the loss of alpha", after="arch_weight_decay"
    )
    threshold: Probability = setting(
        0.85, "sigmoid from which the authors keep an operation: those below it in the cell are counted"
    )
