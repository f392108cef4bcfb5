"""The settings of methods that learn distributions over the operations of an edge."""

from typing import ClassVar

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import Positive
from pcdarts.config.methods.robust import RobustSettings


class GaeaSettings(RobustSettings):
    """weights on simplices; they learn by exponentiated gradient on the arch split (GAEA)"""

    has_logits: ClassVar[bool] = False

    arch_learning_rate: Positive = setting(
        0.1, "fixed rate of the exponentiated gradient, for operations and edges", after="gradient_clip"
    )
