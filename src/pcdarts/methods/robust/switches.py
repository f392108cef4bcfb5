"""Switches around a method whose mixture weighs all operations; what is off changes nothing.

* `perturbation`: SmoothDARTS with random smoothing (Chen and Hsieh, 2020), ε from `perturbation_start` on.
* `auxiliary_skip`: DARTS- (Chu et al., 2021).
* `beta_penalty`: beta-DARTS (Ye et al., 2022).
* `oles_threshold`: OLES (`operation_stopping.py`).
* `eigenvalue_every`: R-DARTS with early stopping (`early_stopping.py`).

A method knows nothing of them: it is given a task that computes with changed mixtures. Schedules run over a stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.errors import InputError
from pcdarts.methods.method import At, Batch, Method, Seen, Stage, Task, figures_of
from pcdarts.methods.robust.early_stopping import EarlyStopping
from pcdarts.methods.robust.operation_stopping import OperationStopping, operation_weights
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import Mixture, allowed_primitives

SKIP = "skip_connect"


@dataclass(frozen=True)
class Switches:
    """All of them, off; `config/methods/robust.py` says what each is."""

    perturbation: float = 0.0
    perturbation_start: float = 0.03
    auxiliary_skip: bool = False
    beta_penalty: float = 0.0
    oles_threshold: float = 0.0
    oles_steps: int = 20
    eigenvalue_every: int = 0
    eigenvalue_growth: float = 1.3
    eigenvalue_earliest: int = 10

    @property
    def are_on(self) -> bool:
        """Whether any of them changes anything."""
        strengths = (self.perturbation, self.auxiliary_skip, self.beta_penalty, self.oles_threshold)
        return any(strengths) or self.eigenvalue_every > 0

    def radius(self, at: At) -> float:
        """ε of SDARTS in an epoch e of E: ε_0 + (ε_E - ε_0) e / E."""
        return self.perturbation_start + (self.perturbation - self.perturbation_start) * done(at)


def done(at: At) -> float:
    """e / E: which part of its stage's epochs is done."""
    return at.stage_epoch / at.stage_epochs


def made_robust(method: Method, switches: Mapping[str, Any]) -> Method:
    """The method with its switches: the method itself where all are off.

    Raises:
        InputError: the method's space has no skips, or its search several stages, and a switch does not fit that.
    """
    found = Switches(**switches)
    return Robust(method, found) if found.are_on else method


class Robust:
    """A method with switches that are on."""

    def __init__(self, method: Method, switches: Switches) -> None:
        self.method, self.switches = method, switches
        if switches.auxiliary_skip and SKIP not in method.space.primitives:
            raise InputError(f"auxiliary_skip is on, but the space has no {SKIP}: drop it")
        self.operations: OperationStopping | None = None
        if switches.oles_threshold:
            self.operations = OperationStopping(switches.oles_threshold, switches.oles_steps)
        self.stopping: EarlyStopping | None = None
        if switches.eigenvalue_every:
            if len(method.stages()) > 1:
                raise InputError("eigenvalue_every ends a search of one stage, but this one has several: drop it")
            self.stopping = EarlyStopping(
                switches.eigenvalue_every, switches.eigenvalue_growth, switches.eigenvalue_earliest
            )

    @property
    def space(self) -> CellSpace:
        return self.method.space

    @property
    def arch(self) -> nn.Module:
        return self.method.arch

    @property
    def ended(self) -> str | None:
        return self.stopping.ended if self.stopping else None

    @property
    def figures(self) -> dict[str, float]:
        of_stopping = self.stopping.figures if self.stopping else {}
        return {**figures_of(self.method), **of_stopping, **(self.operations.figures if self.operations else {})}

    def stages(self) -> Sequence[Stage]:
        return self.method.stages()

    def mixture(self) -> Mixture:
        return self.method.mixture()

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float | Tensor, Mixture]]:
        self.prepare(at, task)
        if self.operations:
            self.operations.before_weight_step(task)
        draws = self.method.draws(at, RobustTask(self, at, task), batch)
        if self.switches.perturbation:
            chance = batch.chance()
            chance.manual_seed((chance.initial_seed() + 1) % 2**63)  # the method may draw from the batch's own numbers
            radius = self.switches.radius(at)
            draws = [(share, perturbed(mixture, radius, chance)) for share, mixture in draws]
        return [(share, self.with_skips(mixture, at)) for share, mixture in draws]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        self.prepare(at, task)
        if self.stopping:
            self.stopping.learns(at)
        return self.method.step(at, RobustTask(self, at, task), weight_batch)

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        robust_task = RobustTask(self, at, task)
        self.method.end_epoch(at, robust_task, chance)
        if self.stopping:
            self.stopping.end_epoch(at, robust_task, self.arch, self.mixture, chance)

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return self.method.genotype(task, chance)

    def state_dict(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"stopping": self.stopping, "operations": self.operations}
        own = {name: part.state_dict() for name, part in parts.items() if part}
        return {"method": self.method.state_dict()} | own

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.method.load_state_dict(state["method"])
        if self.stopping:
            self.stopping.load_state_dict(state["stopping"])
        if self.operations:
            self.operations.load_state_dict(state["operations"])

    def prepare(self, at: At, task: Task) -> None:
        """Before a step of α or of the weights."""
        if self.operations:
            self.operations.prepare(at, task, self.stages()[at.stage].keeps_weights)

    def with_skips(self, mixture: Mixture, at: At) -> Mixture:
        """The mixture with the auxiliary skips of an epoch, if they are on."""
        return with_auxiliary_skips(mixture, self.space, 1 - done(at)) if self.switches.auxiliary_skip else mixture


