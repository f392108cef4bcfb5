"""What methods of whole cells share: their mixtures with β, how β learns, and which of some cells err least."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.method import Seen, Task
from pcdarts.methods.paths import frequencies, path_of
from pcdarts.supernet.arch import Mixture, normalize_edges


class WholeCells(nn.Module):
    """Whole cells as mixtures, whose edges β weighs; without edge normalisation there is no β, and nothing is learnt.

    β learns by Adam on the arch split, under the cells that the method draws.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool,
        device: torch.device | str,
        rate: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.space, self.ones = space, torch.ones(space.num_edges, device=device)
        kinds = space.kinds if edge_normalization else ()
        self.beta = nn.ParameterDict({kind: nn.Parameter(1e-3 * torch.randn(space.num_edges)) for kind in kinds})
        self.to(device)
        learnt = list(self.beta.parameters())
        self.optimizer = torch.optim.Adam(learnt, rate, betas, weight_decay=weight_decay) if learnt else None

    def edge_weights(self) -> dict[CellKind, Tensor]:
        """The softmaxed β [edges] of each kind of cell, or ones."""
        if not self.optimizer:
            return dict.fromkeys(self.space.kinds, self.ones)
        return {kind: normalize_edges(self.beta[kind], self.space) for kind in self.space.kinds}

    def path(self, cell: Genotype) -> Mixture:
        """The mixture of a cell, differentiable in β."""
        return path_of(cell, self.space, self.edge_weights())

    def often(self, cells: Sequence[Genotype]) -> Mixture:
        """The mean of the mixtures of some cells, as `Method.mixture` reports it."""
        return Mixture(frequencies(list(cells), self.space, self.ones.device).op_weights, self.edge_weights())

    def uniform(self) -> Mixture:
        """The mean of the mixtures of all cells, as `random_cell` draws them."""
        weights = torch.zeros(self.space.num_edges, len(self.space.primitives))
        for target in self.space.intermediate:
            for edge in self.space.edges_into(target):
                columns = list(self.space.choices(edge))
                weights[edge, columns] = self.space.form.edges_of(target) / target / len(columns)
        return Mixture(dict.fromkeys(self.space.kinds, weights.to(self.ones.device)), self.edge_weights())

    def learn(self, task: Task, draw: Callable[[torch.Generator], Genotype]) -> Seen | None:
        """Let β take a step on the next batch of the arch split, under the cell that is drawn for it."""
        if not self.optimizer:
            return None
        batch = task.arch_batch()
        gradients, seen = task.gradients(self.path(draw(batch.chance())), batch, list(self.beta.parameters()))
        task.apply(self.optimizer, gradients, seen)
        return seen

    @torch.no_grad()
    def errors(self, task: Task, cells: Iterable[Genotype], batches: int | None) -> list[float]:
        """The error of each cell on the first so many batches of the arch split, or on all its images, in %."""
        return [task.error(self.path(cell), batches) for cell in cells]

    def best(self, task: Task, cells: Iterable[Genotype], batches: int | None, finalists: int) -> Genotype:
        """The best of the cells: those that err least on the first batches are compared on all images.

        Of equals the first one is better.
        """
        distinct = [*dict.fromkeys(cells)]
        if len(distinct) > finalists:
            distinct = ranked(distinct, self.errors(task, distinct, batches))[:finalists]
        return distinct[0] if len(distinct) == 1 else ranked(distinct, self.errors(task, distinct, None))[0]

    def learnt(self) -> dict[str, Any]:
        """β and its optimiser, for the state of a method."""
        return {"arch": self.state_dict(), "optimizer": self.optimizer and self.optimizer.state_dict()}

    def learnt_from(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.load_state_dict(state["arch"])
        if self.optimizer:
            self.optimizer.load_state_dict(state["optimizer"])


def ranked(cells: Sequence[Genotype], errors: Sequence[float]) -> list[Genotype]:
    """The cells by their errors, the lowest first; of equals the earlier one comes first."""
    return [cells[number] for number in sorted(range(len(cells)), key=errors.__getitem__)]


def random_cell(space: CellSpace, chance: torch.Generator) -> Genotype:
    """Another cell at each call."""
    return random_genotype(space, int(torch.randint(2**62, (), generator=chance)))


def as_texts(cells: Iterable[Genotype]) -> list[str]:
    """Cells as plain values, for the state of a method."""
    return [cell.to_json() for cell in cells]


def from_texts(texts: Iterable[str], space: CellSpace) -> list[Genotype]:
    """What `as_texts` made."""
    return [Genotype.from_json(text, space.form) for text in texts]
