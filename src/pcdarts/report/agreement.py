"""How much the searches of several seeds agree, compared with chance: the stability of Sec. 4.4.3."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import mul
from statistics import fmean
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace

_PAPERS = CellSpace()


@dataclass(frozen=True)
class Agreement:
    """What two of several genotypes have in common, as a mean over all pairs, in % of the edges of both cells.

    By chance is the expectation for two random cells of this size (`pcdarts.cell.derive.random_genotype`).
    """

    pairs: int
    edges: float
    """Kept edges that both have: the same input of the same node."""
    operations: float
    """Kept edges that both have, with the same operation on them."""
    edges_by_chance: float
    operations_by_chance: float


def agreement(genotypes: Sequence[Genotype], space: CellSpace = _PAPERS) -> Agreement | None:
    """How far genotypes agree; None for fewer than two, or cells of different sizes.

    `space` gives the operations from which chance would choose, for cells of any size.
    """
    sizes = {tuple(genotype.num_nodes(kind) for kind in genotype.kinds) for genotype in genotypes}
    if len(genotypes) < 2 or len(sizes) > 1:
        return None
    by_chance = _edges_by_chance(sizes.pop(), space)
    edges = [Counter(edge[:-1] for edge in _kept(genotype)) for genotype in genotypes]
    operations = [Counter(_kept(genotype)) for genotype in genotypes]
    return Agreement(
        pairs=math.comb(len(genotypes), 2),
        edges=_in_common(edges),
        operations=_in_common(operations),
        edges_by_chance=by_chance,
        operations_by_chance=by_chance / len(space.choices(0)),
    )


def edge_strengths(
    space: CellSpace, op_weights: Sequence[Sequence[float]], edge_weights: Sequence[float]
) -> list[float]:
    """What the derivation ranks edges by: α̂·β̂ of the best operation that may be kept on each edge.

    Args:
        space: the cells searched.
        op_weights: α̂ as `[edges][primitives]`.
        edge_weights: β̂ as `[edges]`; all 1 without edge normalisation.
    """
    best = [max(weights[place] for place in space.choices(edge)) for edge, weights in enumerate(op_weights)]
    return [weight * edge for weight, edge in zip(best, edge_weights, strict=True)]


def rank_agreement(space: CellSpace, runs: Sequence[Sequence[float]]) -> float | None:
    """Kendall's tau (tau-b) between the edge strengths of several runs of one kind of cell, as a mean over all pairs.

    Each run is `[edges]` as `edge_strengths` returns it. Only edges that enter the same node are compared, as in the
    derivation: β̂ is normalised per node, so an edge of a node with few inputs is strong in every run. 1 is the same
    order at every node, -1 the reverse, 0 the average by chance. None for fewer than two runs, cells of different
    sizes, or a run in which all edges of every node are equal.
    """
    if len(runs) < 2 or any(len(run) != space.num_edges for run in runs):
        return None
    orders = [_orders(space, run) for run in runs]
    if not all(map(any, orders)):
        return None
    return fmean(_kendall(a, b) for a, b in combinations(orders, 2))


def _kept(genotype: Genotype) -> list[tuple[str, int, int, str]]:
    """The edges of both cells as (kind, target, source, primitive)."""
    return [
        (kind, target, source, primitive)
        for kind in genotype.kinds
        for target, primitive, source in genotype.placed_edges(kind)
    ]


def _in_common(genotypes: Sequence[Counter[Any]]) -> float:
    return fmean(100 * (a & b).total() / a.total() for a, b in combinations(genotypes, 2))


def _edges_by_chance(num_nodes: tuple[int, ...], space: CellSpace) -> float:
    """In %, exact: of a node with j possible inputs, two draws of two share 2·2/j of their two edges on average."""
    targets = [target for nodes in num_nodes for target in range(space.num_inputs, nodes)]
    return 100 * fmean(space.form.edges_of(target) / target for target in targets)


def _orders(space: CellSpace, run: Sequence[float]) -> list[int]:
    """For every two edges that enter the same node: 1, 0 or -1, as the first is stronger, equal or weaker."""
    return [
        (run[a] > run[b]) - (run[a] < run[b])
        for target in space.intermediate
        for a, b in combinations(space.edges_into(target), 2)
    ]


def _kendall(a: list[int], b: list[int]) -> float:
    """Kendall's tau-b of two lists of orders: their correlation, for they have no mean to subtract."""
    product = sum(map(mul, a, b))
    return product / math.sqrt(sum(map(abs, a)) * sum(map(abs, b)))
