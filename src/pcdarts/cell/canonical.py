"""Genotypes that are one graph: the order of a node's edges and the numbers of the nodes change nothing."""

from collections.abc import Sequence

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS

_MAX_NUMBERINGS = 10_000

_Edges = tuple[tuple[str, int], ...]


def canonical(genotype: Genotype) -> Genotype:
    """The same genotype with its nodes numbered, and the edges of each node sorted, by a rule of ours alone.

    Two genotypes are one graph exactly if their canonical forms are equal. Of a cell in which many nodes have the
    same inputs and other uses, at most 10,000 numberings are tried: two forms of it may be told apart.
    """
    cells = {kind: _canonical_cell(genotype.edges(kind), genotype.concat(kind)) for kind in CELL_KINDS}
    (normal, normal_concat), (reduce, reduce_concat) = cells["normal"], cells["reduce"]
    return Genotype(normal, normal_concat, reduce, reduce_concat)


def _canonical_cell(edges: _Edges, concat: Sequence[int]) -> tuple[_Edges, tuple[int, ...]]:
    """The smallest of all numberings that take, at every step, the node whose inputs come first.

    Of nodes with equal inputs each is tried in turn, for they may differ in what is made of them; where they do not,
    one is enough.
    """
    inputs = {node: edges[2 * (node - 2) : 2 * (node - 1)] for node in range(2, 2 + len(edges) // 2)}
    uses: dict[int, list[tuple[int, str]]] = {node: [] for node in (0, 1, *inputs)}
    for target, (primitive, source) in ((target, edge) for target, pair in inputs.items() for edge in sorted(pair)):
        uses[source].append((target, primitive))
    found: list[tuple[_Edges, tuple[int, ...]]] = []

    def number(numbers: dict[int, int], numbered: _Edges) -> None:
        if len(found) >= _MAX_NUMBERINGS:
            return
        if len(numbers) == 2 + len(inputs):
            found.append((numbered, tuple(sorted(numbers[node] for node in concat))))
            return
        ready = {
            node: (sorted((numbers[source], primitive) for primitive, source in pair), node not in concat)
            for node, pair in inputs.items()
            if node not in numbers and all(source in numbers for _, source in pair)
        }
        first = min(ready.values())
        pair = tuple((primitive, source) for source, primitive in first[0])
        for node in {tuple(uses[node]): node for node, rank in ready.items() if rank == first}.values():
            number({**numbers, node: len(numbers)}, (*numbered, *pair))

    number({0: 0, 1: 1}, ())
    return min(found)
