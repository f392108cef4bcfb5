"""GAEA (Li et al., 2021): what mixes operations and edges lives on simplices and learns by exponentiated gradient.

A step on the arch batch multiplies and renormalises, edge by edge (and with edge normalisation node by node):

    p ← p · exp(-η ∂L_arch/∂p) / Σ

This is mirror descent with the entropy as distance: of all q on the simplex, the new p makes η <∂L/∂p, q> + KL(q ‖ p)
smallest. Here α = log p (and β the logarithm of the edges' weights), so that the step is α ← α - η ∂L/∂p.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.supernet.arch import ArchParameters, Mixture

SMALLEST = 1e-5
"""What no weight falls below (authors' code)."""


class GAEA:
    """Every edge is the sum of all its operations, weighted by p; none is drawn at random.

    Args:
        arch_learning_rate: η.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        arch_learning_rate: float = 0.1,
    ) -> None:
        self.space = space
        self.arch = ArchParameters(space, edge_normalization).to(device)
        for parameter in self.arch.parameters():
            parameter.data.zero_()  # a uniform p
        self.optimizer = ExponentiatedGradient(self.arch, arch_learning_rate)

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.mixture()  # p, as softmax(log p)

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.mixture())]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        mixture = self.mixture()
        gradients, seen = task.gradients(mixture, task.arch_batch(), self._learnt(mixture))  # ∂L_arch/∂p
        task.apply(self.optimizer, gradients, seen)
        return seen

    def _learnt(self, mixture: Mixture) -> list[Tensor]:
        """The p of a mixture, in the order of `arch.parameters()`."""
        edges = list(mixture.edge_weights.values()) if self.arch.edge_normalization else []
        return [*mixture.op_weights.values(), *edges]

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self.arch)

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])


class ExponentiatedGradient(torch.optim.Optimizer):
    """p ← p · exp(-η ∂L/∂p), renormalised and at least `SMALLEST`, for the p = softmax(α) of `arch`.

    It expects ∂L/∂p, not ∂L/∂α, as the gradient of α. As in a fused optimiser nothing changes where `found_inf` is not
    zero.
    """

    def __init__(self, arch: ArchParameters, learning_rate: float) -> None:
        super().__init__(arch.parameters(), {"lr": learning_rate})
        self._arch = arch

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # there is no closure
        (group,) = self.param_groups
        bad = getattr(self, "found_inf", None)
        before = [parameter.clone() for parameter in group["params"]]
        for parameter in group["params"]:
            parameter -= group["lr"] * parameter.grad  # log p - η ∂L/∂p, whose softmax is the new p
        mixture = self._arch.mixture()
        for kind in self._arch.space.kinds:  # the next softmax divides by the sum
            self._arch.alpha[kind].copy_(mixture.op_weights[kind].clamp_min(SMALLEST).log())
            if self._arch.edge_normalization:
                self._arch.beta[kind].copy_(mixture.edge_weights[kind].clamp_min(SMALLEST).log())
        if bad is not None:
            for parameter, earlier in zip(group["params"], before, strict=True):
                parameter.copy_(torch.where(bad > 0, earlier, parameter))
