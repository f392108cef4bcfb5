"""Many points without names: panels with one measure each, over the same cells, as a file of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pcdarts.report.drawing.axes import drawable, picture, text
from pcdarts.report.drawing.charts import frame

_ACROSS, _DOWN = 392.0, 290.0
"""From one panel to the next."""
_CAPTION = 26.0
_COLUMNS = 3
_RADIUS = 2.6


@dataclass(frozen=True)
class Panel:
    """Points (x, y), with the words of the x axis, and what is said above them in bold and in plain letters."""

    title: str
    said: str
    x_label: str
    points: Sequence[tuple[float, float]]


def scatter_picture(panels: Sequence[Panel], *, title: str, y_label: str) -> str:
    """The panels in rows of three, all with the same y axis. Points that cannot be drawn, such as infinities, are not.

    There is at least one panel.
    """
    heights = [y for panel in panels for _, y in _drawn(panel)]
    limits = (min(heights), max(heights)) if heights else (0.0, 1.0)
    margin = 0.04 * ((limits[1] - limits[0]) or 1.0)
    parts = [text(0, 14, title, "strong")]
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        body = _panel(panel, y_label, (limits[0] - margin, limits[1] + margin))
        parts.append(f'<g transform="translate({column * _ACROSS:g} {32 + row * _DOWN:g})">{body}</g>')
    columns, rows = min(_COLUMNS, len(panels)), math.ceil(len(panels) / _COLUMNS)
    says = f"{title}. {y_label} against " + "; ".join(f"{panel.x_label}: {panel.said}" for panel in panels)
    return picture(columns * _ACROSS - 20, 32 + rows * _DOWN - 10, says, parts)


def _panel(panel: Panel, y_label: str, limits: tuple[float, float]) -> str:
    points = _drawn(panel)
    x, y, axes = frame(points, panel.x_label, y_label, margin=0.04, limits=limits)
    dots = "".join(f'<circle class="seed" cx="{x(a):.1f}" cy="{y(b):.1f}" r="{_RADIUS}"/>' for a, b in points)
    words = text(0, 12, panel.title, "strong") + text(372, 12, panel.said, "end")
    return f'{words}<g transform="translate(0 {_CAPTION:g})">{"".join(axes)}<g class="s1">{dots}</g></g>'


def _drawn(panel: Panel) -> list[tuple[float, float]]:
    return [(x, y) for x, y in panel.points if drawable(x) and drawable(y)]
