"""What one search method alone can be told: for each method a group of settings, which only `--method` of it takes."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator

from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.values import NotNegative, Positive, Probability
from pcdarts.config.methods.gates import GdasSettings, ProxylessSettings, SnasSettings
from pcdarts.config.methods.pruning import PDartsSettings, TenasSettings
from pcdarts.config.methods.recipes import VARIANTS
from pcdarts.config.methods.robust import RobustSettings
from pcdarts.config.methods.sampling import EnasSettings, EvolutionSettings, NaoSettings, PnasSettings, RandomWSSettings
from pcdarts.config.methods.selection import MEASURING, SelectionSettings
from pcdarts.config.methods.settings import MethodSettings
from pcdarts.config.methods.sigmoids import FairDartsSettings
from pcdarts.config.methods.simplex import BayesnasSettings, DrnasSettings, GaeaSettings, ParsecSettings
from pcdarts.errors import InputError, closest, listed, shown


class DartsSettings(SelectionSettings):
    """softmaxes of all operations; alpha and beta learn by Adam on the arch split (DARTS, PC-DARTS)"""

    second_order: bool = setting(
        False, "second-order architecture gradient, as in DARTS v2", after="edge_normalization"
    )
    arch_learning_rate: Positive = setting(6e-4, "fixed learning rate of Adam on alpha and beta", after="gradient_clip")
    arch_adam_betas: tuple[Probability, Probability] = setting((0.5, 0.999), "momenta of Adam")
    arch_weight_decay: NotNegative = setting(1e-3, "weight decay of alpha and beta")


class DartsPtSettings(DartsSettings):
    """as darts; then operations and edges stay whose removal costs the supernet most (DARTS-PT)"""

    has_budgets: ClassVar[bool] = False
    defaults: ClassVar[Any] = {"arch_learning_rate": 3e-4, "selection": "perturbation"}

    @field_validator("selection")
    @classmethod
    def _it_is_this_selection(cls, selection: str) -> str:
        if selection == "weights":
            raise ValueError(
                "selection is weights, but method darts-pt is darts with selection perturbation: use method darts"
            )
        return selection


METHOD_SETTINGS: dict[str, type[MethodSettings]] = {
    "darts": DartsSettings,
    "gaea": GaeaSettings,
    "fair-darts": FairDartsSettings,
    "gdas": GdasSettings,
    "drnas": DrnasSettings,
    "parsec": ParsecSettings,
    "bayesnas": BayesnasSettings,
    "snas": SnasSettings,
    "proxyless": ProxylessSettings,
    "random-ws": RandomWSSettings,
    "evolution": EvolutionSettings,
    "enas": EnasSettings,
    "pnas": PnasSettings,
    "p-darts": PDartsSettings,
    "nao": NaoSettings,
    "darts-pt": DartsPtSettings,
    "te-nas": TenasSettings,
}
"""By the name that `--method` takes. The first is the usual one."""


def wrong_method(name: str) -> str:
    """What to say of a name that no method has, but perhaps a recipe, or the paper."""
    if (recipe := VARIANTS.get(name.removesuffix("-small"))) is not None:
        return f"method is {name}, but that is a recipe, of the method {recipe['method']}: use --recipe {name}"
    if name == "pc-darts":
        return "method is pc-darts, but PC-DARTS is darts with k and edge_normalization: use method darts"
    return f"method is {shown(name)}, but it must be {listed(METHOD_SETTINGS)}{closest(name, METHOD_SETTINGS)}"


def settings_of_method(config: Group) -> dict[str, Any]:
    """The settings of a search that are its method's own."""
    return {name: getattr(config, name) for name in METHOD_SETTINGS[config.method].model_fields}  # type: ignore[attr-defined]


def remarks_on(config: Group) -> list[str]:
    """What a search lacks of its method because it is too short."""
    lines: list[str] = config.remarks(config.epochs, config.arch_frozen_epochs)  # type: ignore[attr-defined]
    return lines


def beside_steps(config: Group) -> str:
    """What the method of a search does besides its steps, which nothing measures beforehand."""
    of_method = METHOD_SETTINGS[config.method].beside_steps  # type: ignore[attr-defined]
    measuring = MEASURING if getattr(config, "selection", "weights") == "perturbation" else ""
    eigenvalues = "the eigenvalues of the Hessian of alpha" if getattr(config, "eigenvalue_every", 0) else ""
    return "; ".join(filter(None, [of_method, measuring, eigenvalues]))


def method_in_words(config: Group) -> str:
    """What decides about the cost of the method's step."""
    if isinstance(config, DartsSettings) and not isinstance(config, DartsPtSettings):
        return "second order" if config.second_order else "first order"
    return f"method {config.method}"  # type: ignore[attr-defined]


def for_another_method(base: Mapping[str, Any], method: str) -> dict[str, Any]:
    """What a recipe says to another method than its own: all that is not the own one's, and switches that are on.

    Raises:
        InputError: the method does not have these switches.
    """
    own, switches = METHOD_SETTINGS[base["method"]].model_fields, RobustSettings.model_fields
    on = {name: base[name] for name in switches if name in base and base[name] != switches[name].default}
    if on and method in METHOD_SETTINGS and not issubclass(METHOD_SETTINGS[method], RobustSettings):
        dense = listed([name for name, group in METHOD_SETTINGS.items() if issubclass(group, RobustSettings)])
        raise InputError(
            f"the recipe {base['recipe']} is about {listed([*on], 'and')}, for methods that weigh all operations, and "
            f"not for {method}: choose another recipe, or --method {dense}"
        )
    return {name: value for name, value in base.items() if name not in own} | on
