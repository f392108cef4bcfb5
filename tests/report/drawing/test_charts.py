import math
import re
from collections.abc import Iterable
from html import unescape
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pcdarts.cell.space import PRIMITIVES
from pcdarts.report.drawing import style
from pcdarts.report.drawing.axes import Spans, fit, spread, thinned
from pcdarts.report.drawing.charts import (
    IntervalRow,
    Level,
    ScatterPoint,
    Series,
    interval_chart,
    line_chart,
    scatter_chart,
)
from pcdarts.report.drawing.labels import Box, place_labels, shortened, text_width

Element = ElementTree.Element
HOSTILE = "<script>alert('\"&')</script>"


def lines(*series: Series, frozen: Spans = ()) -> Element:
    return parsed(line_chart(series, title="Learning", x_label="epoch", y_label="top-1 error, %", frozen=frozen))


def intervals(*rows: IntervalRow) -> Element:
    return parsed(interval_chart(rows, title="Methods", unit="test error, %"))


def scattered(*points: ScatterPoint) -> Element:
    return parsed(scatter_chart(points, title="Cost", x_label="hours", y_label="test error, %"))


def parsed(chart: str) -> Element:
    """The chart as a tree; it must be well-formed, and draw at places that are numbers and lie in its box."""
    figure = ElementTree.fromstring(chart)
    for svg in figure.iter("svg"):
        width, height = map(float, svg.attrib["viewBox"].split()[2:])
        for place in svg.iter():
            assert "nan" not in "".join(place.attrib.values()).lower()
            for name, most in (("x", width), ("y", height), ("cx", width), ("cy", height)):
                assert 0 <= float(place.get(name, 0)) <= most
    return figure


def words(figure: Element) -> list[str]:
    return ["".join(place.itertext()) for place in figure.iter() if place.tag in ("text", "span", "figcaption")]


def drawn(figure: Element, kind: str = "line") -> list[Element]:
    """The marks of one kind in the chart itself, not in its key."""
    plot = next(svg for svg in figure.iter("svg") if svg.get("class") == "plot")
    return [place for place in plot.iter() if place.get("class") == kind]


def points_of(path: Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"])]


def test_every_series_is_drawn_and_named() -> None:
    figure = lines(*(Series(f"method {i}", [(1, 90), (2, 50 + i)], colour=i) for i in range(10)))
    assert len(drawn(figure)) == len(drawn(figure, "mark")) == 10
    assert {f"method {i}" for i in range(10)} <= set(words(figure))
    assert {"Learning", "epoch", "top-1 error, %"} <= set(words(figure))


def test_series_differ_in_colour_dashes_and_marker() -> None:
    marks = drawn(lines(*(Series(str(i), [(1, i)], colour=i) for i in range(style.NUM_SERIES))), "mark")
    assert len({mark.attrib["d"] for mark in marks}) == style.NUM_SERIES == len(set(style.DASHES))
    assert all(f"--series-{index}:" in style.stylesheet() for index in range(1, style.NUM_SERIES + 1))


def test_seeds_of_one_name_and_colour_share_their_entry_in_the_key() -> None:
    figure = lines(Series("pc-darts", [(1, 2)]), Series("pc-darts", [(1, 3)]), Series("darts", [(1, 4)], colour=1))
    assert len(drawn(figure)) == 3
    assert words(figure).count("pc-darts") == 1


def test_a_lower_error_is_drawn_lower_and_a_later_epoch_further_right() -> None:
    (path,) = drawn(lines(Series("a", [(1, 90), (2, 50), (3, 20)])))
    (x, y) = zip(*points_of(path), strict=True)
    assert sorted(x) == list(x)
    assert sorted(y) == list(y)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf, 1e300])
def test_what_has_no_place_leaves_a_gap(missing: float | None) -> None:
    (path,) = drawn(lines(Series("a", [(1, 9), (2, 8), (3, missing), (4, 6), (5, 5)])))
    assert path.attrib["d"].count("M") == 2
    assert len(points_of(path)) == 4


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0, 5.0], [0.0, 0.0], [-3.0], [1e-12, 1e-12], [1e16, 1e16]])
def test_one_value_and_equal_values_are_drawn(values: list[float]) -> None:
    assert len(drawn(lines(Series("a", list(enumerate(values, start=1)))))) == 1


def test_a_count_that_stays_zero_has_no_tick_below_zero() -> None:
    figure = lines(Series("skips", [(1, 0), (2, 0), (3, 0)], step=True))
    assert "0" in words(figure)
    assert not any("−" in said for said in words(figure))


def test_nothing_to_show_is_said() -> None:
    for figure in (lines(), lines(Series("a", [(1, None)])), scattered()):
        assert "nothing to show yet" in words(figure)
    assert "nothing yet" in words(intervals(IntervalRow("a", [], None, None, None)))


