"""Many points without names: panels with one measure each, over the same cells, as a file of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from pcdarts.report.drawing.axes import drawable, picture, text
from pcdarts.report.drawing.charts import frame

_ACROSS, _DOWN = 392.0, 306.0
"""From one panel to the next."""
_CAPTION = 40.0
_COLUMNS = 3
_RADIUS = 2.6
_FAR_OUT = 3.0
"""Tukey's: so many times the distance of the quartiles beyond them."""


@dataclass(frozen=True)
class Panel:
    """Points (x, y), with the words of the x axis, and what is said above them in bold and in plain letters."""

    title: str
    said: str
    x_label: str
    points: Sequence[tuple[float, float]]


def scatter_picture(panels: Sequence[Panel], *, title: str, y_label: str) -> str:
    """The panels in rows of three, all with the same y axis; there is at least one.

    Points that cannot be drawn, such as infinities, are not. Those that are far from all others stand as hollow circles
    at the edge: an axis that reached them would press the others together.
    """
    reach = _reach([y for panel in panels for _, y in _drawable(panel)])
    parts, outliers = [], 0
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        body, beyond = _panel(panel, y_label, reach)
        outliers += beyond
        parts.append(f'<g transform="translate({column * _ACROSS:g} {32 + row * _DOWN:g})">{body}</g>')
    note = "; hollow: farther out, drawn at the edge" if outliers else ""
    heading = text(0, 14, f"{title}{note}", "strong")
    columns, rows = min(_COLUMNS, len(panels)), math.ceil(len(panels) / _COLUMNS)
    says = f"{title}. {y_label} against " + "; ".join(f"{panel.x_label}: {panel.said}" for panel in panels)
    return picture(columns * _ACROSS - 20, 32 + rows * _DOWN - 10, says, [heading, *parts])


def _panel(panel: Panel, y_label: str, heights: tuple[float, float]) -> tuple[str, int]:
    """The drawing of a panel, and how many of its points are at the edge."""
    points = _drawable(panel)
    widths = _reach([x for x, _ in points])
    places = [(_cut(x, widths), _cut(y, heights)) for x, y in points]
    margin = 0.04 * ((heights[1] - heights[0]) or 1.0)
    limits = (heights[0] - margin, heights[1] + margin)
    across, up, axes = frame(places, panel.x_label, y_label, margin=0.04, limits=limits)
    dots, beyond = "", 0
    for place, point in zip(places, points, strict=True):
        beyond += place != point
        style = "seed" if place == point else "hollow"
        dots += f'<circle class="{style}" cx="{across(place[0]):.1f}" cy="{up(place[1]):.1f}" r="{_RADIUS}"/>'
    words = text(0, 12, panel.title, "strong") + text(0, 28, panel.said)
    return f'{words}<g transform="translate(0 {_CAPTION:g})">{"".join(axes)}<g class="s1">{dots}</g></g>', beyond


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest value that is not far from all others."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 1.0)
    first, _, third = quantiles(values, n=4, method="inclusive")
    far = _FAR_OUT * (third - first)
    near = [value for value in values if first - far <= value <= third + far] if far > 0 else values
    return min(near), max(near)


def _cut(value: float, reach: tuple[float, float]) -> float:
    return min(max(value, reach[0]), reach[1])


def _drawable(panel: Panel) -> list[tuple[float, float]]:
    return [(x, y) for x, y in panel.points if drawable(x) and drawable(y)]
