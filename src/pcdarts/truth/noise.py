"""How far the accuracies of one network differ from training to training, by the cells that are one network."""

import math
from dataclasses import dataclass

import numpy as np

from pcdarts.truth.columns import Column
from pcdarts.truth.table import TruthTable


@dataclass(frozen=True)
class Noise:
    """The noise of one column."""

    networks: int
    """So many have several cells."""
    median_spread: float
    """Points: the median over networks of the greatest accuracy less the least one."""
    std: float
    """Points: the pooled standard deviation of cells of one network, among networks better than the median cell."""


def noise_of(table: TruthTable, column: Column) -> Noise | None:
    """The noise of a column; None if no network has several cells in the table."""
    values = table.accuracies[:, table.columns.index(column)]
    several = [values[rows] for rows in table.graphs if len(rows) > 1]
    if not several:
        return None
    middle = float(np.median(values))
    good = [of_one for of_one in several if of_one.mean() >= middle] or several
    squares = sum(float(((of_one - of_one.mean()) ** 2).sum()) for of_one in good)
    return Noise(
        networks=len(several),
        median_spread=float(np.median([np.ptp(of_one) for of_one in several])),
        std=math.sqrt(squares / sum(len(of_one) - 1 for of_one in good)),
    )
