"""The confusion matrix as a picture: what it shows, from 2 classes to 30, and that it can be read."""

import re
from xml.etree import ElementTree

import pytest

from pcdarts.learn.by_class import ByClass, by_class
from pcdarts.report.drawing.confusion import MOST_CLASSES, STRONGEST, confusion_chart
from pcdarts.report.drawing.style import COLOURS_DARK, COLOURS_LIGHT, contrast

NASTY = ["<script>alert(1)</script>", "靴とサンダル", "x" * 300, "a\nb\x00\x1b[31m\udcff", "", 'שלום "&']


def confused(count: int, names: list[str] | None = None, images: int = 3) -> ByClass:
    """Each class recognised `images` times and taken once for the next one."""
    classes = list(range(count))
    labels = classes * (images + 1)
    return by_class(names or [f"class {index}" for index in classes], labels, classes * images + [*classes[1:], 0])


def numbers_in(chart: str) -> list[str]:
    return re.findall(r'<text class="middle"[^>]*>([^<]*)</text>', chart)


def test_every_cell_that_is_not_0_has_its_number_and_every_row_its_accuracy() -> None:
    chart = confusion_chart(
        by_class(["cat", "dog", "owl"], [0] * 1200 + [1] * 4, [0] * 1100 + [1] * 100 + [1] * 3 + [0])
    )
    assert numbers_in(chart) == ["1,100", "100", "1", "3"]
    for said in ("91.7 %", "75.0 %", "no image", "cat taken for dog: 100; dog taken for cat: 1"):
        assert said in chart
    assert chart.count('class="right"') == 3  # two shades, and the key
    assert chart.count('class="wrong"') == 3


@pytest.mark.parametrize("count", [1, 2, 12, 13, MOST_CLASSES])
def test_matrices_of_all_sizes_are_drawn_in_cells_that_hold_their_numbers(count: int) -> None:
    chart = confusion_chart(confused(count, images=12345))
    assert len(numbers_in(chart)) == (2 * count if count > 1 else 1)
    (size,) = set(re.findall(r"h([\d.]+)v\1h-\1z", chart))
    assert float(size) > 6.5 * len("12,345")
    assert len(chart.encode()) < 40_000  # of the megabyte of a page


def test_more_classes_than_can_be_read_have_no_matrix() -> None:
    assert confusion_chart(confused(MOST_CLASSES + 1)) == ""


def test_names_of_any_kind_are_escaped_and_leave_the_picture_well_formed() -> None:
    chart = confusion_chart(confused(len(NASTY), NASTY))
    assert "<script>" not in chart
    root = ElementTree.fromstring(chart)
    svg = next(element for element in root.iter("svg") if element.get("role") == "img")
    assert float(svg.get("width") or 0) < 700


@pytest.mark.parametrize("colours", [COLOURS_LIGHT, COLOURS_DARK], ids=["light", "dark"])
@pytest.mark.parametrize("hue", ["series-1", "series-2"])
def test_numbers_can_be_read_on_the_strongest_shade(colours: dict[str, str], hue: str) -> None:
    channels = [[int(colours[name][start : start + 2], 16) for start in (1, 3, 5)] for name in (hue, "page")]
    mixed = (round(STRONGEST * one + (1 - STRONGEST) * page) for one, page in zip(*channels, strict=True))
    assert contrast("#" + "".join(f"{value:02x}" for value in mixed), colours["ink"]) > 4.5