def test_counts_are_drawn_as_steps() -> None:
    (path,) = drawn(lines(Series("skips", [(1, 0), (2, 2), (3, 2)], step=True)))
    assert re.sub(r"[\d. ]", "", path.attrib["d"]) == "MHVHV"


def test_the_frozen_epochs_are_shaded_and_explained_only_if_there_are_some() -> None:
    series = Series("a", [(epoch, 90 - epoch) for epoch in range(1, 11)])
    assert not drawn(lines(series), "frozen")
    figure = lines(series, frozen=((1, 4),))
    (shade,) = drawn(figure, "frozen")
    left, fourth = (points_of(drawn(figure)[0])[index][0] for index in (0, 3))
    assert float(shade.attrib["x"]) == pytest.approx(left, abs=0.2)
    assert float(shade.attrib["width"]) == pytest.approx(fourth - left, abs=0.2)
    assert "α and β frozen" in words(figure)


def test_the_frozen_epochs_of_a_later_stage_are_shaded_from_the_end_of_the_stage_before() -> None:
    figure = lines(Series("a", [(epoch, 90 - epoch) for epoch in range(1, 11)]), frozen=((1, 2), (6, 7), (12, 13)))
    shades = [(float(each.attrib["x"]), float(each.attrib["width"])) for each in drawn(figure, "frozen")]
    places = [place for place, _ in points_of(drawn(figure)[0])]
    ends = [(places[0], places[1]), (places[4], places[6])]  # the last ones are yet to come
    assert shades == [(pytest.approx(start, abs=0.2), pytest.approx(end - start, abs=0.2)) for start, end in ends]


def test_a_long_series_stays_small_and_keeps_its_ends() -> None:
    chart = line_chart([Series("a", [(e, 1 / e) for e in range(1, 5001)])], title="", x_label="", y_label="")
    assert len(chart.encode()) < 6_000
    points = points_of(drawn(parsed(chart))[0])
    assert len(points) == 200
    assert points[-1][0] == max(x for x, _ in points) > 340


@pytest.mark.parametrize("name", [HOSTILE, "naïve — 方法", ""])
def test_names_from_outside_are_only_ever_text(name: str) -> None:
    charts = [
        line_chart([Series(name, [(1, 2)])], title=name, x_label=name, y_label=name),
        interval_chart([IntervalRow(name, [1.0], 1.0, None, None)], title=name, unit=name),
        scatter_chart([ScatterPoint(name, 1, 2, group=name)], title=name, x_label=name, y_label=name),
    ]
    for chart in charts:
        assert "<script" not in chart
        assert not {"id", "onload", "href"} & {key for place in parsed(chart).iter() for key in place.attrib}
        assert name in words(parsed(chart))


def test_a_method_shows_every_seed_its_mean_its_interval_and_the_papers_figure_as_another_shape() -> None:
    figure = intervals(
        IntervalRow("pc-darts", [2.5, 2.6, 2.7], 2.6, 2.35, 2.85, paper=2.57),
        IntervalRow("random", [3.0], 3.0, None, None),
    )
    assert [len(drawn(figure, kind)) for kind in ("seed", "mean", "line", "hollow")] == [4, 2, 1, 1]
    assert {"pc-darts", "2.60 [2.35, 2.85], n = 3", "3.00, n = 1", "test error, %", "the paper's figure"} <= set(
        words(figure)
    )
    assert "the paper's figure" not in words(intervals(IntervalRow("a", [1.0], 1.0, None, None)))


def test_an_interval_too_wide_for_the_chart_ends_in_an_arrow_and_squeezes_nobody() -> None:
    figure = intervals(
        IntervalRow("two seeds", [3.0, 3.2], 3.1, 1.83, 4.37), IntervalRow("b", [3.4, 3.3], 3.35, 3.3, 3.4)
    )
    cut, whole = (path.attrib["d"] for path in drawn(figure))
    left_cap, right_cap = re.findall(r"M([\d.]+) [\d.]+L([\d.]+)", cut)
    assert float(left_cap[0]) > float(left_cap[1])
    assert float(right_cap[0]) < float(right_cap[1])
    assert all(at == tip for at, tip in re.findall(r"M([\d.]+) [\d.]+L([\d.]+)", whole))
    dots = [float(dot.attrib["cx"]) for dot in drawn(figure, "seed")]
    assert max(dots) - min(dots) > 100
    assert "3.10 [1.83, 4.37], n = 2" in words(figure)


