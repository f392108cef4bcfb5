"""The differences between two genotypes, edge by edge: as text, as a table, as marks for drawings, over the epochs."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pcdarts.cell.draw import node_name
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellForm, CellKind
from pcdarts.report.study_tables import ABSENT, Table

Change = Literal["kept", "changed", "gone", "new"]
"""The change of an edge; `changed` means another operation."""

_Kept = tuple[int, int, str]

_TITLES: dict[CellKind, str] = {"normal": "Normal cell", "reduce": "Reduction cell"}


@dataclass(frozen=True)
class EdgeDifference:
    """One edge and its operation in the first and the second cell; None if it was not kept."""

    target: int
    source: int
    before: str | None
    after: str | None

    @property
    def change(self) -> Change:
        if self.before == self.after:
            return "kept"
        if self.after is None:
            return "gone"
        return "new" if self.before is None else "changed"

    @property
    def operations(self) -> str:
        """`sep_conv_3x3 → skip_connect`; a dash where there is no such edge."""
        return f"{self.before or ABSENT} → {self.after or ABSENT}"


@dataclass(frozen=True)
class GenotypeDifference:
    """All edges that either of two genotypes has, by target and source, and the nodes that each concatenates."""

    edges: dict[CellKind, tuple[EdgeDifference, ...]]
    outputs: dict[CellKind, tuple[tuple[int, ...], tuple[int, ...]]]
    form: CellForm

    def changed(self, kind: CellKind) -> tuple[EdgeDifference, ...]:
        """The edges of one cell on which the two differ."""
        return tuple(edge for edge in self.edges[kind] if edge.change != "kept")

    @property
    def is_empty(self) -> bool:
        return not any(self.changed(kind) or len(set(self.outputs[kind])) > 1 for kind in self.edges)

    def marked(self, kind: CellKind) -> tuple[frozenset[tuple[int, str, int]], frozenset[tuple[int, str, int]]]:
        """What to mark in the drawings of the first and of the second cell: (target, primitive, source) of an edge."""
        changed = self.changed(kind)
        return (
            frozenset((edge.target, edge.before, edge.source) for edge in changed if edge.before is not None),
            frozenset((edge.target, edge.after, edge.source) for edge in changed if edge.after is not None),
        )

    def to_text(self) -> str:
        """For the terminal: a line for each cell, and one for each of its edges that differ."""
        lines = []
        for kind in self.edges:
            lines.append(self.summary(kind))
            for edge in self.changed(kind):
                lines.append(f"  {node_name(edge.source, self.form):>7} ─▶ {edge.target}   {edge.operations}")
        return "\n".join(lines) + "\n"

    def table(self, kind: CellKind, first: str, second: str) -> Table:
        """The edges of one cell that differ; `first` and `second` name the genotypes."""
        rows = [
            (f"{node_name(edge.source, self.form)} → {edge.target}", edge.before or ABSENT, edge.after or ABSENT)
            for edge in self.changed(kind)
        ]
        return Table(("edge", first, second), tuple(rows), caption=(f"{self.summary(kind)}.",))

    def summary(self, kind: CellKind) -> str:
        """`Normal cell: 6 of 8 edges kept, 1 changed, 1 gone, 1 new`."""
        counts: Counter[str] = Counter(edge.change for edge in self.edges[kind])
        edges = sum(edge.before is not None for edge in self.edges[kind])
        words = [f"{counts['kept']} of {edges} edges kept"]
        words += [f"{counts[change]} {change}" for change in ("changed", "gone", "new") if counts[change]]
        before, after = self.outputs[kind]
        if before != after:
            words.append(f"output of nodes {_listed(before)} → {_listed(after)}")
        return f"{_TITLES[kind]}: {', '.join(words)}"


def diff(a: Genotype, b: Genotype) -> GenotypeDifference:
    """The changes from `a` to `b`; cells of different sizes may be compared.

    If a node takes the same input twice (NASNet-A), equal operations are paired first.
    """
    return GenotypeDifference(
        edges={kind: _compared(_kept(a, kind), _kept(b, kind)) for kind in a.kinds},
        outputs={kind: (a.concat(kind), b.concat(kind)) for kind in a.kinds},
        form=a.form,
    )


def _kept(genotype: Genotype, kind: CellKind) -> Counter[_Kept]:
    """The edges of one cell as (target, source, primitive), each with how often it is there."""
    return Counter((target, source, name) for target, name, source in genotype.placed_edges(kind))


def _compared(a: Counter[_Kept], b: Counter[_Kept]) -> tuple[EdgeDifference, ...]:
    found = [EdgeDifference(target, source, name, name) for target, source, name in (a & b).elements()]
    left_in_b = sorted((b - a).elements())
    for target, source, before in sorted((a - b).elements()):
        partner = next((edge for edge in left_in_b if edge[:2] == (target, source)), None)
        if partner is not None:
            left_in_b.remove(partner)
        found.append(EdgeDifference(target, source, before, partner[2] if partner else None))
    found += [EdgeDifference(target, source, None, after) for target, source, after in left_in_b]
    return tuple(sorted(found, key=lambda edge: (edge.target, edge.source)))


def _listed(nodes: tuple[int, ...]) -> str:
    return ", ".join(map(str, nodes))


class Step(NamedTuple):
    """The cell at an epoch, and its edges (target, primitive, source) that the epoch before it did not have."""

    epoch: int
    genotype: Genotype
    new: frozenset[tuple[int, str, int]]


def changes(genotypes: dict[int, Genotype], kind: CellKind) -> list[Step]:
    """The epochs at which one kind of cell changed, including the first epoch (with nothing new).

    The order of a node's edges (the stronger is listed first) does not count as a change.
    """
    found: list[Step] = []
    before: Counter[tuple[int, str, int]] = Counter()
    for epoch, genotype in sorted(genotypes.items()):
        edges = Counter(genotype.placed_edges(kind))
        if edges != before:
            found.append(Step(epoch, genotype, frozenset(edges - before) if found else frozenset()))
        before = edges
    return found
