"""Derivation under a budget: the best genotypes whose networks cost no more, by exact search.

The paper's mobile setting (Sec. 4.1: at most 600 M mult-adds) is such a budget.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.errors import InputError, listed

RESOURCES = ("mult_adds", "params", "skips", "latency_ms")
"""What a budget limits, in the order of every `resources` axis; skips are the skip-connections of the normal cell.

Latency is the last one, is there only if a table of latencies is, and is added up in whole nanoseconds.
"""

_AT_ONCE = 512
"""Partial choices compared at once: they fit the cache."""


@dataclass(frozen=True)
class Budget:
    """What a network may have at most; None is no limit. `max_skips` counts in the normal cell, as P-DARTS does.

    `max_latency` is in milliseconds, predicted for one image.
    """

    max_mult_adds: int | None = None
    max_params: int | None = None
    max_skips: int | None = None
    max_latency: float | None = None

    @property
    def limits(self) -> tuple[int | None, ...]:
        """The limit of each of `RESOURCES`, as they are added up."""
        nanoseconds = None if self.max_latency is None else math.floor(round(1e6 * self.max_latency, 3))
        return self.max_mult_adds, self.max_params, self.max_skips, nanoseconds


@dataclass(frozen=True, eq=False)
class NetworkCosts:
    """What the networks of all genotypes of a space cost: the rest, and what each edge kept adds to it."""

    space: CellSpace
    choices: dict[CellKind, NDArray[np.int64]]
    """`[edges, primitives, resources]`: what an operation adds, in all cells of the kind together."""
    rest: NDArray[np.int64]
    """`[resources]`: everything that is on no edge, such as stem and classifier."""

    def of(self, genotype: Genotype) -> dict[str, float]:
        """What the network of `genotype` costs, by the names in `RESOURCES`; counts are whole numbers."""
        total = self.rest.copy()
        for kind in genotype.kinds:
            for target, edges in genotype.entering(kind).items():
                of_target = self.space.edges_into(target)
                for primitive, source in edges:
                    total += self.choices[kind][of_target[source], self.space.primitives.index(primitive)]
        return _named(total)

    def smallest(self) -> dict[str, float]:
        """The least that any genotype costs, of each resource by itself, by the names in `RESOURCES`."""
        return _named(self.least())

    def least(self) -> NDArray[np.int64]:
        """The same, `[resources]`."""
        total = self.rest.copy()
        space = self.space
        for kind in space.kinds:
            for target in space.intermediate:
                of_edges = [self.choices[kind][e, space.choices(e)].min(axis=0) for e in space.edges_into(target)]
                total += np.sort(of_edges, axis=0)[: space.form.edges_of(target)].sum(axis=0)
        return total


def _named(total: NDArray[np.int64]) -> dict[str, float]:
    named: dict[str, float] = dict(zip(RESOURCES, total.tolist(), strict=False))
    if "latency_ms" in named:
        named["latency_ms"] /= 1e6
    return named


@dataclass(frozen=True)
class Ranked:
    """A genotype, and the logarithm of the product of the strengths of all that it keeps."""

    genotype: Genotype
    log_product: float


def check_budget(costs: NetworkCosts, budget: Budget) -> None:
    """Refuse a budget that no genotype keeps to, whatever a search will find.

    Raises:
        InputError: says what the smallest network has, or that there is no table for a limit of latency.
    """
    least_of_all = costs.least().tolist()
    if budget.max_latency is not None:
        if len(least_of_all) < len(RESOURCES):
            raise InputError("max_latency needs costs with latencies: give network_costs a table of latencies")
        if budget.limits[-1] < (least := least_of_all.pop()):
            milliseconds = f"{math.ceil(least / 1000) / 1000:g}"
            raise InputError(
                f"max_latency is {budget.max_latency:g} ms, but the fastest network that can be derived is predicted "
                f"to take {milliseconds} ms: give {milliseconds} or more"
            )
    for resource, least, limit in zip(RESOURCES, least_of_all, budget.limits, strict=False):
        if limit is not None and limit < least:
            raise InputError(
                f"max_{resource} is {limit}, but the smallest network that can be derived has {least} "
                f"{resource.replace('_', '-')}: give {least} or more"
            )


def best_genotypes(
    strengths: Mapping[CellKind, Sequence[Sequence[float]]], costs: NetworkCosts, budget: Budget, count: int = 1
) -> list[Ranked]:
    """The `count` best genotypes within the budget, best first; fewer if there are no more.

    Best is the largest product of the strengths of all operations kept, in all kinds of cell. Without a budget the
    first is what `derive` finds, to the order of the edges and the ties. A strength of 0 counts as the least positive
    number.

    The search is exact. It goes through the nodes of all kinds of cell and keeps partial choices, whose costs and
    logarithms of strengths add up. One is dropped only if nothing completes it within the budget, or if `count` others
    are as good and cost no more of anything limited: whatever completes it completes each of them, to something no
    worse.

    Args:
        strengths: `[edges][primitives]` for each kind of cell (`derive.strengths`).

    Raises:
        InputError: no genotype keeps to the budget.
    """
    check_budget(costs, budget)
    limited = [index for index, limit in enumerate(budget.limits) if limit is not None]
    limits = np.array([limit for limit in budget.limits if limit is not None], dtype=np.int64)
    left = limits - costs.least()[limited]
    nodes = [
        _choices(costs.space, target, strengths[kind], costs.choices[kind][:, :, limited], left, count)
        for kind in costs.space.kinds
        for target in costs.space.intermediate
    ]
    scores, surplus = np.zeros(1), np.zeros((1, len(limited)), dtype=np.int64)
    steps: list[_Step] = []
    for node in nodes:
        scores = np.add.outer(scores, node.scores).ravel()
        surplus = (surplus[:, np.newaxis] + node.surplus).reshape(len(scores), len(limited))
        kept = _undominated(scores, surplus, left, count)
        scores, surplus = scores[kept], surplus[kept]
        steps.append(_Step(node, *np.divmod(kept, len(node.scores))))
    if not len(scores):
        names = [f"{name} {limit:.16g}" for name, limit in vars(budget).items() if limit is not None]
        raise InputError(f"no genotype keeps to {listed(names, 'and')} at once: raise one of them")
    return [Ranked(_genotype(costs.space, steps, rank), float(scores[rank])) for rank in range(len(scores))[:count]]


class _Candidate(NamedTuple):
    """An operation on an edge into some node."""

    strength: float
    primitive: str
    source: int
    costs: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Choices:
    """What one node may keep, best first."""

    kept: list[tuple[_Candidate, ...]]
    """An operation on each of the edges kept, the strongest one first (or in their order, where all are kept)."""
    scores: NDArray[np.float64]
    """`[choices]`: the logarithm of the product of their strengths."""
    surplus: NDArray[np.int64]
    """`[choices, resources]`: what they cost more than the cheapest of the node's choices."""


