"""Regularised evolution (Real et al., 2019) over shared weights: a population, tournaments, mutations, and age.

A child is the mutated best of some members drawn at random; it joins, and the oldest member dies. How well a cell does
is its error on the arch split under the shared weights, measured when it joins. These weights learn on the members
(as in CARS, Yang et al., 2020), and on random cells before there are any.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.methods.sampling.whole_cells import WholeCells, as_texts, from_texts, ranked
from pcdarts.supernet.arch import Mixture


class Member(NamedTuple):
    """A cell of a population, and its error in % when it joined."""

    cell: Genotype
    error: float


class Evolution:
    """The first epoch in which `step` is called ends with a random population, each later one with some children.

    Args:
        population, sample: how many members there are (P), and how many take part in a tournament (S).
        children: how many join in each epoch.
        unchanged: the probability that a child is its parent, measured anew.
        candidate_batches: batches of the arch split on which a cell is measured when it joins.
        finalists: how many of the best members are compared on the whole arch split at the end.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on β.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        population: int = 100,
        sample: int = 25,
        children: int = 100,
        unchanged: float = 0.05,
        candidate_batches: int = 10,
        finalists: int = 10,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space, self.size, self.sample = space, population, sample
        self.children, self.unchanged = children, unchanged
        self.candidate_batches, self.finalists = candidate_batches, finalists
        self.arch = WholeCells(
            space, edge_normalization, device, arch_learning_rate, arch_adam_betas, arch_weight_decay
        )
        self.population: list[Member] = []
        """The oldest first."""
        self.started = False

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.often([member.cell for member in self.population]) if self.population else self.arch.uniform()

    def cell_of(self, chance: torch.Generator) -> Genotype:
        """A member at random, or a random cell while there is none."""
        draw = random.Random(chance.initial_seed())
        return (
            draw.choice(self.population).cell if self.population else random_genotype(self.space, draw.getrandbits(62))
        )

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.arch.path(self.cell_of(batch.chance())))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        self.started = True
        return self.arch.learn(task, self.cell_of)

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        if not self.started:
            return
        draw = random.Random(chance.initial_seed())

        def measured(cell: Genotype) -> Member:
            return Member(cell, self.arch.errors(task, [cell], self.candidate_batches)[0])

        if not self.population:
            cells = [random_genotype(self.space, draw.getrandbits(62)) for _ in range(self.size)]
            self.population = [measured(cell) for cell in cells]
            return
        for _ in range(self.children):
            self.population.append(measured(child_of(self.population, self.sample, self.unchanged, self.space, draw)))
            del self.population[0]

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        """The best member, of which the first ones are measured anew; without a task the one that erred least."""
        if not self.population:
            return self.cell_of(chance)
        cells = ranked([member.cell for member in self.population], [member.error for member in self.population])
        best = [*dict.fromkeys(cells)][: self.finalists]
        return self.arch.best(task, best, None, self.finalists) if task else best[0]

    def state_dict(self) -> dict[str, Any]:
        errors = [member.error for member in self.population]
        cells = as_texts(member.cell for member in self.population)
        return {**self.arch.learnt(), "started": self.started, "cells": cells, "errors": errors}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.learnt_from(state)
        self.started = state["started"]
        cells = from_texts(state["cells"], self.space)
        self.population = [Member(cell, error) for cell, error in zip(cells, state["errors"], strict=True)]


def child_of(
    population: Sequence[Member], sample: int, unchanged: float, space: CellSpace, draw: random.Random
) -> Genotype:
    """The best of so many different members drawn at random, mutated, or with the probability `unchanged` as it is."""
    parent = min(draw.sample(population, sample), key=lambda member: member.error).cell
    return parent if draw.random() < unchanged else mutated(parent, space, draw)


def mutated(cell: Genotype, space: CellSpace, draw: random.Random) -> Genotype:
    """The cell with another operation on one edge, or with one edge from another node, with equal chances.

    Which one is drawn uniformly from all such changes to a cell of the space; a cell that allows none stays as it is.
    """
    operations, inputs = [], []
    for kind in space.kinds:
        first = 0
        for target, edges in cell.entering(kind).items():
            into, taken = space.edges_into(target), {source for _, source in edges}
            for number, (primitive, source) in enumerate(edges, start=first):
                names = {
                    other: [space.primitives[column] for column in space.choices(into[other])]
                    for other in range(target)
                }
                operations += [(kind, number, (name, source)) for name in names[source] if name != primitive]
                inputs += [
                    (kind, number, (primitive, other))
                    for other in range(target)
                    if other not in taken and primitive in names[other]
                ]
            first += len(edges)
    changes = [each for each in (operations, inputs) if each]
    if not changes:
        return cell
    kind, number, edge = draw.choice(draw.choice(changes))
    cells = {each: list(cell.edges(each)) for each in space.kinds}
    cells[kind][number] = edge
    return Genotype.of_space(space, {each: tuple(edges) for each, edges in cells.items()})
