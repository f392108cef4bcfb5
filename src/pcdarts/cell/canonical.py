"""Genotypes that are one graph: the order of a node's edges and the numbers of the nodes change nothing."""

from dataclasses import replace
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind

_MAX_NUMBERINGS = 10_000

_Edges = tuple[tuple[str, int], ...]


def canonical(genotype: Genotype) -> Genotype:
    """The same genotype with its nodes numbered, and the edges of each node sorted, as the graph alone decides.

    Two genotypes are one graph exactly if their canonical forms are equal. Of a cell in which many nodes have the
    same inputs and other uses, at most 10,000 numberings are tried: two forms of it may be told apart.
    """
    members: dict[str, Any] = {}
    for kind in genotype.kinds:
        members[kind], members[f"{kind}_concat"] = _canonical_cell(genotype, kind)
    return replace(genotype, **members)


def _canonical_cell(genotype: Genotype, kind: CellKind) -> tuple[_Edges, tuple[int, ...]]:
    """The smallest of all numberings that take, at every step, the node whose inputs come first.

    Of nodes with equal inputs each is tried in turn, because they may differ in which nodes use them; where they do
    not, one is enough.
    """
    inputs, concat = genotype.entering(kind), genotype.concat(kind)
    before = {node: node for node in range(genotype.form.num_inputs)}
    uses: dict[int, list[tuple[int, str]]] = {node: [] for node in (*before, *inputs)}
    for target, (primitive, source) in ((target, edge) for target, edges in inputs.items() for edge in sorted(edges)):
        uses[source].append((target, primitive))
    found: list[tuple[_Edges, tuple[int, ...]]] = []

    def number(numbers: dict[int, int], numbered: _Edges) -> None:
        if len(found) >= _MAX_NUMBERINGS:
            return
        if len(numbers) == len(uses):
            found.append((numbered, tuple(sorted(numbers[node] for node in concat))))
            return
        ready = {
            node: (sorted((numbers[source], primitive) for primitive, source in edges), node not in concat)
            for node, edges in inputs.items()
            if node not in numbers and all(source in numbers for _, source in edges)
        }
        first = min(ready.values())
        edges = tuple((primitive, source) for source, primitive in first[0])
        for node in {tuple(uses[node]): node for node, rank in ready.items() if rank == first}.values():
            number({**numbers, node: len(numbers)}, (*numbered, *edges))

    number(before, ())
    return min(found)
