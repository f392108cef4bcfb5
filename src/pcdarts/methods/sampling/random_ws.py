"""Random search with weight sharing (Li and Talwalkar, 2019): weights learn on random cells, then the best is kept.

Each step of the weights is taken under a cell that is drawn uniformly: for each node its edges, and an operation for
each. At the end many random cells are compared with these weights. What a search method has to beat.
"""

from collections.abc import Sequence
from typing import Any

import torch

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.methods.sampling.whole_cells import WholeCells, random_cell
from pcdarts.supernet.arch import Mixture


class RandomWS:
    """Nothing is learnt but the weights, and β where edges are normalised.

    Args:
        candidates: how many random cells are compared at the end.
        candidate_batches: on so many batches of the arch split.
        finalists: how many of the best are then compared on all images of it.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on β.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        candidates: int = 1000,
        candidate_batches: int = 10,
        finalists: int = 10,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space = space
        self.candidates, self.candidate_batches, self.finalists = candidates, candidate_batches, finalists
        self.arch = WholeCells(
            space, edge_normalization, device, arch_learning_rate, arch_adam_betas, arch_weight_decay
        )

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.uniform()

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.arch.path(random_cell(self.space, batch.chance())))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        return self.arch.learn(task, lambda chance: random_cell(self.space, chance))

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        """The best of the candidates; without a task the first of them, which nobody has compared with others."""
        cells = [random_cell(self.space, chance) for _ in range(self.candidates if task else 1)]
        return self.arch.best(task, cells, self.candidate_batches, self.finalists) if task else cells[0]

    def state_dict(self) -> dict[str, Any]:
        return self.arch.learnt()

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.learnt_from(state)
