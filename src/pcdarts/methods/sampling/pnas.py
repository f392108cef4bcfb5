"""PNAS (Liu et al., 2018): cells grow node by node, and a predictor chooses which ones, over shared weights.

There is a stage for each number b of intermediate nodes. In it the weights learn on the cells of the beam, which have b
nodes, drawn at random. At its end they are measured, the predictor learns from their errors, and of all cells that
continue them by a node those become the next beam that it predicts to be the best. What a cell lacks yet gives zeros.

As in the paper there is one cell, which is the reduction cell too. The edges of a node are listed by input, so that no
two of the cells compared are the same.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import torch
from torch import nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.methods.sampling.predictor import Block, Cell, Predictor
from pcdarts.methods.sampling.whole_cells import WholeCells
from pcdarts.supernet.arch import Mixture


class PNAS:
    """Stages go on with the weights and the schedule of the one before.

    Args:
        beam: how many cells are kept for each stage but the first, which has all cells of one node (K).
        predictor_size, predictor_members: units of each LSTM of the predictor, and how many there are.
        predictor_steps: of each of them at the end of a stage.
        candidate_batches: batches of the arch split on which a cell is measured.
        finalists: how many of the last beam are compared on the whole arch split at the end.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on β.

    Raises:
        InputError: the output of a cell of this space is its last node alone.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        beam: int = 256,
        predictor_size: int = 100,
        predictor_members: int = 5,
        predictor_steps: int = 100,
        candidate_batches: int = 10,
        finalists: int = 10,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        if not space.concatenates:
            raise InputError(
                "cells of PNAS grow, so their outputs must be all nodes: use a space that concatenates them"
            )
        self.space, self.size, self.predictor_steps = space, beam, predictor_steps
        self.candidate_batches, self.finalists = candidate_batches, finalists
        self.cells = WholeCells(
            space, edge_normalization, device, arch_learning_rate, arch_adam_betas, arch_weight_decay
        )
        self.predictor = Predictor(space, predictor_members, predictor_size).to(device)
        self.arch = nn.ModuleList([self.cells, self.predictor])
        self.beam: list[Cell] = [(block,) for block in blocks(space, space.num_inputs)]
        """The best first, once they are measured or predicted."""

    def stages(self) -> Sequence[Stage]:
        later = Stage(arch_frozen_epochs=0, keeps_weights=True, keeps_schedule=True)
        return [Stage(), *[later] * (self.space.num_intermediate - 1)]

    def mixture(self) -> Mixture:
        return self.cells.often([genotype_of(cell, self.space) for cell in self.beam])

    def drawn(self, chance: torch.Generator) -> Genotype:
        """One of the beam, as it is."""
        return genotype_of(self.beam[int(torch.randint(len(self.beam), (), generator=chance))], self.space)

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.cells.path(self.drawn(batch.chance())))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        return self.cells.learn(task, self.drawn)

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        if at.stage_epoch < at.stage_epochs - 1:
            return
        genotypes = [genotype_of(cell, self.space) for cell in self.beam]
        errors = self.cells.errors(task, genotypes, self.candidate_batches)
        self.beam, measured = _best(self.beam, errors, len(self.beam))
        if at.stage == self.space.num_intermediate - 1:
            return
        rate = 0.01 if at.stage == 0 else 0.002
        self.predictor.fit(self.beam, measured, chance, steps=self.predictor_steps, learning_rate=rate)
        longer = [
            (*cell, block) for cell in self.beam for block in blocks(self.space, self.space.num_inputs + len(cell))
        ]
        self.beam, _ = _best(longer, self.predictor.predict(longer), self.size)

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        """The best of the beam; nodes that it lacks before the last stage are drawn at random."""
        draw, cell = random.Random(chance.initial_seed()), self.beam[0]
        if task and len(cell) == self.space.num_intermediate:
            return self.cells.best(
                task, [genotype_of(each, self.space) for each in self.beam[: self.finalists]], None, self.finalists
            )
        for target in self.space.intermediate[len(cell) :]:
            cell = (*cell, draw.choice([*blocks(self.space, target)]))
        return genotype_of(cell, self.space)

    def state_dict(self) -> dict[str, Any]:
        return {"cells": self.cells.learnt(), "predictor": self.predictor.state_dict(), "beam": self.beam}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.cells.learnt_from(state["cells"])
        self.predictor.load_state_dict(state["predictor"])
        self.beam = state["beam"]


def _best(cells: Sequence[Cell], errors: Sequence[float], number: int) -> tuple[list[Cell], list[float]]:
    """So many cells with the lowest errors, and these; of equals the earlier one."""
    order = sorted(range(len(cells)), key=errors.__getitem__)[:number]
    return [cells[place] for place in order], [errors[place] for place in order]


def blocks(space: CellSpace, target: int) -> Iterator[Block]:
    """All that a node may keep: its edges (primitive, input node), listed by input."""
    into = space.edges_into(target)
    for sources in combinations(range(target), space.form.edges_of(target)):
        for columns in product(*(space.choices(into[source]) for source in sources)):
            yield tuple((space.primitives[column], source) for column, source in zip(columns, sources, strict=True))


def genotype_of(cell: Cell, space: CellSpace) -> Genotype:
    """Both cells of a network, of as many nodes as there are so far."""
    edges = tuple(edge for block in cell for edge in block)
    nodes = tuple(range(space.num_inputs, space.num_inputs + len(cell)))
    outputs = nodes if space.concatenates else nodes[-1:]
    of_kind = dict.fromkeys(space.kinds, (edges, outputs))
    return Genotype(*of_kind.get("normal", ((), ())), *of_kind.get("reduce", ((), ())), form=space.form)
