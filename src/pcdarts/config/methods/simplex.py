"""The settings of methods that learn distributions over the operations of an edge."""

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import Positive
from pcdarts.config.methods.settings import MethodSettings


class GaeaSettings(MethodSettings):
    """weights on simplices; they learn by exponentiated gradient on the arch split (GAEA)"""

    arch_learning_rate: Positive = setting(
        0.1, "fixed rate of the exponentiated gradient, for operations and edges", after="gradient_clip"
    )