class RobustTask:
    """The task that the method is given: the mixtures it computes with, and what α learns, are changed."""

    def __init__(self, robust: Robust, at: At, task: Task) -> None:
        self.robust, self.at, self.task = robust, at, task
        self._arch_batch: Batch | None = None

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.task.weights

    @property
    def weight_optimizer(self) -> torch.optim.SGD:
        return self.task.weight_optimizer

    def arch_batch(self) -> Batch:
        self._arch_batch = self.task.arch_batch()
        return self._arch_batch

    def hold(self, held: Mapping[str, Tensor]) -> None:
        self.task.hold(held)

    def images(self, batch: Batch) -> int:
        return self.task.images(batch)

    def gradients(
        self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor], weights: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Tensor], Seen]:
        mixture, operations = self.robust.with_skips(mixture, self.at), self.robust.operations
        if operations is None or weights is not None or batch is not self._arch_batch:
            return self.task.gradients(mixture, batch, inputs, weights)
        self._arch_batch = None  # one comparison in a step
        leaves = {name: weight.requires_grad_() for name, weight in self.task.weights.items()}
        names = list(operation_weights(self.task))
        asked = [*inputs, *(leaves[name] for name in names)]
        found, seen = self.task.gradients(mixture, batch, asked, leaves)
        of_operations = dict(zip(names, found[len(inputs) :], strict=True))
        operations.compare(of_operations, operations.last_gradients(self.task))
        return found[: len(inputs)], seen

    def losses(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self.task.losses([self.robust.with_skips(mixture, self.at) for mixture in mixtures], batch)

    def errors(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self.task.errors([self.robust.with_skips(mixture, self.at) for mixture in mixtures], batch)

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        return self.task.error(mixture, batches)  # of a cell, which has no auxiliary skips

    def jacobian(
        self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor], weights: Mapping[str, Tensor], images: int
    ) -> Tensor:
        return self.task.jacobian(self.robust.with_skips(mixture, self.at), batch, inputs, weights, images)

    def patterns(self, mixture: Mixture, batch: Batch, weights: Mapping[str, Tensor]) -> Tensor:
        return self.task.patterns(self.robust.with_skips(mixture, self.at), batch, weights)

    def apply(self, optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor], seen: Seen) -> None:
        weight = self.robust.switches.beta_penalty * done(self.at)  # λ(e)
        if weight:
            alpha: Any = self.robust.arch.alpha
            (group,) = optimizer.param_groups
            of_penalty = dict(
                zip(map(id, alpha.values()), penalty_gradients(alpha, self.robust.mixture()), strict=True)
            )
            gradients = [
                gradient + weight * of_penalty[id(parameter)] if id(parameter) in of_penalty else gradient
                for parameter, gradient in zip(group["params"], gradients, strict=True)
            ]
        self.task.apply(optimizer, gradients, seen)


def perturbed(mixture: Mixture, radius: float, chance: torch.Generator) -> Mixture:
    """Each operation's weight changed by a number between -radius and radius, and cut off at 0 and 1.

    Rows then no longer sum to 1 (authors' code). An operation that is absent stays so.
    """
    op_weights = {}
    for kind, weights in mixture.op_weights.items():
        noise = radius * (2 * torch.rand(weights.shape, generator=chance, dtype=weights.dtype) - 1)
        moved = (weights + send(noise, weights.device)).clamp(0, 1)
        op_weights[kind] = moved.masked_fill(weights == 0, 0)
    return replace(mixture, op_weights=op_weights)


def with_auxiliary_skips(mixture: Mixture, space: CellSpace, weight: float) -> Mixture:
    """Every edge with one more skip of this weight, where its space allows one.

    That is β·skip(x) + Σ_o w_o·o(x): the skip's weight in the mixture grows by β.
    """
    if weight == 0:
        return mixture
    column, allowed = space.primitives.index(SKIP), allowed_primitives(space)
    extra = torch.zeros(space.num_edges, len(space.primitives), dtype=torch.bool)
    extra[:, column] = True if allowed is None else allowed[:, column]
    op_weights: dict[CellKind, Tensor] = {
        kind: weights + weight * send(extra, weights.device) for kind, weights in mixture.op_weights.items()
    }
    active = mixture.active and {kind: there | extra for kind, there in mixture.active.items()}
    return replace(mixture, op_weights=op_weights, active=active)


def log_sum_exp(alpha: Mapping[CellKind, Tensor], mixture: Mixture) -> Tensor:
    """The mean over all edges of all kinds of log Σ_o exp(α_o), over the operations that the mixture still has."""
    return torch.cat(
        [
            logits.masked_fill(mixture.op_weights[kind].detach() == 0, -torch.inf).logsumexp(dim=1)
            for kind, logits in alpha.items()
        ]
    ).mean()


def penalty_gradients(alpha: Mapping[CellKind, Tensor], mixture: Mixture) -> tuple[Tensor, ...]:
    """The gradient of that mean with respect to the α of each kind."""
    return torch.autograd.grad(log_sum_exp(alpha, mixture), list(alpha.values()))
