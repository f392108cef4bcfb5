"""Percentiles over the epochs, as lines or as panels."""

import re
from xml.etree import ElementTree

from pcdarts.report.drawing.score_charts import Curve, percentile_chart

POINTS = [(1, 40.0), (2, 60.0), (3, 90.0)]


def chart(*curves: Curve) -> ElementTree.Element:
    return ElementTree.fromstring(percentile_chart(curves, title="When?", x_label="epoch"))


def paths(tree: ElementTree.Element, style: str) -> list[str]:
    """What is drawn in this class outside the key."""
    plots = [svg for svg in tree.iter("svg") if svg.get("class") == "plot"]
    return [place.get("d", "") for svg in plots for place in svg.iter() if place.get("class") == style]


def test_a_curve_is_drawn_between_0_and_100_with_chance_in_the_middle() -> None:
    tree = chart(Curve("a", (), [(1, 0.0), (2, 100.0)]))
    (line,), (chance,) = paths(tree, "line"), paths(tree, "level")
    low, high = (float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", line))
    assert float(re.findall(r"M[\d.]+ ([\d.]+)", chance)[0]) == (low + high) / 2
    assert "chance: 50" in "".join(tree.itertext())


def test_seeds_have_thin_lines_while_they_are_few() -> None:
    few = chart(Curve("a", (), POINTS, [POINTS] * 3), Curve("b", (), POINTS, [POINTS] * 3))
    assert (len(paths(few, "line")), len(paths(few, "line thin"))) == (2, 6)
    many = chart(Curve("a", (), POINTS, [POINTS] * 7), Curve("b", (), POINTS, [POINTS] * 7))
    assert (len(paths(many, "line")), len(paths(many, "line thin"))) == (2, 0)


def test_frozen_epochs_are_shaded_or_where_they_differ_ended_by_a_ring() -> None:
    same = chart(Curve("a", ((1, 2),), POINTS), Curve("b", ((1, 2),), POINTS))
    assert (len(paths(same, "frozen")), len(paths(same, "ring"))) == (1, 0)
    different = chart(Curve("a", ((1, 1), (3, 3)), POINTS), Curve("b", ((1, 1),), POINTS), Curve("never", (), POINTS))
    assert (len(paths(different, "frozen")), len(paths(different, "ring"))) == (0, 3)
    assert "α and β frozen up to here" in "".join(different.itertext())


def test_more_curves_than_there_are_colours_have_a_panel_each() -> None:
    frozen = [((1, 2),) * (number % 2) for number in range(20)]
    tree = chart(*(Curve(f"method {number}", frozen[number], POINTS, [POINTS, POINTS]) for number in range(20)))
    assert len([svg for svg in tree.iter("svg") if svg.get("class") == "plot"]) == 20
    assert len(paths(tree, "level")) == 20
    assert len(paths(tree, "frozen")) == 10
    assert {f"method {number}" for number in range(20)} <= {place.text for place in tree.iter("text")}


def test_of_very_many_curves_the_first_are_drawn_and_the_others_counted() -> None:
    long = [(epoch, 50.0) for epoch in range(1, 601)]
    text = percentile_chart([Curve(str(n), (), long, [long] * 5) for n in range(70)], title="When?", x_label="epoch")
    assert "10 more are not drawn." in text
    assert len(text) < 250_000
