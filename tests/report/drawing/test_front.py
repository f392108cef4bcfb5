"""The front: which searches are on it, and how it is drawn."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from pcdarts.report.drawing.front import FrontPoint, front, front_chart, front_picture

SVG = "{http://www.w3.org/2000/svg}"


def point(name: str, minutes: float | None, mean: float, low: float | None = None, high: float | None = None):
    return FrontPoint(name, minutes, mean, low, high)


CHEAP, BETTER, DEAR = point("cheap", 1, 60, 40, 80), point("better", 10, 90, 75, 100), point("dear", 20, 85, 60, 95)
WORSE, FREE, DRAWN = (
    point("worse than chance", 0.5, 30),
    point("published", None, 99),
    point("random", None, 49, 30, 68),
)


def picture(*points: FrontPoint) -> ElementTree.Element:
    return ElementTree.fromstring(front_picture(points))


def words(tree: ElementTree.Element) -> list[str]:
    return ["".join(place.itertext()) for place in tree.iter(f"{SVG}text")]


def dots(tree: ElementTree.Element, style: str) -> list[tuple[float, float]]:
    """The middles of the marks of this kind, but for that in the key."""
    found = [
        (float(p.attrib["cx"]), float(p.attrib["cy"])) for p in tree.iter(f"{SVG}circle") if p.get("class") == style
    ]
    return [place for place in found if place != (8, -4)]


def test_the_front_holds_what_no_other_search_and_no_blind_draw_beats() -> None:
    assert front([DEAR, FREE, BETTER, WORSE, DRAWN, CHEAP]) == [CHEAP, BETTER]


def test_of_equally_dear_searches_only_the_better_one_is_on_the_front() -> None:
    assert front([point("a", 5, 70), point("b", 5, 80), point("c", 6, 80)]) == [point("b", 5, 80)]


def test_a_front_that_only_chance_is_on_is_empty_and_still_drawn() -> None:
    assert front([WORSE]) == []
    assert not any("on the front" in said for said in words(picture(WORSE)))


def test_what_needs_no_search_makes_no_front_of_its_own() -> None:
    assert front_chart([FREE, DRAWN]) == front_picture([FREE, DRAWN]) == ""


def test_every_point_is_drawn_once_higher_where_it_is_better_and_further_right_where_it_is_dearer() -> None:
    tree = picture(CHEAP, BETTER, DEAR, FREE, DRAWN)
    (cheap, better), (dear,) = dots(tree, "mark"), dots(tree, "hollow")
    assert cheap[0] < better[0] < dear[0]
    assert better[1] < dear[1] < cheap[1]
    assert {"cheap", "better", "dear", "published", "random"} <= set(words(tree))
    assert len([p for p in tree.iter(f"{SVG}path") if p.get("class") == "reach"]) == 4  # and none for what is given


def test_ten_times_as_many_minutes_are_always_as_far_to_the_right() -> None:
    places = [across for across, _ in dots(picture(*(point(str(m), m, 40 - m / 100) for m in (1, 10, 100))), "hollow")]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)


@pytest.mark.parametrize(("least", "most"), [(2.5, 3.4), (7, 7), (0.01, 0.02), (1, 900), (50, 60)])
def test_any_axis_has_round_minutes_in_rising_order(least: float, most: float) -> None:
    tree = picture(point("a", least, 40), point("b", most, 45))
    texts = [(float(place.attrib["y"]), str(place.text)) for place in tree.iter(f"{SVG}text")]
    below = min(y for y, said in texts if said.startswith("minutes")) - 17  # where the numbers of this axis stand
    minutes = [float(said) for y, said in texts if y == below]
    assert len(minutes) >= 2
    assert all(one < other for one, other in pairwise(minutes))
    assert all(least / 1.5 <= number <= most * 1.5 for number in minutes)


def test_names_that_find_no_room_are_numbers_and_stand_below() -> None:
    names = [f"a method of which much is to be said, namely {index}" for index in range(25)]
    tree = picture(*(point(name, 5 + index / 100, 60, 20, 90) for index, name in enumerate(names)))
    assert {f"{number}: {name}" for number, name in enumerate(names, start=1)} <= set(words(tree))
    height = float(tree.attrib["viewBox"].split()[-1])
    assert max(float(p.attrib["y"]) for p in tree.iter(f"{SVG}text")) < height


def test_long_names_that_would_look_alike_are_numbers_too() -> None:
    names = [f"a name that goes on and {middle} on until no room is left" for middle in ("still", "again")]
    assert {f"1: {names[0]}", f"2: {names[1]}"} <= set(words(picture(*(point(n, 9, 60) for n in names))))


def test_the_picture_stands_alone_and_names_in_it_do_nothing() -> None:
    hostile = "<script>alert('\"&')</script>"
    text = front_picture([point(hostile, 3, 70)])
    tree = ElementTree.fromstring(text)
    assert tree.tag == f"{SVG}svg"
    assert hostile in words(tree)
    assert "<script" not in text
    assert not re.search(r"url\(|@import|href", text)
    assert "prefers-color-scheme:dark" in text


def test_the_picture_says_in_words_what_it_shows() -> None:
    said = picture(CHEAP, FREE).findtext(f"{SVG}title") or ""
    assert "cheap 60.0 [40.0, 80.0] in 1 minutes, on the front" in said
    assert "published 99.0 without a search" in said
