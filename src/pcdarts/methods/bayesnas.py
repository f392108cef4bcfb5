"""BayesNAS (Zhou et al., 2019): automatic relevance determination; what the data do not need is found irrelevant.

Each operation of an edge has a switch s, and each edge a switch s_all; the output of an operation is multiplied by
both. All begin at 1 and learn on the arch split, with sparsity weighed by ω:

    min_s  L_arch(s) + λ Σ ω |s|

After each epoch a closed form gives the variances γ of the switches' Gaussian priors, and the next ω, from the diagonal
H of the loss's Hessian, h = H / λ:

    c = 1 / (1/γ + h)      ω = sqrt(1/γ - c/γ²)      γ = |s| / ω      and for operations then  γ = 1 / (1/γ + 1/γ_all)

H is that of the Fisher information: the mean of squared gradients over the batches of the epoch, times the images of a
batch. A switch with a small γ is not needed; the cell keeps those with the largest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import Mixture

SMALLEST = 1e-12
"""What no γ and no h falls below, so that all that is divided stays finite."""


class BayesNAS:
    """One switch for all cells of a kind; edge normalisation divides those of edges by their sum in a node.

    `none`, and whatever else no genotype can hold, has no switch.

    Args:
        operation_sparsity, edge_sparsity: λ of the switches of operations and of edges.
        arch_learning_rate: of SGD on the switches.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        operation_sparsity: float = 0.01,
        edge_sparsity: float = 0.01,
        arch_learning_rate: float = 0.01,
    ) -> None:
        self.space, self.edge_normalization = space, edge_normalization
        self.arch = Switches(space).to(device)
        self.optimizer = torch.optim.SGD(self.arch.parameters(), arch_learning_rate)
        count = len(space.kinds)  # of parameters for operations, which come first, and for edges
        self.λ = [operation_sparsity] * count + [edge_sparsity] * count
        switches = list(self.arch.parameters())
        self.γ = [torch.rand(s.shape).to(device) for s in switches]
        self.ω = [torch.rand(s.shape).to(device) for s in switches]
        self.fisher = [torch.zeros_like(s) for s in switches]
        self.batches = 0
        self.there = torch.zeros(space.num_edges, len(space.primitives), dtype=torch.bool)
        for edge in range(space.num_edges):
            named = [column for column in space.choices(edge) if space.primitives[column] != "none"]
            self.there[edge, named] = True

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        op_weights: dict[CellKind, Tensor] = {}
        edge_weights: dict[CellKind, Tensor] = {}
        for kind in self.space.kinds:
            s, s_all = self.arch.operations[kind], self.arch.edges[kind]
            op_weights[kind] = s.masked_fill(send(~self.there, s.device), 0)
            edge_weights[kind] = shares_of_nodes(s_all, self.space) if self.edge_normalization else s_all
        return Mixture(op_weights, edge_weights, dict.fromkeys(self.space.kinds, self.there))

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.mixture())]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        batch, switches = task.arch_batch(), list(self.arch.parameters())
        gradients, seen = task.gradients(self.mixture(), batch, switches)
        sparsity = [λ * ω * s.detach().sign() for λ, ω, s in zip(self.λ, self.ω, switches, strict=True)]
        task.apply(self.optimizer, [g + of_sparsity for g, of_sparsity in zip(gradients, sparsity, strict=True)], seen)
        for fisher, gradient in zip(self.fisher, gradients, strict=True):  # a batch that was left out counts as zero
            fisher += task.images(batch) * gradient.nan_to_num(0, 0, 0).square()
        self.batches += 1
        return seen

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        if self.batches == 0:  # only the weights have learnt
            return
        for number, s in enumerate(self.arch.parameters()):
            h = self.fisher[number] / self.batches / self.λ[number]
            self.γ[number], self.ω[number] = relevance(s.detach(), self.γ[number], h)
            self.fisher[number].zero_()
        count = len(self.space.kinds)
        for number in range(count):
            self.γ[number] = 1 / (1 / self.γ[number] + 1 / self.γ[count + number].unsqueeze(1))
        self.batches = 0

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        there = send(self.there, self.γ[0].device)
        op_weights = {kind: γ * there for kind, γ in zip(self.space.kinds, self.γ, strict=False)}
        edge_weights = {kind: torch.ones_like(γ[:, 0]) for kind, γ in op_weights.items()}
        return derive(_Found(self.space, Mixture(op_weights, edge_weights)))

    def state_dict(self) -> dict[str, Any]:
        numbers = {"gamma": self.γ, "omega": self.ω, "fisher": self.fisher}
        return {
            "arch": self.arch.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches,
            **{name: [each.clone() for each in tensors] for name, tensors in numbers.items()},
        }

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches = int(state["batches"])
        for name, tensors in (("gamma", self.γ), ("omega", self.ω), ("fisher", self.fisher)):
            for tensor, saved in zip(tensors, state[name], strict=True):
                tensor.copy_(saved)


class Switches(nn.Module):
    """s [edges, primitives] and s_all [edges] of each kind of cell, all 1 at first."""

    def __init__(self, space: CellSpace) -> None:
        super().__init__()
        shape = space.num_edges, len(space.primitives)
        self.operations = nn.ParameterDict({kind: nn.Parameter(torch.ones(shape)) for kind in space.kinds})
        self.edges = nn.ParameterDict({kind: nn.Parameter(torch.ones(shape[0])) for kind in space.kinds})


@dataclass(frozen=True)
class _Found:
    """What `derive` reads."""

    space: CellSpace
    found: Mixture

    def mixture(self) -> Mixture:
        return self.found


def relevance(s: Tensor, γ: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The next γ and ω of switches s by the closed form, from their γ and h = H / λ.

    ω = sqrt(1/γ - c/γ²) is computed as sqrt(h / (1 + γ h)), which is the same and loses no digits.
    """
    h = h.clamp_min(SMALLEST)
    ω = (h / (1 + γ * h)).sqrt()
    return (s.abs() / ω).clamp_min(SMALLEST), ω


def shares_of_nodes(s_all: Tensor, space: CellSpace) -> Tensor:
    """Switches [edges], each divided by the sum of the absolute switches of the edges that enter the same node."""
    groups = s_all.split([len(space.edges_into(target)) for target in space.intermediate])
    return torch.cat([group / group.abs().sum().clamp_min(SMALLEST) for group in groups])
