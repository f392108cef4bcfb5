"""The text of a cell of NAS-Bench-201, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, and the benchmark's text of its graph."""

import re
from collections.abc import Sequence
from itertools import pairwise

from pcdarts.cell.space import NASBENCH201
from pcdarts.errors import InputError, did_you_mean

_BLOCK = r"\|(?:[^|\s+~\"',;]*~[^|\s+~\"',;]*\|)+"
STRING = re.compile(rf"{_BLOCK}(?:\s?\+\s?{_BLOCK})*")
"""Where a text seems to hold such a cell."""

_EXPECTED = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"

_Edges = Sequence[tuple[str, int]]


def read_string(text: str) -> tuple[tuple[str, int], ...]:
    """The edges (primitive, input node) of the one cell in a text, in the order of `NASBENCH201`.

    Raises:
        InputError: another number of cells, nodes or inputs, an operation that the benchmark does not have, or edges in
            another order.
    """
    found = STRING.findall(text)
    if len(found) != 1:
        what = f"holds {len(found)} cells of NAS-Bench-201: keep only" if found else f"holds no {_EXPECTED}: give"
        raise InputError(f"the text {what} the one you mean")
    blocks = [re.findall(r"([^|\s]*)~([^|\s]*)", block) for block in found[0].split("+")]
    wanted = NASBENCH201.num_intermediate
    if len(blocks) != wanted:
        raise InputError(
            f"the cell {_shown(found[0])}: expected {wanted} blocks with + between them, not {len(blocks)}, as in "
            f"{_EXPECTED}"
        )
    edges = []
    for node, block in zip(NASBENCH201.intermediate, blocks, strict=True):
        if [source for _, source in block] != [str(source) for source in range(node)]:
            inputs = ", ".join(source or "?" for _, source in block)
            raise InputError(
                f"node {node} of the cell {_shown(found[0])} takes input from {inputs}, but each node takes all "
                f"earlier ones in their order: expected {_EXPECTED}"
            )
        for source, (primitive, _) in enumerate(block):
            if primitive not in NASBENCH201.primitives:
                raise InputError(
                    f"node {node} of the cell {_shown(found[0])}: NAS-Bench-201 has no operation {primitive[:40]!r}: "
                    f"{did_you_mean(primitive[:40], NASBENCH201.primitives)}"
                )
            edges.append((primitive, source))
    return tuple(edges)


def write_string(edges: _Edges) -> str | None:
    """The text of a cell; None if it has another number of nodes or other operations than the benchmark's."""
    if len(edges) != NASBENCH201.num_edges or any(primitive not in NASBENCH201.primitives for primitive, _ in edges):
        return None
    return "+".join(f"|{'|'.join(f'{op}~{source}' for op, source in into)}|" for into in _by_node(edges))


def unique_string(edges: _Edges) -> str:
    """The text by which the benchmark tells cells apart that are different graphs: of 15,625 cells 6,466 are left.

    It is the expression of the last node: the input is 0, nothing is #, an operation stands behind what it reads, a
    skip-connection is what it reads, and a sum is sorted. It is the benchmark's, to the letter: a sum that a skip
    passes on is not sorted again, nor is a sum of nothing nothing, so that some equal graphs have two texts; and it
    does not see whether two equal convolutions are one that is read twice.
    """
    nodes = ["0"]
    for into in _by_node(edges):
        terms = [_term(primitive, nodes[source]) for primitive, source in into]
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _term(primitive: str, source: str) -> str:
    if primitive == "none" or source == "#":
        return "#"
    return source if primitive == "skip_connect" else f"({source})@{primitive}"


def _by_node(edges: _Edges) -> list[_Edges]:
    """The edges that enter node 1, node 2, ..."""
    starts = [0]
    while starts[-1] < len(edges):
        starts.append(starts[-1] + len(starts))
    return [edges[start:stop] for start, stop in pairwise(starts)]


def _shown(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
