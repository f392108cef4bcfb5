"""FairDARTS (Chu et al., 2020): operations do not compete, each has a sigmoid of its own.

    x_j = Σ_o σ(α_o) o(x_i)        L_01 = -w_01 · mean (σ(α) - 1/2)²

α learns by L_arch + L_01 on the arch split, which drives each σ towards 0 or 1. There is no `none`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import ArchParameters, Mixture


class FairDARTS:
    """Every edge is the sum of all its operations, each weighed by a sigmoid; none is drawn at random.

    Args:
        zero_one_weight: w_01.
        threshold: of σ, from which the authors keep an operation. The cell keeps two edges of each node whatever theirs
            is; `figures` says how many of these are below.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on α.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        zero_one_weight: float = 10.0,
        threshold: float = 0.85,
        arch_learning_rate: float = 3e-3,
        arch_adam_betas: tuple[float, float] = (0.9, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space, self.zero_one_weight, self.threshold = space, zero_one_weight, threshold
        self.arch = ArchParameters(space, edge_normalization).to(device)
        for alpha in self.arch.alpha.values():
            alpha.data.zero_()  # σ = 1/2
        self.optimizer = torch.optim.Adam(
            self.arch.parameters(), arch_learning_rate, arch_adam_betas, weight_decay=arch_weight_decay
        )
        self.there = torch.zeros(space.num_edges, len(space.primitives), dtype=torch.bool)
        for edge in range(space.num_edges):
            named = [column for column in space.choices(edge) if space.primitives[column] != "none"]
            self.there[edge, named] = True

    @property
    def figures(self) -> dict[str, float]:
        """How many of the operations in the cell the authors' threshold would leave out."""
        genotype, weights = derive(self), self.mixture().op_weights
        below = 0
        for kind in genotype.kinds:
            for target, edges in genotype.entering(kind).items():
                into = self.space.edges_into(target)
                for primitive, source in edges:
                    weight = weights[kind][into[source], self.space.primitives.index(primitive)]
                    below += weight.item() < self.threshold
        return {"below_threshold": below}

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        op_weights: dict[CellKind, Tensor] = {}
        for kind in self.space.kinds:
            alpha = self.arch.alpha[kind]
            op_weights[kind] = alpha.sigmoid().masked_fill(send(~self.there, alpha.device), 0)
        return Mixture(op_weights, self.arch.edge_weights(), dict.fromkeys(self.space.kinds, self.there))

    def zero_one_loss(self) -> Tensor:
        """L_01, over the operations that there are."""
        away = [
            (weights - 0.5).square().masked_fill(send(~self.there, weights.device), 0).sum()
            for weights in self.mixture().op_weights.values()
        ]
        return -self.zero_one_weight * torch.stack(away).sum() / (len(away) * int(self.there.sum()))

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.mixture())]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        alphas = list(self.arch.alpha.values())  # which come first among the parameters
        gradients, seen = task.gradients(self.mixture(), task.arch_batch(), list(self.arch.parameters()))
        for number, pull in enumerate(torch.autograd.grad(self.zero_one_loss(), alphas)):
            gradients[number] = gradients[number] + pull
        task.apply(self.optimizer, gradients, seen)
        return seen

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self)

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])
