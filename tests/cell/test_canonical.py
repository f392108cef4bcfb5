"""Two genotypes are one graph exactly if their canonical forms are equal."""

from collections.abc import Iterator
from itertools import combinations, permutations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pcdarts.cell.canonical import canonical
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace

Cell = tuple[tuple[tuple[str, int], ...], tuple[int, ...]]


@st.composite
def drawn_cells(draw: st.DrawFn, nodes: int) -> Cell:
    """Few primitives and any inputs, the same twice among them, so that equal graphs and equal nodes are common."""
    edges = [
        (draw(st.sampled_from(("skip_connect", "sep_conv_3x3"))), draw(st.integers(0, target - 1)))
        for target in range(2, 2 + nodes)
        for _ in range(2)
    ]
    concat = draw(st.lists(st.integers(2, 1 + nodes), min_size=1, unique=True))
    return tuple(edges), tuple(concat)


def genotype_of(cell: Cell, reduce: Cell | None = None) -> Genotype:
    return Genotype(*cell, *(reduce or cell))


def numberings(cell: Cell) -> Iterator[Cell]:
    """A cell under every numbering that puts inputs before what takes them; the edges of a node in sorted order."""
    edges, concat = cell
    nodes = range(2, 2 + len(edges) // 2)
    for order in permutations(nodes):
        number = {0: 0, 1: 1} | {node: 2 + place for place, node in enumerate(order)}
        pairs = [[(name, number[source]) for name, source in edges[2 * node - 4 : 2 * node - 2]] for node in order]
        if all(source < target for target, pair in enumerate(pairs, start=2) for _, source in pair):
            yield tuple(edge for pair in pairs for edge in sorted(pair)), tuple(sorted(number[node] for node in concat))


@given(st.integers(1, 4).flatmap(lambda nodes: st.tuples(drawn_cells(nodes), drawn_cells(nodes))))
@settings(max_examples=300)
def test_two_cells_have_one_form_exactly_if_some_numbering_makes_them_equal(pair: tuple[Cell, Cell]) -> None:
    one, other = pair
    equal = next(numberings(other)) in set(numberings(one))
    assert (canonical(genotype_of(one)) == canonical(genotype_of(other))) == equal


@given(st.integers(1, 5).flatmap(drawn_cells), st.data())
@settings(max_examples=100)
def test_every_numbering_and_order_of_edges_has_the_same_form_which_is_one_of_them(
    cell: Cell, data: st.DataObject
) -> None:
    all_of_them = list(numberings(cell))
    edges, concat = data.draw(st.sampled_from(all_of_them))
    swapped = tuple(edge for node in range(0, len(edges), 2) for edge in reversed(edges[node : node + 2]))
    form = canonical(genotype_of(cell))
    assert canonical(genotype_of((swapped, concat[::-1]))) == form
    in_order = tuple(edge for node in range(0, len(edges), 2) for edge in sorted(form.normal[node : node + 2]))
    assert (in_order, form.normal_concat) in all_of_them
    assert canonical(form) == form


@given(st.integers(2, 4).flatmap(lambda nodes: st.tuples(drawn_cells(nodes), drawn_cells(nodes))))
@settings(max_examples=50)
def test_the_normal_and_the_reduction_cell_are_not_taken_for_each_other(pair: tuple[Cell, Cell]) -> None:
    one, other = (canonical(genotype_of(cell)) for cell in pair)
    assume(one != other)
    assert canonical(genotype_of(*pair)) != canonical(genotype_of(pair[1], pair[0]))
    assert canonical(genotype_of(*pair)).normal == one.normal
    assert canonical(genotype_of(*pair)).reduce == other.reduce


def of_a_graph(lines: list[tuple[int, int]]) -> Genotype:
    """Six nodes that all take the inputs of the cell, and a node for every line between two of them."""
    edges = (("skip_connect", 0), ("skip_connect", 1)) * 6
    edges += tuple(("skip_connect", 2 + end) for line in lines for end in line)
    return genotype_of((edges, tuple(range(2, 8 + len(lines)))))


def test_a_ring_of_six_is_not_two_rings_of_three() -> None:
    ring = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)]
    other_ring = [(0, 3), (3, 1), (1, 4), (4, 2), (2, 5), (5, 0)]
    assert canonical(of_a_graph(ring)) == canonical(of_a_graph(other_ring))
    assert canonical(of_a_graph(ring)) != canonical(
        of_a_graph([*combinations(range(3), 2), *combinations((3, 4, 5), 2)])
    )


@pytest.mark.parametrize("nodes", [8, 100])
def test_nodes_that_nothing_tells_apart_are_not_tried_in_all_orders(nodes: int) -> None:
    star = (("sep_conv_3x3", 1), ("skip_connect", 0)) * nodes
    form = canonical(genotype_of((star, tuple(range(2, 2 + nodes)))))
    assert form.normal == (("skip_connect", 0), ("sep_conv_3x3", 1)) * nodes


def test_the_form_of_a_large_cell_is_found() -> None:
    large = random_genotype(CellSpace(102), 0)
    assert canonical(canonical(large)) == canonical(large)
