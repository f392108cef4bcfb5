"""What the settings of all search methods have in common."""

from typing import ClassVar

from pcdarts.config.groups.group import Group


class MethodSettings(Group):
    """The settings of one method; without `after` they come last in help and YAML.

    The first line of a class's docstring is what `pcdarts methods` says of its method.
    """

    has_budgets: ClassVar[bool] = True
    """Whether the method weighs each operation of each edge, so that the best cell within a budget can be derived."""
    needs_costs: ClassVar[bool] = False
    """Whether the method is made with `costs`, the `NetworkCosts` of the network that will be trained."""
