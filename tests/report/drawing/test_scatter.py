"""Panels of many points: where they are drawn, and what is written beside them."""

import math
import re
from xml.etree import ElementTree

from pcdarts.report.drawing.scatter import Panel, scatter_picture

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*panels: Panel, y_label: str = "accuracy, %") -> ElementTree.Element:
    return ElementTree.fromstring(scatter_picture(panels, title="cells", y_label=y_label))


def dots(tree: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in tree.iter(f"{SVG}circle")]


def test_every_point_is_drawn_further_right_and_higher_where_it_is_larger() -> None:
    points = [(0.5, 10.0), (2.0, 90.0), (1.0, 50.0)]
    found = dots(drawn(Panel("one-shot", "tau 1", "one-shot accuracy, %", points)))
    assert len(found) == 3
    (left, low), (right, high), (middle, between) = found
    assert left < middle < right
    assert high < between < low  # SVG counts downwards


def test_panels_share_the_upright_axis_and_stand_side_by_side() -> None:
    first, second = [(0.0, 10.0), (1.0, 90.0)], [(5.0, 10.0)]
    tree = drawn(Panel("a", "", "a", first), Panel("b", "", "b", second))
    found = dots(tree)
    assert found[0][1] == found[2][1]
    places = [re.search(r"translate\(([\d.]+)", group.attrib.get("transform", "")) for group in tree.iter(f"{SVG}g")]
    assert len({place[1] for place in places if place}) == 2


def test_both_axes_say_what_they_show() -> None:
    tree = drawn(Panel("score", "tau 0.5 [0.4, 0.6]", "a < score & more", [(0, 1), (1, 2)]), y_label="truth, %")
    words = ["".join(place.itertext()) for place in tree.iter(f"{SVG}text")]
    assert {"score", "tau 0.5 [0.4, 0.6]", "a < score & more", "truth, %"} <= set(words)
    assert "a < score & more: tau 0.5 [0.4, 0.6]" in (tree.find(f"{SVG}title").text or "")  # type: ignore[union-attr]


def test_what_is_far_from_all_others_stands_hollow_at_the_edge_and_presses_nothing_together() -> None:
    points = [(float(x), 90 + x / 10) for x in range(20)]
    tree = drawn(Panel("a", "", "a", [*points, (1e6, 10.0)]))
    (*near, far) = tree.iter(f"{SVG}circle")
    assert [far.get("class"), {dot.get("class") for dot in near}] == ["hollow", {"seed"}]
    assert len({place for place, _ in dots(tree)}) == 20
    assert dots(tree)[-1] == (dots(tree)[19][0], dots(tree)[0][1])
    assert any("hollow: farther out" in "".join(words.itertext()) for words in tree.iter(f"{SVG}text"))


def test_what_is_not_finite_is_left_out() -> None:
    assert len(dots(drawn(Panel("a", "", "a", [(math.inf, 1), (0, math.nan), (1, 2)])))) == 1
    assert dots(drawn(Panel("a", "", "a", []))) == []
