import math
import random
import re
from xml.etree import ElementTree

import pytest

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import published
from pcdarts.report.drawing.axes import Spans
from pcdarts.report.drawing.cell_charts import edge_weights_chart, genotype_timeline, named, op_weights_chart, spoken
from pcdarts.report.drawing.style import COLOURS_LIGHT

Element = ElementTree.Element
SPACE = CellSpace(6)


def softmaxed(choose: random.Random, count: int) -> list[float]:
    weights = [math.exp(choose.gauss(0, 0.5)) for _ in range(count)]
    return [weight / sum(weights) for weight in weights]


def moving_ops(space: CellSpace, epochs: int) -> list[list[list[float]]]:
    choose = random.Random(0)
    return [[softmaxed(choose, len(SPACE.primitives)) for _ in space.edges] for _ in range(epochs)]


def moving_edges(space: CellSpace, epochs: int) -> list[list[float]]:
    choose = random.Random(0)
    groups = [len(space.edges_into(target)) for target in range(2, space.num_nodes)]
    return [[weight for count in groups for weight in softmaxed(choose, count)] for _ in range(epochs)]


def panels(chart: str) -> list[Element]:
    figure = ElementTree.fromstring(chart)
    assert "nan" not in chart.lower()
    return [svg for svg in figure.iter("svg") if svg.get("class") == "plot"]


def words(panel: Element) -> list[str]:
    return [place.text or "" for place in panel.iter("text")]


def of_class(panel: Element, name: str) -> list[Element]:
    return [place for place in panel.iter() if name in place.get("class", "").split()]


def cell(*edges: tuple[str, int]) -> Genotype:
    concat = tuple(range(2, 2 + len(edges) // 2))
    return Genotype(edges, concat, edges, concat)


@pytest.mark.parametrize("num_nodes", [3, 5, 6, 7])
def test_every_edge_has_a_panel_with_a_band_for_each_operation(num_nodes: int) -> None:
    space = CellSpace(num_nodes)
    drawn = panels(op_weights_chart(space, moving_ops(space, 5), range(1, 6), "normal"))
    assert [words(panel)[0] for panel in drawn] == [
        f"{named(e.source, space.form)} → {named(e.target, space.form)}" for e in space.edges
    ]
    for panel in drawn:
        assert [band.get("class") for band in of_class(panel, "band")] == [
            f"band {p}" for p in reversed(SPACE.primitives)
        ]


def test_the_upper_edge_of_a_band_is_the_sum_of_the_weights_below_it() -> None:
    weights = [[[1 / 8] * 8] * 14, [[0.3] + [0.1] * 7] * 14]
    panel = panels(op_weights_chart(SPACE, weights, [1, 2], "reduce"))[3]
    for band, (first, last) in zip(
        reversed(of_class(panel, "band")), [(1 / 8, 0.3), (2 / 8, 0.4), (3 / 8, 0.5)], strict=False
    ):
        start, rise, bottom = re.fullmatch(r"M0 (\d+)l1600 ?(-?\d+)V(\d+)H0z", band.attrib["d"]).groups()  # type: ignore[union-attr]
        height = int(bottom) - 180
        assert int(bottom) - int(start) == pytest.approx(first * height, abs=1)
        assert int(bottom) - int(start) - int(rise) == pytest.approx(last * height, abs=1)


def test_a_panel_names_the_operation_that_leads_in_the_end_but_never_none() -> None:
    weights = [[[0.5, 0.1, 0.05, 0.15, 0.05, 0.05, 0.05, 0.05]] * 14]
    panel = panels(op_weights_chart(SPACE, weights, [1], "normal"))[0]
    assert "skip 15 %" in words(panel)
    assert "none 50 %" in (panel.findtext("title") or "")


def test_fifty_epochs_of_fourteen_edges_take_at_most_sixty_kilobytes_and_more_epochs_take_no_more() -> None:
    frozen = ((1, 15),)
    sizes = [
        len(op_weights_chart(SPACE, moving_ops(SPACE, epochs), range(1, epochs + 1), "normal", frozen=frozen).encode())
        for epochs in (50, 60, 600)
    ]
    assert sizes[0] < 60_000
    assert sizes[2] == pytest.approx(sizes[1], rel=0.05)


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        (((1, 1),), "in the first epoch."),
        (((1, 3),), "in the first 3 epochs."),
        (((1, 2), (4, 4)), "in the first 2 epochs and in epoch 4."),
        (((3, 4),), "in epochs 3 to 4."),
    ],
)
def test_it_is_said_which_epochs_were_frozen(frozen: Spans, said: str) -> None:
    assert f"α was frozen {said}" in op_weights_chart(SPACE, moving_ops(SPACE, 6), range(1, 7), "normal", frozen=frozen)