class _Step(NamedTuple):
    """How the partial choices that were kept after a node came about, `[partial choices]` each."""

    node: _Choices
    before: NDArray[np.intp]
    """Which partial choice of the step before is continued."""
    chosen: NDArray[np.intp]
    """With which choice of the node."""


def _choices(
    space: CellSpace,
    target: int,
    strengths: Sequence[Sequence[float]],
    costs: NDArray[np.int64],
    left: NDArray[np.int64],
    count: int,
) -> _Choices:
    """What the node `target` may keep, without what is dominated.

    `strengths` are `[edges][primitives]` and `costs` `[edges, primitives, resources]`, of all edges of the cell.
    """
    of_edges = [
        [
            _Candidate(
                max(strengths[edge][column], sys.float_info.min), space.primitives[column], source, costs[edge, column]
            )
            for column in space.choices(edge)
        ]
        for source, edge in enumerate(space.edges_into(target))
    ]
    possible = [
        chosen if space.form.edges_kept is None else tuple(sorted(chosen, key=lambda candidate: -candidate.strength))
        for some_edges in combinations(of_edges, space.form.edges_of(target))
        for chosen in product(*some_edges)
    ]
    # Two logarithms of different strengths may be equal: the strengths decide then, as when deriving.
    possible.sort(key=lambda chosen: (-_score(chosen), *(-candidate.strength for candidate in chosen)))
    scores = np.array([_score(chosen) for chosen in possible])
    total = np.array([[candidate.costs for candidate in chosen] for chosen in possible]).sum(axis=1)
    surplus = total - total.min(axis=0)
    kept = _undominated(scores, surplus, left, count)
    return _Choices([possible[index] for index in kept], scores[kept], surplus[kept])


def _score(chosen: tuple[_Candidate, ...]) -> float:
    return sum((math.log(candidate.strength) for candidate in chosen), 0.0)


def _undominated(
    scores: NDArray[np.float64], surplus: NDArray[np.int64], left: NDArray[np.int64], count: int
) -> NDArray[np.intp]:
    """Which partial choices are worth keeping: their indices, best first; of equals the earlier one is better.

    Those that do not go beyond what is `left`, and that fewer than `count` better ones undercut in every resource.
    """
    affordable = np.flatnonzero((surplus <= left).all(axis=1))
    order = affordable[np.argsort(-scores[affordable], kind="stable")]
    kept = order[:0]
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        rivals = np.concatenate([kept, some])
        undercut = np.tri(len(some), len(rivals), len(kept) - 1, dtype=np.bool_)  # by better ones alone
        for resource in surplus.T:
            undercut &= resource[rivals] <= resource[some, np.newaxis]
        kept = np.concatenate([kept, some[undercut.sum(axis=1) < count]])
    return kept


def _genotype(space: CellSpace, steps: Sequence[_Step], rank: int) -> Genotype:
    """Follow the choices that led to the partial choice `rank` back to the first node."""
    edges: list[tuple[str, int]] = []
    for step in reversed(steps):
        edges[:0] = [(candidate.primitive, candidate.source) for candidate in step.node.kept[step.chosen[rank]]]
        rank = int(step.before[rank])
    of_kind = len(edges) // len(space.kinds)
    cells = {kind: tuple(edges[number * of_kind : (number + 1) * of_kind]) for number, kind in enumerate(space.kinds)}
    return Genotype.of_space(space, cells)
