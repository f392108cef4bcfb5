"""What the settings of all search methods have in common."""

from typing import ClassVar

from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.values import NotNegative, Positive, Probability


class MethodSettings(Group):
    """The settings of one method; without `after` they come last in help and YAML.

    The first line of a class's docstring is what `pcdarts methods` says of its method.
    """

    has_budgets: ClassVar[bool] = True
    """Whether the method weighs each operation of each edge, so that the best cell within a budget can be derived."""
    without_budgets: ClassVar[str] = "finds whole cells"
    """What a method does that does not, as the reason why it has no budgets."""
    beside_steps: ClassVar[str] = ""
    """What the method does besides the steps of a search, in a few words: `--plan` says that it does not measure it."""
    trains_weights: ClassVar[bool] = True
    """Whether the supernet's weights learn at all."""
    needs_costs: ClassVar[bool] = False
    """Whether the method is made with `costs`, the `NetworkCosts` of the network that will be trained."""

    @property
    def weighs_operations(self) -> bool:
        """Whether a search with these settings ends with weights from which a cell within a budget can be derived."""
        return self.has_budgets

    def remarks(self, epochs: int, frozen: int) -> list[str]:
        """What a search of so many epochs, the first of which are frozen, lacks of its method: lines for its user."""
        return []

    @property
    def usual_max_skips(self) -> int | None:
        """The `max_skips` of a budget that does not say it."""
        return None


class ArchAdam(MethodSettings):
    """Of a method whose alpha and beta learn by Adam; its class says its own `defaults`."""

    arch_learning_rate: Positive = setting(6e-4, "fixed learning rate of Adam on alpha and beta", after="gradient_clip")
    arch_adam_betas: tuple[Probability, Probability] = setting((0.5, 0.999), "momenta of Adam")
    arch_weight_decay: NotNegative = setting(1e-3, "weight decay of alpha and beta")
