"""NAO (Luo et al., 2018): cells as codes, which move along the gradient of a predicted accuracy, over shared weights.

The weights learn on the cells of a population, drawn at random. After every round of epochs all of them are measured on
one batch of the arch split; encoder, predictor and decoder learn from this; and the codes of the best cells move along
the predictor's gradient, in larger and larger steps, until they are decoded to enough new cells, which take the places
of the worst ones. After the last round the best ones are compared.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.methods.sampling.cell_codes import CellCodes
from pcdarts.methods.sampling.whole_cells import WholeCells, as_texts, from_texts, random_cell, ranked
from pcdarts.supernet.arch import Mixture

_LARGEST_STEP = 50


class NAO:
    """Rounds end in epochs in which `step` has been called, and the last one with the search.

    Args:
        population, children: how many cells there are, the first ones random; and at most how many are new in a round.
        parents: the codes of so many of the best cells are moved.
        round_epochs: epochs of a round.
        code_size, predictor_size, predictor_dropout: as in `CellCodes`.
        code_epochs, code_batch_size: its epochs in each round, and cells in each of its batches.
        finalists: how many of the best cells are compared on the whole arch split at the end.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on β.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        population: int = 600,
        children: int = 300,
        parents: int = 100,
        round_epochs: int = 30,
        code_size: int = 96,
        predictor_size: int = 200,
        predictor_dropout: float = 0.1,
        code_epochs: int = 1000,
        code_batch_size: int = 100,
        finalists: int = 5,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space, self.children, self.parents, self.round_epochs = space, children, parents, round_epochs
        self.code_epochs, self.code_batch_size, self.finalists = code_epochs, code_batch_size, finalists
        self.cells = WholeCells(
            space, edge_normalization, device, arch_learning_rate, arch_adam_betas, arch_weight_decay
        )
        self.codes = CellCodes(space, code_size, predictor_size, predictor_dropout).to(device)
        self.arch = nn.ModuleList([self.cells, self.codes])
        chance = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.population = [random_cell(space, chance) for _ in range(population)]
        """The best first, as far as they are measured."""
        self.started = False

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.cells.often(self.population)

    def drawn(self, chance: torch.Generator) -> Genotype:
        """One of the population."""
        return self.population[int(torch.randint(len(self.population), (), generator=chance))]

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.cells.path(self.drawn(batch.chance())))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        self.started = True
        return self.cells.learn(task, self.drawn)

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        is_last = at.stage_epoch == at.stage_epochs - 1
        if not self.started or ((at.stage_epoch + 1) % self.round_epochs and not is_last):
            return
        with torch.no_grad():
            errors = task.errors([self.cells.path(cell) for cell in self.population], task.arch_batch()).tolist()
        self.population = ranked(self.population, errors)
        if is_last:
            return
        self.codes.fit(
            self.population, sorted(errors), chance, epochs=self.code_epochs, batch_size=self.code_batch_size
        )
        new = self.moved_cells()
        self.population = self.population[: len(self.population) - len(new)] + new

    def moved_cells(self) -> list[Genotype]:
        """Cells that are not in the population: the codes of its best ones, moved and decoded."""
        parents = self.codes.tokens.of(self.population[: self.parents])
        with torch.no_grad():
            codes = self.codes.encode(parents.to(self.codes.logits.weight.device))
        old, new = set(self.population), dict[Genotype, None]()
        for step in range(1, _LARGEST_STEP + 1):
            new |= {cell: None for cell in self.codes.decode(self.codes.moved(codes, step)) if cell not in old}
            if len(new) >= self.children:
                break
        return [*new][: self.children]

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        best = self.population[: self.finalists]
        return self.cells.best(task, best, None, self.finalists) if task else best[0]

    def state_dict(self) -> dict[str, Any]:
        return {
            "cells": self.cells.learnt(),
            "codes": self.codes.state_dict(),
            "population": as_texts(self.population),
            "started": self.started,
        }

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.cells.learnt_from(state["cells"])
        self.codes.load_state_dict(state["codes"])
        self.population, self.started = from_texts(state["population"], self.space), state["started"]
