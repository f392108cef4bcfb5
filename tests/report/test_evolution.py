from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind
from pcdarts.report.evolution import Change, changes

SEP, DIL, SKIP = ("sep_conv_3x3", 1), ("dil_conv_5x5", 0), ("skip_connect", 0)


def cells(**pairs: tuple[tuple[str, int], tuple[str, int]]) -> dict[int, Genotype]:
    """A genotype for each epoch `e1`, `e2`, ...: a normal cell of the two edges given, a reduction cell that stays."""
    return {int(epoch[1:]): Genotype(pair, (2,), (SEP, DIL), (2,)) for epoch, pair in pairs.items()}


def said(found: list[Change]) -> list[tuple[int, set[tuple[int, str, int]]]]:
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