@pytest.mark.parametrize("frozen", [(), ((1, 3),), ((1, 2), (4, 5))])
def test_the_frozen_epochs_are_visible_in_every_panel_if_there_are_some(frozen: Spans) -> None:
    ops = op_weights_chart(SPACE, moving_ops(SPACE, 6), range(1, 7), "normal", frozen=frozen)
    edges = edge_weights_chart(SPACE, moving_edges(SPACE, 6), range(1, 7), "normal", frozen=frozen)
    timeline = genotype_timeline(dict.fromkeys(range(1, 7), published("pc_darts_cifar10")), "normal", frozen=frozen)
    for chart, style in ((ops, "veil"), (edges, "frozen"), (timeline, "frozen")):
        assert [len(of_class(panel, style)) for panel in panels(chart)] == [len(frozen)] * len(panels(chart))


@pytest.mark.parametrize("num_nodes", [3, 5, 6, 7])
def test_every_node_has_a_panel_with_a_named_line_for_each_edge_that_enters_it(num_nodes: int) -> None:
    space = CellSpace(num_nodes)
    drawn = panels(edge_weights_chart(space, moving_edges(space, 9), range(1, 10), "reduce"))
    assert len(drawn) == space.num_intermediate
    for target, panel in enumerate(drawn, start=2):
        assert len(of_class(panel, "line")) == len(of_class(panel, "mark")) == target
        assert {named(source, SPACE.form) for source in range(target)} <= set(words(panel))


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_search_that_has_only_begun_is_drawn(epochs: int) -> None:
    span = range(1, epochs + 1)
    assert len(panels(op_weights_chart(SPACE, moving_ops(SPACE, epochs), span, "normal", frozen=((1, 1),)))) == 14
    assert len(panels(edge_weights_chart(SPACE, moving_edges(SPACE, epochs), span, "normal", frozen=((1, 1),)))) == 4
    genotypes = {epoch: published("darts_v1") for epoch in span}
    assert len(panels(genotype_timeline(genotypes, "normal", frozen=((1, 1),)))) == (4 if epochs else 0)


def test_weights_that_never_moved_and_weights_that_diverged_break_nothing() -> None:
    still, diverged = [[0.125] * 8] * 14, [[math.nan] * 8] * 14
    drawn = panels(op_weights_chart(SPACE, [still, diverged, still], [1, 2, 3], "normal"))
    assert all(len(of_class(panel, "band")) == 8 for panel in drawn)
    assert "nothing yet" in words(panels(op_weights_chart(SPACE, [diverged], [1], "normal"))[0])
    even = [1.0] * 14
    assert len(panels(edge_weights_chart(SPACE, [even, [math.nan] * 14, even], [1, 2, 3], "normal"))) == 4


def test_a_timeline_has_a_panel_a_node_and_a_bar_for_every_stretch_in_which_an_edge_stays_as_it_is() -> None:
    first = cell(("skip_connect", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("dil_conv_3x3", 2))
    other = cell(("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 0), ("sep_conv_5x5", 1))
    still, moved = panels(genotype_timeline({1: first, 2: first, 3: other, 4: other}, "normal"))
    assert "never changed" in words(still)
    assert not of_class(still, "new")
    assert [bar.get("class") for bar in of_class(still, "bar")] == ["bar skip_connect", "bar sep_conv_3x3"]
    assert "1 change, last after epoch 3" in words(moved)
    assert len(of_class(moved, "new")) == 1
    bars = {bar.attrib["class"]: bar for bar in of_class(moved, "bar")}
    gone, new, kept = (bars[f"bar {p}"] for p in ("dil_conv_3x3", "sep_conv_5x5", "max_pool_3x3"))
    assert float(gone.attrib["x"]) + float(gone.attrib["width"]) == pytest.approx(float(new.attrib["x"]), abs=0.2)
    assert float(gone.attrib["width"]) == pytest.approx(float(kept.attrib["width"]) / 2, abs=0.2)
    assert float(new.attrib["y"]) < float(gone.attrib["y"])  # from node 1, then from node 2


def test_a_bar_says_its_operation_where_there_is_room() -> None:
    choose = random.Random(0)
    restless = {epoch: cell(("skip_connect", 0), (choose.choice(SPACE.primitives[1:]), 1)) for epoch in range(1, 51)}
    (panel,) = panels(genotype_timeline(restless, "normal"))
    assert words(panel).count("skip") == 1
    assert len(of_class(panel, "new")) > 30


def test_an_edge_taken_twice_is_two_bars_in_one_row() -> None:
    (panel,) = panels(genotype_timeline({1: cell(("skip_connect", 1), ("sep_conv_3x3", 1))}, "normal"))
    upper, lower = of_class(panel, "bar")
    assert float(upper.attrib["y"]) + float(upper.attrib["height"]) == pytest.approx(float(lower.attrib["y"]), abs=0.2)


@pytest.mark.parametrize("name", ["nasnet_a", "amoebanet_a"])
def test_older_primitives_have_colours_and_an_entry_in_the_key_too(name: str) -> None:
    chart = genotype_timeline({1: published(name)}, "reduce")
    key = "".join(ElementTree.fromstring(chart).find("ul").itertext())  # type: ignore[union-attr]
    for primitive, _ in published(name).reduce:
        assert primitive in COLOURS_LIGHT
        assert spoken(primitive) in key
