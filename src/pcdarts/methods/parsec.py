"""PARSEC (Casale, Gordon and Fusi, 2019): a distribution over architectures that makes the data probable.

An architecture A has one operation on each edge, with probability p(A|π) = Π_edges softmax(π)[A_edge]. Architectures
A_1, ..., A_n drawn from p(.|π) estimate the gradients of log E_{A ~ p(.|π)} p(y|X, v, A), the marginal likelihood of
the labels y, by importance weights:

    ω_k = p(y|X, v, A_k) / Σ_j p(y|X, v, A_j)

    ∇_π ≈ Σ_k ω_k ∇_π log p(A_k|π)      ∇_v ≈ Σ_k ω_k ∇_v log p(y|X, v, A_k)

for π on the arch split and for the weights v on the weight split. log p(y|X, v, A) is minus the loss, summed over the
batch. Here π is α.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.gumbel import gumbel_like
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.supernet.arch import ArchParameters, Mixture


class PARSEC:
    """Draws several architectures for each batch; all cells of a kind are alike.

    β, which PARSEC does not have, follows the gradient of the loss under one of them, drawn in proportion to ω: in the
    mean that is the gradient of the marginal likelihood.

    Args:
        samples: n.
        temperature: log p(y|X, v, A) is divided by it; the size of a batch makes it the mean over the batch.
        arch_learning_rate, arch_adam_betas: of Adam on π and β.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        samples: int = 16,
        temperature: float = 1.0,
        arch_learning_rate: float = 3e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
    ) -> None:
        self.space, self.samples, self.temperature = space, samples, temperature
        self.arch = ArchParameters(space, edge_normalization).to(device)
        self.optimizer = torch.optim.Adam(self.arch.parameters(), arch_learning_rate, arch_adam_betas)

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.mixture()

    def drawn(self, chance: torch.Generator) -> list[Mixture]:
        """A_1, ..., A_n as one-hot mixtures, differentiable in β."""
        onehot: dict[CellKind, Tensor] = {}
        for kind, π in self.arch.logits().items():
            several = π.detach().expand(self.samples, *π.shape)
            best = (several + gumbel_like(several, chance)).argmax(dim=2, keepdim=True)  # of probability softmax(π)
            onehot[kind] = torch.zeros_like(several).scatter(2, best, 1)
        active, edge_weights = {kind: each.cpu().bool() for kind, each in onehot.items()}, self.arch.edge_weights()
        return [
            Mixture(
                {kind: each[k] for kind, each in onehot.items()},
                edge_weights,
                {kind: active[kind][k] for kind in active},
            )
            for k in range(self.samples)
        ]

    def importance(self, losses: Tensor, images: int) -> Tensor:
        """ω [n], of the mean losses [n] over so many images under each architecture."""
        return (-losses * images / self.temperature).softmax(dim=0)

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float | Tensor, Mixture]]:
        mixtures = self.drawn(batch.chance())
        ω = self.importance(task.losses(mixtures, batch), task.images(batch))
        return list(zip(ω, mixtures, strict=True))

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        batch = task.arch_batch()
        chance = batch.chance()
        mixtures = self.drawn(chance)
        ω = self.importance(task.losses(mixtures, batch), task.images(batch))
        one = mixtures[int((ω.log() + gumbel_like(ω, chance)).argmax())]  # drawn in proportion to ω
        betas = list(self.arch.beta.values())
        # Without β the pass is there for what it sees alone.
        inputs = betas or [weights.requires_grad_() for weights in one.op_weights.values()]
        of_betas, seen = task.gradients(one, batch, inputs)
        gradients = [*score_gradients(ω, mixtures, self.arch.logits()), *(of_betas if betas else [])]
        task.apply(self.optimizer, gradients, seen)
        return seen

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self.arch)  # the most probable operation of each edge; of these two a node

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])


def score_gradients(ω: Tensor, mixtures: Sequence[Mixture], logits: dict[CellKind, Tensor]) -> list[Tensor]:
    """-Σ_k ω_k ∇_π log p(A_k|π) for each kind of cell, which is softmax(π) - Σ_k ω_k A_k for one-hot A_k."""
    found = []
    for kind, π in logits.items():
        chosen = torch.stack([mixture.op_weights[kind].detach() for mixture in mixtures])
        found.append(π.detach().softmax(dim=1) - torch.einsum("k,kep->ep", ω.to(chosen), chosen))
    return found
