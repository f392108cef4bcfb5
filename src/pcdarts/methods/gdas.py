"""GDAS (Dong and Yang, 2019): one operation on each edge, drawn by Gumbel noise, with a straight-through gradient.

A draw is one-hot; its gradient is that of the relaxed draw p = softmax((log softmax(α) + g) / τ):

    h = onehot(argmax p) + p - stop(p)

Only the drawn operation k of an edge is computed, so ∂L/∂h is known for k alone, and counts as zero for the others. So
what is estimated is the exact gradient of a surrogate: the mean loss over all draws of k and g, each with its
probability now, when the operation drawn has the weight 1 + p_k(α, g) - p_k(α now, g), and no other is there. (In the
authors' code the others add a scalar of value zero to all pixels; its gradient says nothing about them.)

β, which GDAS does not have, weighs the edges, and has its exact gradient under the draw.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch

from pcdarts.cell.derive import derive, strengths
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.gumbel import chosen_columns, gumbel_like
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.supernet.arch import ArchParameters, Mixture


class GDAS:
    """One draw for each batch, shared by all cells of a kind; α learns on the arch split.

    Args:
        temperature, temperature_min: of τ, which falls linearly over the epochs.
        decode: "edges" keeps two edges of each node, as DARTS does; "pairs" the two best pairs of edge and operation.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on α and β.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        temperature: float = 10.0,
        temperature_min: float = 0.1,
        decode: Literal["edges", "pairs"] = "edges",
        arch_learning_rate: float = 3e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space, self.decode = space, decode
        self.temperatures = temperature, temperature_min
        self.arch = ArchParameters(space, edge_normalization).to(device)
        self.optimizer = torch.optim.Adam(
            self.arch.parameters(), arch_learning_rate, arch_adam_betas, weight_decay=arch_weight_decay
        )

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.mixture()

    def drawn(self, at: At, batch: Batch) -> Mixture:
        """The one-hot mixture of a batch, differentiable in α and β."""
        start, end = self.temperatures
        τ = start + (end - start) * at.stage_epoch / max(at.stage_epochs - 1, 1)
        chance, op_weights, active = batch.chance(), {}, {}
        for kind, α in self.arch.logits().items():
            perturbed = α.log_softmax(dim=1) + gumbel_like(α, chance)
            onehot, active[kind] = chosen_columns(perturbed)
            p = (perturbed / τ).softmax(dim=1)
            op_weights[kind] = onehot + (p - p.detach())
        return Mixture(op_weights, self.arch.edge_weights(), active)

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.drawn(at, batch))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        batch = task.arch_batch()
        gradients, seen = task.gradients(self.drawn(at, batch), batch, list(self.arch.parameters()))
        task.apply(self.optimizer, gradients, seen)
        return seen

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        if self.decode == "edges" or self.space.form.edges_kept is None:
            return derive(self.arch)
        cells = {kind: _best_pairs(self.space, found) for kind, found in strengths(self.arch).items()}
        return Genotype.of_space(self.space, cells)

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])


def _best_pairs(space: CellSpace, strengths: list[list[float]]) -> tuple[tuple[str, int], ...]:
    """For each node its strongest pairs of operation and edge, strongest first; ties go to the earlier one.

    `strengths` is [edges][primitives].
    """
    kept: list[tuple[str, int]] = []
    for target in space.intermediate:
        pairs = [(edge, column) for edge in space.edges_into(target) for column in space.choices(edge)]
        pairs.sort(key=lambda pair: -strengths[pair[0]][pair[1]])
        best = pairs[: space.form.edges_of(target)]
        kept.extend((space.primitives[column], space.edges[edge].source) for edge, column in best)
    return tuple(kept)
