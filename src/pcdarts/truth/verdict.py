"""What a table of NAS-Bench-201 says of a cell: accuracy, rank, regret, and how many cells are worse."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pcdarts.cell.genotype import Genotype
from pcdarts.truth.columns import Column
from pcdarts.truth.table import TruthTable


@dataclass(frozen=True)
class Standing:
    """Where a cell stands in one column."""

    column: str
    accuracy: float
    """In %."""
    rank: int
    """1 is the best; cells of one accuracy have one rank."""
    ties: int
    """How many other cells have the same accuracy."""
    regret: float
    """Points to the best cell that is listed."""
    percentile: float
    """How many of the cells are worse, in %, and half of those with the same accuracy: 50 is a random cell."""
    graph_low: float
    graph_high: float
    """The least and the greatest accuracy of all cells whose network is the same."""


@dataclass(frozen=True)
class Verdict:
    """What a table says of a cell."""

    cells: int
    """So many are listed."""
    same_network: int
    """How many of them are the same network, this one among them."""
    standings: tuple[Standing, ...]
    """One for each column."""

    def of(self, column: Column) -> Standing:
        return next(standing for standing in self.standings if standing.column == column.name)

    def to_object(self) -> dict[str, Any]:
        """As `result.json` keeps it."""
        columns = {standing.column: asdict(standing) for standing in self.standings}
        for found in columns.values():
            del found["column"]
        return {"cells": self.cells, "same_network": self.same_network, "columns": columns}


def verdict(table: TruthTable, genotype: Genotype) -> Verdict:
    """What the table says of a cell.

    Raises:
        InputError: it is no cell of NAS-Bench-201, or the table does not list it.
    """
    table.check(genotype)
    place, same = table.place(genotype), table.of_graph(genotype)
    standings = []
    for index, column in enumerate(table.columns):
        ascending, accuracy = table.ascending[:, index], float(table.accuracies[place, index])
        lower, not_higher = (int(np.searchsorted(ascending, accuracy, side=side)) for side in ("left", "right"))
        standings.append(
            Standing(
                column=column.name,
                accuracy=accuracy,
                rank=1 + len(ascending) - not_higher,
                ties=not_higher - lower - 1,
                regret=float(ascending[-1]) - accuracy,
                percentile=100 * (lower + not_higher) / 2 / len(ascending),
                graph_low=float(table.accuracies[same, index].min()),
                graph_high=float(table.accuracies[same, index].max()),
            )
        )
    return Verdict(len(table.cells), len(same), tuple(standings))
