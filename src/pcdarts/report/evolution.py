"""When the cell that a search would keep changed, and what was new each time."""

from collections import Counter
from typing import NamedTuple

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind


class Change(NamedTuple):
    """The cell at an epoch, and its edges (target, primitive, source) that the epoch before it did not have."""

    epoch: int
    genotype: Genotype
    new: frozenset[tuple[int, str, int]]


def changes(genotypes: dict[int, Genotype], kind: CellKind) -> list[Change]:
    """The epochs at which one kind of cell became another, the first epoch (with nothing new) among them.

    A node's two edges that only trade places, because the stronger is listed first, are no change.
    """
    found: list[Change] = []
    before: Counter[tuple[int, str, int]] = Counter()
    for epoch, genotype in sorted(genotypes.items()):
        edges = Counter(genotype.placed_edges(kind))
        if edges != before:
            found.append(Change(epoch, genotype, frozenset(edges - before) if found else frozenset()))
        before = edges
    return found