def test_every_point_of_a_scatter_chart_has_its_name_beside_it_and_groups_have_a_key() -> None:
    points = [ScatterPoint(f"K = {k}", 4 / k, 3 + k / 10, group="ours") for k in (1, 2, 4, 8)]
    figure = scattered(*points, ScatterPoint("K = 4", 1, 2.57, colour=1, group="paper"))
    assert len(drawn(figure, "mark")) == 5
    assert words(figure).count("K = 4") == 2
    assert words(figure).count("ours") == words(figure).count("paper") == 1


def boxes_of(figure: Element, names: Iterable[str]) -> list[Box]:
    """Where the texts of a scatter chart stand that have these names."""
    known = set(names)
    texts = [place for place in figure.iter("text") if place.get("class") == "middle" and place.text in known]
    return [box_of(place) for place in texts]


def box_of(place: Element) -> Box:
    x, base_line, width = float(place.attrib["x"]), float(place.attrib["y"]), text_width(place.text or "")
    left = {"middle": x - width / 2, "end": x - width}.get((place.get("class") or "").split()[-1], x)
    return Box(left, base_line - 11, left + width, base_line + 3)


named_points = st.lists(
    st.builds(
        ScatterPoint,
        st.sampled_from(["K = 4", "random search", "PC alone", "方法 12", "W" * 30, "random cells, 5 nodes"]),
        st.floats(0, 1) | st.sampled_from([0.5, 0.5001]),
        st.floats(0, 1) | st.sampled_from([0.5, 0.5001]),
        st.integers(0, 7),
    ),
    min_size=1,
    max_size=12,
)


@given(named_points)
@example([ScatterPoint("W" * 30, 0.5, 0.5)] * 12)
@example([ScatterPoint("a tiny value", 0.0, 4.6e-80)])
def test_no_name_of_a_point_covers_another_name_or_a_point_or_leaves_the_chart(points: list[ScatterPoint]) -> None:
    figure = scattered(*points)
    names = [shortened(point.name, 190) for point in points]
    boxes = boxes_of(figure, names) or boxes_of(figure, map(str, range(1, 13)))
    entries = {name for name in words(figure) if re.match(r"\d+: ", name)}
    assert len(boxes) == len(points)
    assert all(Box(0, 15, 360.5, 202.5).holds(box) for box in boxes)
    # Places in the file are rounded.
    inner = [Box(box.left + 0.5, box.top + 0.5, box.right - 0.5, box.bottom - 0.5) for box in boxes]
    assert not any(one.covers(other) for one, other in combinations(inner, 2))
    for mark in drawn(figure, "mark"):
        x, y = map(float, re.findall(r"[\d.]+", mark.attrib["transform"]))
        assert not any(box.covers(Box(x - 4, y - 4, x + 4, y + 4)) for box in inner)
    numbered = boxes_of(figure, names) == []
    assert entries == ({f"{place}: {point.name}" for place, point in enumerate(points, 1)} if numbered else set())


def test_names_that_lie_apart_stand_right_of_their_points() -> None:
    figure = scattered(ScatterPoint("one", 1, 3), ScatterPoint("other", 2, 4), ScatterPoint("third", 1, 5))
    (box, *_) = boxes_of(figure, ["one"])
    x, y = map(float, re.findall(r"[\d.]+", drawn(figure, "mark")[0].attrib["transform"]))
    assert box.left == pytest.approx(x + 9, abs=0.2)
    assert (box.top + box.bottom) / 2 == pytest.approx(y, abs=0.2)
    assert drawn(figure, "leader") == []


def test_a_name_that_had_to_go_away_is_led_to_its_point() -> None:
    figure = scattered(*(ScatterPoint(f"method {i}", 1, 3) for i in range(12)))
    assert len(boxes_of(figure, [f"method {i}" for i in range(12)])) == 12
    assert len(drawn(figure, "leader")) > 3


def test_names_that_find_no_room_become_numbers_that_the_key_explains() -> None:
    figure = scattered(*(ScatterPoint("W" * 30, i, i % 3) for i in range(40)))
    assert len(boxes_of(figure, map(str, range(1, 41)))) == 40
    assert f"40: {'W' * 30}" in words(figure)


@given(st.text(max_size=60), st.lists(st.floats(0, 1e6), min_size=1, max_size=3))
def test_the_name_of_a_method_ends_before_its_figures(name: str, values: list[float]) -> None:
    row = IntervalRow(name, values, values[0], values[0] - 12.34, values[0] + 12.34)
    chart = interval_chart([row], title="", unit="")
    named, summary = re.findall(r'<text class="(?:strong|end) over"[^>]*>(.*?)</text>', chart, re.DOTALL)
    assert 1.1 * text_width(unescape(named)) + text_width(unescape(summary)) <= 360


