"""SNAS (Xie, Zheng, Liu and Lin, 2019): relaxed draws of operations, and α that learns together with the weights.

The operations of an edge have the weights of a concrete (Gumbel-softmax) variable at the temperature T,

    Z = softmax((α + g) / T),    g standard Gumbel noise,

where α is the paper's log α. One draw for each batch is shared by all cells of a kind. α and weights minimise one loss
on one batch, the expectation over the draws of

    L_weight(Z, w) + λ Σ_cells Σ_edges Σ_o Z_o c_o,

by its pathwise gradient. c is the logarithm of what an operation costs, so λ = 0 leaves the search as it is. β, which
SNAS does not have, learns as α does.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pcdarts.cell.budget import RESOURCES, NetworkCosts
from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.gumbel import gumbel_like
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.supernet.arch import ArchParameters, Mixture


class SNAS:
    """All operations of an edge are mixed, in random shares that become one-hot as the temperature falls.

    Args:
        temperature, temperature_min: of T, which falls linearly over the epochs from one towards the other.
        cost_weight: λ, of the cost of normal cells.
        reduction_cost_weight: a factor of λ for the cost of reduction cells.
        arch_optimizer: "adam" or "sgd" (without momentum), which moves α and β.
        arch_gradient_clip: largest norm of the gradient of α and β.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of that optimiser; the betas are Adam's.
        costs: what the network costs that will be trained. Without, the loss has no cost.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        temperature: float = 1.0,
        temperature_min: float = 0.03,
        cost_weight: float = 1.5e-3,
        reduction_cost_weight: float = 1.0,
        arch_optimizer: Literal["adam", "sgd"] = "adam",
        arch_gradient_clip: float = 10.0,
        arch_learning_rate: float = 3e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
        costs: NetworkCosts | None = None,
    ) -> None:
        self.space, self.temperatures, self.clip = space, (temperature, temperature_min), arch_gradient_clip
        self.arch = ArchParameters(space, edge_normalization)
        for α in self.arch.alpha.values():
            torch.nn.init.normal_(α, 1, 0.01)
        self.arch.to(device)
        self.λ: dict[CellKind, float] = {"normal": cost_weight, "reduce": cost_weight * reduction_cost_weight}
        self.c = {} if costs is None else {kind: log_costs(costs, kind).to(device) for kind in space.kinds}
        α_β, rate, decay = self.arch.parameters(), arch_learning_rate, arch_weight_decay
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(α_β, rate, weight_decay=decay)
        if arch_optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.arch.parameters(), rate, arch_adam_betas, weight_decay=decay)

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.mixture()

    def drawn(self, at: At, batch: Batch) -> Mixture:
        """The mixture of a batch, differentiable in α and β."""
        start, end = self.temperatures
        T = end + (start - end) * (1 - at.stage_epoch / at.stage_epochs)  # the paper's symbols
        chance = batch.chance()
        Z = {kind: ((α + gumbel_like(α, chance)) / T).softmax(dim=1) for kind, α in self.arch.logits().items()}
        return Mixture(Z, self.arch.edge_weights(), self.mixture().active)

    def cost(self, mixture: Mixture) -> Tensor:
        """λ times the cost under a draw."""
        Z = mixture.op_weights
        return torch.stack([self.λ[kind] * (Z[kind] * c).sum() for kind, c in self.c.items()]).sum()

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.drawn(at, batch))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        α_β = list(self.arch.parameters())
        gradients, seen = task.gradients(self.drawn(at, weight_batch), weight_batch, α_β)
        if self.c:
            of_cost = torch.autograd.grad(self.cost(self.drawn(at, weight_batch)), α_β, materialize_grads=True)
            gradients = [of_loss + more for of_loss, more in zip(gradients, of_cost, strict=True)]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        shorter = (self.clip / norm).clamp(max=1)
        task.apply(self.optimizer, [shorter * gradient for gradient in gradients], seen)
        return seen

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self.arch)

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])


def log_costs(costs: NetworkCosts, kind: CellKind) -> Tensor:
    """[edges, primitives]: the mean of log(parameters) and log(mult-adds), each at least log(1)."""
    counted = costs.choices[kind][:, :, [RESOURCES.index("params"), RESOURCES.index("mult_adds")]]
    return torch.from_numpy(np.log(counted.clip(min=1)).mean(axis=-1)).float()
