"""What methods can be told that draw the operations of edges with noise: GDAS, SNAS and ProxylessNAS."""

from typing import Any, ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import at_most, setting
from pcdarts.config.groups.values import Amount, Count, NaturalNumber, NotNegative, Positive
from pcdarts.config.methods.settings import ArchAdam

_BUDGETS = ("max_mult_adds", "max_params", "max_skips", "max_latency")


class Tempered(ArchAdam):
    """A temperature that falls linearly over the epochs."""

    temperature: Positive = setting(1.0, "temperature of the relaxed draws in the first epoch")
    temperature_min: Positive = setting(0.03, "temperature that it falls to, in equal steps")

    @field_validator("temperature_min")
    @classmethod
    def _temperatures_fall(cls, end: float, info: ValidationInfo) -> float:
        return at_most(end, info, "temperature")


class GdasSettings(Tempered):
    """one operation an edge, drawn by Gumbel noise, with a straight-through gradient (GDAS)"""

    defaults: ClassVar[Any] = {"arch_learning_rate": 3e-4, "temperature": 10.0, "temperature_min": 0.1}

    decode: Literal["edges", "pairs"] = setting(
        "edges",
        "what a node keeps: two edges, or (pairs, as in GDAS) the best two pairs of edge and operation",
        after="latency_table",
    )

    @field_validator("decode")
    @classmethod
    def _budgets_choose_edges(cls, decode: str, info: ValidationInfo) -> str:
        limited = [name for name in _BUDGETS if info.data.get(name) is not None]
        if decode == "pairs" and limited:
            raise ValueError(
                f"decode is pairs, but {limited[0]} chooses among cells with two edges a node: drop it, or use edges"
            )
        return decode


class SnasSettings(Tempered):
    """relaxed draws of all operations, whose noise falls; alpha learns with the weights, and sees costs (SNAS)"""

    needs_costs: ClassVar[bool] = True
    defaults: ClassVar[Any] = {"arch_learning_rate": 3e-4}

    cost_weight: NotNegative = setting(1.5e-3, "weight of the expected cost of the normal cells in the loss of alpha")
    reduction_cost_weight: NotNegative = setting(1.0, "the same for reduction cells, as a factor of cost_weight")
    arch_optimizer: Literal["adam", "sgd"] = setting("adam", "what moves alpha and beta: Adam, or SGD without momentum")
    arch_gradient_clip: Positive = setting(10.0, "largest norm of the gradient of alpha and beta")


class ProxylessSettings(ArchAdam):
    """binary gates, one of which is open on each edge, and a term for expected mult-adds (ProxylessNAS)"""

    needs_costs: ClassVar[bool] = True
    defaults: ClassVar[Any] = {"arch_learning_rate": 1e-3, "arch_adam_betas": (0.0, 0.999), "arch_weight_decay": 0.0}

    mode: Literal["full", "two"] = setting(
        "full", "gates of an edge that have a gradient: all, or two that are drawn, for less memory"
    )
    arch_every: Count = setting(5, "steps of the weights from one step of alpha to the next")
    warmup_epochs: NaturalNumber = setting(0, "epochs of a first stage that only moves the weights", after="epochs")
    warmup_learning_rate: Positive | None = setting(
        None, "learning rate that this stage begins with (none: learning_rate)", after="learning_rate_min"
    )
    cost_weight: NotNegative = setting(0.1, "weight of the expected mult-adds of the network that will be trained")
    reference_mult_adds: Amount | None = setting(
        None, "mult-adds that these are compared with, such as 300M (none: those expected before the search)"
    )

    @field_validator("warmup_learning_rate")
    @classmethod
    def _it_is_of_a_stage(cls, rate: float | None, info: ValidationInfo) -> float | None:
        if rate is not None and info.data.get("warmup_epochs") == 0:
            raise ValueError(f"warmup_learning_rate is {rate:g}, but warmup_epochs is 0: drop it, or give epochs")
        return rate
