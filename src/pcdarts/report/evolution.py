"""The epochs at which the derived cell of a search changed, and its new edges."""

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
    """The epochs at which one kind of cell changed, including the first epoch (with nothing new).

    The order of a node's edges (the stronger is listed first) does not count as a change.
    """
    found: list[Change] = []
    before: Counter[tuple[int, str, int]] = Counter()
    for epoch, genotype in sorted(genotypes.items()):
        edges = Counter(genotype.placed_edges(kind))
        if edges != before:
            found.append(Change(epoch, genotype, frozenset(edges - before) if found else frozenset()))
        before = edges
    return found
