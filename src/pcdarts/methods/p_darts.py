"""P-DARTS (Chen et al., 2019): DARTS, first order, in three stages, each deeper and with fewer operations on an edge.

Supernet and α begin anew in each stage. After it every edge loses the operations of the smallest softmax(α) (Sec. 3.2).
Behind the skips of stride 1 there is dropout, whose rate falls during a stage (Sec. 3.3); the cell has no more than M
skips (Sec. 3.3): of those it would have, the weakest go, one after the other.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.errors import InputError
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import ArchParameters, Mixture, SkipDropout, allowed_primitives

FALL = 0.2
"""How fast the dropout's rate falls when α learns (authors' code)."""
LARGEST_GRADIENT = 5.0
"""To this norm the gradient of α is cut (authors' code)."""


class PDARTS:
    """Every edge is the softmax-weighted sum of the operations that it still has.

    Args:
        added_cells: how many cells the second and the third stage have more than the first.
        operations_left: how many operations an edge has in these.
        skip_dropout: the rate p_0 of each stage.
        skips_kept: M, of the normal cell; None: there is no such limit.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on α.

    Raises:
        InputError: an edge has fewer operations than are to be kept.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        added_cells: tuple[int, int] = (6, 12),
        operations_left: tuple[int, int] = (5, 3),
        skip_dropout: tuple[float, float, float] = (0.1, 0.4, 0.7),
        skips_kept: int | None = 2,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space = space
        self.added_cells, self.operations_left, self.skip_dropout = added_cells, operations_left, skip_dropout
        self.skips_kept = skips_kept
        self.arch = ArchParameters(space, edge_normalization).to(device)
        self.optimizer = torch.optim.Adam(
            self.arch.parameters(), arch_learning_rate, arch_adam_betas, weight_decay=arch_weight_decay
        )
        allowed = allowed_primitives(space)
        if allowed is None:
            allowed = torch.ones(space.num_edges, len(space.primitives), dtype=torch.bool)
        self.there: dict[CellKind, Tensor] = {kind: allowed.clone() for kind in space.kinds}
        self.stage = 0
        self.learnt_from: int | None = None
        """The first epoch of the stage in which α learnt."""
        if operations_left[0] > len(space.primitives):
            raise InputError(
                f"operations_left is {operations_left[0]}, but there are {len(space.primitives)} operations: give fewer"
            )

    def stages(self) -> Sequence[Stage]:
        return [Stage(), *(Stage(added_cells=added) for added in self.added_cells)]

    def mixture(self) -> Mixture:
        op_weights = {
            kind: self.arch.alpha[kind].masked_fill(~self._mask(kind), -math.inf).softmax(dim=1)
            for kind in self.space.kinds
        }
        return Mixture(op_weights, self.arch.mixture().edge_weights, self.there)

    def _mask(self, kind: CellKind) -> Tensor:
        return send(self.there[kind], self.arch.alpha[kind].device)

    def rate(self, at: At) -> float:
        """The dropout's rate: it falls linearly as if to the stage's end, and exponentially once α learns."""
        first = self.skip_dropout[at.stage]
        if self.learnt_from is None:
            return first * (at.stage_epochs - at.stage_epoch - 1) / at.stage_epochs
        return first * math.exp(-FALL * (at.stage_epoch - self.learnt_from))

    def _dropping(self, at: At, batch: Batch) -> Mixture:
        """The mixture with dropout; each pass over the batch, or a part of it, drops other numbers."""
        return replace(self.mixture(), skip_dropout=SkipDropout(self.rate(at), batch.chance()))

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        self._enter(at.stage, batch)
        return [(1.0, self._dropping(at, batch))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        self._enter(at.stage, weight_batch)
        if self.learnt_from is None:
            self.learnt_from = at.stage_epoch
        batch = task.arch_batch()
        gradients, seen = task.gradients(self._dropping(at, batch), batch, list(self.arch.parameters()))
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        factor = (LARGEST_GRADIENT / (norm + 1e-6)).clamp(max=1)
        task.apply(self.optimizer, [gradient * factor for gradient in gradients], seen)
        return seen

    def _enter(self, stage: int, batch: Batch) -> None:
        """At the first step of a stage: drop operations by the α of the one before, and begin with a new α."""
        if stage == self.stage:
            return
        kept = self.operations_left[stage - 1]
        for kind in self.space.kinds:
            self.there[kind] = strongest(self.arch.alpha[kind].detach().cpu(), self.there[kind], kept)
        fresh = ArchParameters(self.space, self.arch.edge_normalization, batch.chance())
        self.arch.load_state_dict(fresh.state_dict())
        self.optimizer.state.clear()
        self.stage, self.learnt_from = stage, None

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive_with_few_skips(self, self.skips_kept)

    def state_dict(self) -> dict[str, Any]:
        return {
            "arch": self.arch.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "there": dict(self.there),
            "stage": self.stage,
            "learnt_from": self.learnt_from,
        }

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.there = {kind: state["there"][kind].cpu() for kind in self.space.kinds}
        self.stage, self.learnt_from = state["stage"], state["learnt_from"]


def strongest(alpha: Tensor, there: Tensor, kept: int) -> Tensor:
    """Of the operations that are `there`, [edges, primitives], the `kept` with the largest α; ties go to the later."""
    weakest_first = alpha.masked_fill(~there, -math.inf).argsort(dim=1, stable=True)
    return there & torch.zeros_like(there).scatter(1, weakest_first[:, -kept:], True)


class _Weakened:
    """What `derive` reads: a mixture in which some skips have lost."""

    def __init__(self, space: CellSpace, mixture: Mixture) -> None:
        self.space, self._mixture = space, mixture

    def mixture(self) -> Mixture:
        return self._mixture


def derive_with_few_skips(method: PDARTS, skips_kept: int | None) -> Genotype:
    """DARTS's rule; while the normal cell has too many skips, the weakest of them is taken from the choice.

    Where an edge has nothing else to choose, its skip comes back with weight zero, as its weakest operation.
    """
    mixture = method.mixture().detach()
    weights = {kind: each.clone() for kind, each in mixture.op_weights.items()}
    weakened = _Weakened(method.space, replace(mixture, op_weights=weights))
    genotype = derive(weakened)
    if skips_kept is None or "normal" not in weights or "skip_connect" not in method.space.primitives:
        return genotype
    column, edges = method.space.primitives.index("skip_connect"), mixture.edge_weights["normal"]
    while True:
        skips = [
            method.space.edges_into(target)[source]
            for target, entering in genotype.entering("normal").items()
            for primitive, source in entering
            if primitive == "skip_connect"
        ]
        strengths = {edge: (weights["normal"][edge, column] * edges[edge]).item() for edge in skips}
        left = [edge for edge in skips if strengths[edge] > 0]
        if len(skips) <= skips_kept or not left:
            return genotype
        weights["normal"][min(left, key=strengths.__getitem__), column] = 0
        genotype = derive(weakened)
