"""DrNAS (Chen et al., 2021): the mixture of an edge is drawn from a Dirichlet distribution, whose concentrations learn.

    w ~ Dirichlet(elu(α) + 1),      ∇_α E[L_arch(w)] = E[∂L_arch/∂w · ∂w/∂α]

The derivative ∂w/∂α is pathwise: w is made of gamma variates g_o with shapes c_o, w_o = g_o / Σ g, and PyTorch
differentiates these by their distribution function. A distance to Dirichlet(1, ..., 1) keeps α near 0.

With a second stage, K falls (the supernet is widened) and every edge keeps only the operations of its largest α.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.errors import InputError
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import ArchParameters, Mixture, choosable


class DrNAS:
    """Draws one mixture for each batch and kind of cell; an operation that no genotype can hold (`none`) is not there.

    `mixture` and the genotype are those of softmax(α).

    Args:
        second_k: K of a second stage; None: there is one stage.
        operations_kept: how many operations an edge has in the second stage.
        distance: "l2", the sum of α², or "kl", the divergence KL(Dirichlet(c) ‖ Dirichlet(1)), summed over edges.
        distance_weight: of that distance in the loss.
        arch_learning_rate, arch_adam_betas: of Adam on α (and β).

    Raises:
        InputError: an edge has fewer operations than are to be kept.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        second_k: int | None = None,
        operations_kept: int = 4,
        distance: Literal["l2", "kl"] = "l2",
        distance_weight: float = 1e-3,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
    ) -> None:
        self.space, self.second_k, self.operations_kept = space, second_k, operations_kept
        self.distance, self.distance_weight = distance, distance_weight
        self.arch = ArchParameters(space, edge_normalization).to(device)
        self.optimizer = torch.optim.Adam(self.arch.parameters(), arch_learning_rate, arch_adam_betas)
        there = choosable(space)
        self.there: dict[CellKind, Tensor] = {kind: there.clone() for kind in space.kinds}
        most = int(there.sum(1).max())
        if second_k is not None and operations_kept > most:
            raise InputError(
                f"operations_kept is {operations_kept}, but an edge has {most} operations to choose from: "
                f"give {most} or fewer"
            )

    def stages(self) -> Sequence[Stage]:
        if self.second_k is None:
            return [Stage()]
        return [Stage(), Stage(k=self.second_k, keeps_weights=True, keeps_schedule=True)]

    def mixture(self) -> Mixture:
        op_weights = {
            kind: self.arch.alpha[kind].masked_fill(~self._mask(kind), -math.inf).softmax(1)
            for kind in self.space.kinds
        }
        return Mixture(op_weights, self.arch.edge_weights(), self.there)

    def _mask(self, kind: CellKind) -> Tensor:
        return send(self.there[kind], self.arch.alpha[kind].device)

    def drawn(self, batch: Batch) -> Mixture:
        """What is drawn for a batch, differentiable in α."""
        op_weights: dict[CellKind, Tensor] = {}
        device = self.arch.alpha[self.space.kinds[0]].device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(batch.chance().initial_seed())  # PyTorch's sampler knows the global generator alone
            for kind in self.space.kinds:
                op_weights[kind] = dirichlet(F.elu(self.arch.alpha[kind]) + 1, self._mask(kind))
        return Mixture(op_weights, self.arch.edge_weights(), self.there)

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.drawn(batch))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        batch, alphas = task.arch_batch(), list(self.arch.alpha.values())
        gradients, seen = task.gradients(self.drawn(batch), batch, list(self.arch.parameters()))
        pulls = torch.autograd.grad(self._distance(), alphas)  # alphas come first among the parameters
        for number, pull in enumerate(pulls):
            gradients[number] = gradients[number] + self.distance_weight * pull
        task.apply(self.optimizer, gradients, seen)
        return seen

    def _distance(self) -> Tensor:
        alpha = self.arch.alpha
        if self.distance == "l2":
            return torch.stack([alpha[kind].square().sum() for kind in self.space.kinds]).sum()
        far = [kl_from_uniform(F.elu(alpha[kind]) + 1, self._mask(kind)).sum() for kind in self.space.kinds]
        return torch.stack(far).sum()

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        if self.second_k is None or at.stage > 0 or at.stage_epoch < at.stage_epochs - 1:
            return
        for kind, there in self.there.items():  # the second stage has the operations of the largest α
            alpha = self.arch.alpha[kind].detach().cpu().masked_fill(~there, -math.inf)
            best = alpha.argsort(dim=1, descending=True, stable=True)[:, : self.operations_kept]
            self.there[kind] = there & torch.zeros_like(there).scatter(1, best, True)

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self)

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict(), "there": dict(self.there)}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.there = {kind: state["there"][kind].cpu() for kind in self.space.kinds}


def dirichlet(concentration: Tensor, there: Tensor) -> Tensor:
    """A draw from the Dirichlet distribution of each row of [edges, primitives], over those that are `there`.

    It comes from the global generator; its gradient is pathwise. The others have weight and gradient zero.
    """
    gammas = torch.distributions.Gamma(concentration, torch.ones_like(concentration), validate_args=False).rsample()
    gammas = gammas.masked_fill(~there, 0)
    return gammas / gammas.sum(dim=1, keepdim=True)


def kl_from_uniform(concentration: Tensor, there: Tensor) -> Tensor:
    """KL(Dirichlet(c) ‖ Dirichlet(1, ..., 1)) of each row of [edges, primitives], over those that are `there`."""
    c = concentration.masked_fill(~there, 1)
    total = c.masked_fill(~there, 0).sum(dim=1)
    spread = (c - 1) * (c.digamma() - total.digamma().unsqueeze(1)) - c.lgamma()  # zero where c is 1 as it is absent
    return total.lgamma() - there.sum(dim=1).to(c).lgamma() + spread.sum(dim=1)