@pytest.mark.parametrize("values", [[0, 6], [1e8, 9e8], [0.00001, 0.00009], [-123456.7, 3e6]])
def test_ticks_below_a_chart_stay_apart(values: list[float]) -> None:
    figure = scattered(*(ScatterPoint("", value, 1) for value in values))
    ticks = [box_of(place) for place in figure.iter("text") if place.get("class") == "muted middle"]
    assert ticks
    assert not any(one.covers(other) for one, other in combinations(ticks, 2))


@pytest.mark.parametrize("values", [[0, 1], [0.1234, 0.1239], [3, 97], [-20, 3e6], [1e-9, 2e-9], [2.5]])
def test_ticks_are_few_round_ordered_and_inside(values: list[float]) -> None:
    scale = fit(values, 0, 100)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(scale.low <= value <= scale.high for value, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


def test_epochs_and_counts_have_whole_ticks() -> None:
    assert [label for _, label in fit([1, 3], 0, 1, margin=0).ticks()] == ["1", "2", "3"]
    assert [label for _, label in fit([0, 0.3], 0, 1, margin=0).ticks()] == [
        "0.00",
        "0.05",
        "0.10",
        "0.15",
        "0.20",
        "0.25",
        "0.30",
    ]


def test_labels_are_moved_apart_in_their_order() -> None:
    assert spread([50, 52, 10], gap=10, top=0, bottom=100) == [50, 60, 10]
    assert spread([99, 98], gap=10, top=0, bottom=100) == [100, 90]
    assert spread([5] * 3, gap=60, top=0, bottom=100) == [0, 50, 100]


def test_thinning_keeps_both_ends() -> None:
    assert thinned(3, 60) == [0, 1, 2]
    assert thinned(601, 61) == list(range(0, 601, 10))


@pytest.mark.parametrize("colours", [style.COLOURS_LIGHT, style.COLOURS_DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_page_and_text_on_them_can_be_read(colours: dict[str, str]) -> None:
    page = colours["page"]
    assert all(style.contrast(page, colours[name]) > 4.5 for name in ("ink", "muted"))
    assert all(style.contrast(page, colours[f"series-{index}"]) > 3 for index in range(1, 9))
    for primitive in PRIMITIVES:
        assert style.contrast(colours[primitive], style.on(colours[primitive])) > 4.5
    for family in ("max_pool_3x3 avg_pool_3x3", "sep_conv_3x3 sep_conv_5x5", "dil_conv_3x3 dil_conv_5x5"):
        one, other = family.split()
        assert style.contrast(colours[one], colours[other]) > 1.8


def test_the_style_sheet_gives_both_schemes_the_same_variables() -> None:
    light, dark = style.stylesheet().split("@media (prefers-color-scheme:dark)")
    assert set(re.findall(r"(--[\w-]+):", light)) == set(re.findall(r"(--[\w-]+):", dark))
    assert len(style.stylesheet()) < 10_000


def test_a_scale_may_be_given_and_a_level_drawn_on_it() -> None:
    rows = [IntervalRow("a", [40.0, 60.0], 50.0, 10.0, 90.0), IntervalRow("b", [70.0], 70.0, None, None)]
    level = Level(50.0, "chance")
    figure = parsed(interval_chart(rows, title="M", unit="%", decimals=1, limits=(0.0, 100.0), level=level))
    assert {"0", "100", "50.0 [10.0, 90.0], n = 2", "chance"} <= set(words(figure))
    (line,) = drawn(figure, "level")
    first, second = (float(dot.attrib["cx"]) for dot in drawn(figure, "seed")[:2])
    assert float(re.findall(r"M([\d.]+)", line.attrib["d"])[0]) == pytest.approx((first + second) / 2, abs=0.1)


def test_labels_avoid_what_lies_beside_them_where_they_can() -> None:
    (free,) = place_labels([(50, 50)], [30], Box(0, 0, 200, 100)) or []
    wall = Box(free.left + 5, 0, free.left + 8, 100)
    (moved,) = place_labels([(50, 50)], [30], Box(0, 0, 200, 100), [wall]) or []
    assert not moved.covers(wall)
    everywhere = Box(0, 0, 200, 100)
    assert place_labels([(50, 50)], [30], Box(0, 0, 200, 100), [everywhere]) == [free]


@given(st.text(min_size=1, max_size=60), st.floats(20, 200))
def test_a_name_that_is_too_broad_keeps_its_beginning_and_its_end(name: str, width: float) -> None:
    short = shortened(name, width)
    assert text_width(short) <= width
    if short != name:
        kept = len(short) - 1
        assert short == f"{name[: kept - kept // 3]}…{name[len(name) - kept // 3 :]}"


def test_names_that_differ_at_their_ends_alone_stay_different_when_shortened() -> None:
    assert shortened("a method with a long name, 10,000 images", 150) == "a method with…images"
