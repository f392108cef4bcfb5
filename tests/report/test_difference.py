"""What differs between two genotypes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pcdarts
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellKind, CellSpace
from pcdarts.cell.zoo import PUBLISHED
from pcdarts.report.difference import EdgeDifference, Step, changes, diff

GENOTYPES = st.builds(random_genotype, st.integers(3, 7).map(CellSpace), st.integers(0, 999))
CONCAT = (2, 3)
REDUCE = (("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 0))
BEFORE = pcdarts.Genotype(
    normal=(("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_5x5", 0), ("dil_conv_3x3", 1)),
    normal_concat=CONCAT,
    reduce=REDUCE,
    reduce_concat=CONCAT,
)
AFTER = pcdarts.Genotype(
    normal=(("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("avg_pool_3x3", 2), ("sep_conv_5x5", 0)),
    normal_concat=CONCAT,
    reduce=REDUCE[1::-1] + REDUCE[:1:-1],
    reduce_concat=CONCAT,
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_genotype_does_not_differ_from_itself(name):
    found = diff(pcdarts.published(name), pcdarts.published(name))
    assert found.is_empty
    assert all(found.marked(kind) == (frozenset(), frozenset()) for kind in CELL_KINDS)


def test_each_edge_is_kept_changed_gone_or_new_whatever_the_order_in_a_node():
    found = diff(BEFORE, AFTER)
    assert not found.is_empty
    assert [(edge.target, edge.source, edge.change) for edge in found.edges["normal"]] == [
        (2, 0, "kept"),
        (2, 1, "changed"),
        (3, 0, "kept"),
        (3, 1, "gone"),
        (3, 2, "new"),
    ]
    assert found.changed("reduce") == ()


def test_the_text_names_every_difference_in_a_line():
    assert diff(BEFORE, AFTER).to_text().splitlines() == [
        "Normal cell: 2 of 4 edges kept, 1 changed, 1 gone, 1 new",
        "  c_{k-1} ─▶ 2   skip_connect → sep_conv_5x5",
        "  c_{k-1} ─▶ 3   dil_conv_3x3 → –",
        "        2 ─▶ 3   – → avg_pool_3x3",
        "Reduction cell: 4 of 4 edges kept",
    ]


def test_the_table_has_a_column_for_each_genotype():
    lines = diff(BEFORE, AFTER).table("normal", "seed 0", "seed 1").to_markdown().splitlines()
    assert lines[0] == "| edge | seed 0 | seed 1 |"
    assert lines[2:5] == [
        "| c_{k-1} → 2 | skip_connect | sep_conv_5x5 |",
        "| c_{k-1} → 3 | dil_conv_3x3 | – |",
        "| 2 → 3 | – | avg_pool_3x3 |",
    ]
    assert lines[-1] == "Normal cell: 2 of 4 edges kept, 1 changed, 1 gone, 1 new."


def test_what_is_marked_in_the_drawings_are_the_edges_that_the_other_lacks():
    in_before, in_after = diff(BEFORE, AFTER).marked("normal")
    assert in_before == {(2, "skip_connect", 1), (3, "dil_conv_3x3", 1)}
    assert in_after == {(2, "sep_conv_5x5", 1), (3, "avg_pool_3x3", 2)}


@settings(max_examples=25)
@given(a=GENOTYPES, b=GENOTYPES)
def test_the_other_way_round_gone_is_new_and_every_edge_is_told_once(a, b):
    there, back = diff(a, b), diff(b, a)
    for kind in CELL_KINDS:
        assert there.marked(kind) == back.marked(kind)[::-1]
        assert [(edge.target, edge.source, edge.after, edge.before) for edge in there.edges[kind]] == [
            (edge.target, edge.source, edge.before, edge.after) for edge in back.edges[kind]
        ]
        assert sum(edge.before is not None for edge in there.edges[kind]) == len(a.edges(kind))
        assert sum(edge.after is not None for edge in there.edges[kind]) == len(b.edges(kind))


def test_a_larger_cell_has_new_edges_at_its_new_nodes_and_another_output():
    small, large = random_genotype(CellSpace(5), 0), random_genotype(CellSpace(6), 0)
    found = diff(small, large)
    assert [edge.change for edge in found.edges["normal"] if edge.target == 5] == ["new", "new"]
    assert "output of nodes 2, 3, 4 → 2, 3, 4, 5" in found.to_text()


def test_a_node_that_takes_an_input_twice_keeps_the_operation_that_both_have():
    def cell(*operations: str) -> pcdarts.Genotype:
        edges = [(operation, 1) for operation in operations]
        return pcdarts.Genotype(edges, (2,), edges, (2,))

    found = diff(cell("skip_connect", "sep_conv_3x3"), cell("sep_conv_3x3", "max_pool_3x3"))
    assert set(found.edges["normal"]) == {
        EdgeDifference(2, 1, "sep_conv_3x3", "sep_conv_3x3"),
        EdgeDifference(2, 1, "skip_connect", "max_pool_3x3"),
    }


# A cell that changed over the epochs

SEP, DIL, SKIP = ("sep_conv_3x3", 1), ("dil_conv_5x5", 0), ("skip_connect", 0)


def cells(**pairs: tuple[tuple[str, int], tuple[str, int]]) -> dict[int, Genotype]:
    """A genotype for each epoch `e1`, `e2`, ...: a normal cell of the two edges given, a reduction cell that stays."""
    return {int(epoch[1:]): Genotype(pair, (2,), (SEP, DIL), (2,)) for epoch, pair in pairs.items()}


def said(found: list[Step]) -> list[tuple[int, set[tuple[int, str, int]]]]:
    return [(change.epoch, set(change.new)) for change in found]


def test_only_the_epochs_at_which_the_cell_changed_are_told_with_what_is_new() -> None:
    history = cells(e1=(SEP, SKIP), e2=(SEP, SKIP), e3=(SEP, DIL), e4=(SEP, DIL), e9=(SEP, SKIP))
    found = changes(history, "normal")
    assert said(found) == [(1, set()), (3, {(2, "dil_conv_5x5", 0)}), (9, {(2, "skip_connect", 0)})]
    assert [change.genotype for change in found] == [history[epoch] for epoch in (1, 3, 9)]
    assert said(changes(history, "reduce")) == [(1, set())]


def test_edges_that_trade_places_are_no_change_and_epochs_may_come_in_any_order() -> None:
    history = cells(e10=(SKIP, SEP), e2=(SEP, SKIP), e1=(SKIP, SEP))
    assert said(changes(history, "normal")) == [(1, set())]


def test_an_edge_that_is_taken_a_second_time_is_new() -> None:
    assert said(changes(cells(e1=(SEP, SKIP), e2=(SKIP, SKIP)), "normal")) == [
        (1, set()),
        (2, {(2, "skip_connect", 0)}),
    ]


def test_the_same_edge_into_another_node_is_another_edge() -> None:
    first = Genotype((SEP, DIL, SKIP, ("skip_connect", 1)), (2, 3), (SEP, DIL), (2,))
    second = Genotype((SEP, SKIP, DIL, ("skip_connect", 1)), (2, 3), (SEP, DIL), (2,))
    assert changes({1: first, 2: second}, "normal")[1].new == {(2, "skip_connect", 0), (3, "dil_conv_5x5", 0)}


def test_without_genotypes_nothing_changed() -> None:
    kind: CellKind = "normal"
    assert changes({}, kind) == []
