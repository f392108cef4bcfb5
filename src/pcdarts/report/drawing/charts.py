"""Charts of a report: curves over epochs, methods with their intervals, cost against error.

Each function returns a `<figure>` with inline SVG for a page with `style.stylesheet()`. It has no ids, so a page may
have any number of them. Names are escaped; None, NaN and infinities leave gaps.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from pcdarts.report.drawing.axes import (
    FROZEN_ENTRY,
    Scale,
    Spans,
    drawable,
    figure,
    fit,
    frozen_band,
    key,
    line_sample,
    marker,
    number,
    plot,
    scrolling,
    series,
    text,
    thinned,
)
from pcdarts.report.drawing.labels import Box, label_drawings, place_labels, shortened, text_width

_WIDTH, _HEIGHT = 360, 240
_TOP, _BOTTOM, _RIGHT = 26, 38, 14
_DIGIT = 7
"""About the width of a digit, in SVG units."""
_NAME_WIDTH = 190
_BOLD = 1.1
"""The width of bold text, relative to other text."""
_MOST_POINTS = 200
_RING = 3.5


@dataclass(frozen=True)
class Series:
    """A line: its points (x, y) in the order of x. Series of one name and colour share their entry in the key."""

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: int = 0
    """From 0; also decides dashes and marker, and wraps after eight."""
    step: bool = False
    """Whether a value holds until the next one (a count), instead of moving straight towards it."""
    thin: bool = False
    """Whether it is a thin line without a marker, beside the mean of all lines of its name."""
    moves_after: Sequence[float] = ()
    """Up to each of these x α and β were frozen: marked by rings, in a chart whose lines differ in them."""


class Level(NamedTuple):
    """A value that others are compared with, drawn as a line from side to side."""

    value: float
    name: str

    @property
    def entry(self) -> tuple[str, str, str]:
        """Its entry in a key."""
        return "", '<path class="level" d="M0 6H26"/>', self.name


@dataclass(frozen=True)
class IntervalRow:
    """A method: the value of every seed, their mean, the ends of its interval and the paper's figure, if known."""

    name: str
    values: Sequence[float]
    mean: float | None
    low: float | None
    high: float | None
    paper: float | None = None


@dataclass(frozen=True)
class ScatterPoint:
    """A point with its name beside it; points of one group and colour share their entry in the key."""

    name: str
    x: float
    y: float
    colour: int = 0
    """As for `Series`; it decides the marker as well."""
    group: str = ""


def line_chart(
    lines: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    frozen: Spans = (),
    limits: tuple[float, float] | None = None,
    level: Level | None = None,
    broad: bool = False,
) -> str:
    """Lines with a marker at the end of each; the epochs with `frozen` α and β are shaded.

    At most 200 points of a line are drawn. `limits` are those of y (default: the range of the lines). A `broad` chart
    is twice as wide, with text of the same size.
    """
    points = [(x, y) for line in lines for x, y in line.points if y is not None and drawable(x) and drawable(y)]
    width = 2 * _WIDTH if broad else _WIDTH
    x, y, axes = frame(points, x_label, y_label, limits=limits, width=width)
    entries = [(series(line.colour), line_sample(line.colour), line.name) for line in lines]
    if any(line.moves_after for line in lines):
        entries.append(("", f'<circle class="ring" cx="13" cy="6" r="{_RING}"/>', "α and β frozen up to here"))
    if level:
        axes.append(f'<path class="level" d="M{x.start:.1f} {y(level.value):.1f}H{x.end:g}"/>')
        entries.append(level.entry)
    if shade := frozen_band(x, frozen, y.end, y.start):
        entries.append(FROZEN_ENTRY)
    says = f"{title}: {y_label} over {x_label}, {'; '.join(_in_words(line) for line in lines if not line.thin)}"
    drawing = plot(width, _HEIGHT, says, [*shade, *axes, *(_line(line, x, y) for line in lines)])
    return figure(title, key(entries), scrolling(drawing) if broad else drawing, broad=broad)


def interval_chart(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    unit: str,
    decimals: int = 2,
    limits: tuple[float, float] | None = None,
    level: Level | None = None,
) -> str:
    """A row for each method: a dot for each seed, the mean, its 95 % interval, and the paper's figure.

    The interval of two seeds is often much wider than their distance: an interval that leaves the chart ends in an
    arrow, and its numbers are beside the name. `limits` are those of the scale (default: the range of the rows).
    """
    points = [v for row in rows for v in (*row.values, row.mean, row.paper) if v is not None and drawable(v)]
    ends = [v for row in rows for v in (row.low, row.high) if v is not None and drawable(v)]
    scale = Scale(*limits, 10, _WIDTH - 10) if limits else fit(_within_reach(ends, points), 10, _WIDTH - 10)
    pitch, top = 46, 8
    bottom = top + pitch * len(rows)
    axis = []
    for value, label in _ticks_apart(scale):
        axis.append(f'<path class="grid" d="M{scale(value):.1f} {top}V{bottom}"/>')
        axis.append(text(scale(value), bottom + 15, label, "muted middle"))
    axis.append(text(_WIDTH - 10, bottom + 32, unit, "muted end"))
    if level:
        axis.append(f'<path class="level" d="M{scale(level.value):.1f} {top}V{bottom}"/>')
    drawn = [_interval(row, _summary(row, decimals), scale, top + index * pitch) for index, row in enumerate(rows)]
    entries = [
        ("s1", '<circle class="seed" cx="13" cy="6" r="4"/>', "one seed"),
        ("s1", '<path class="mean" d="M13 0V12"/>', "mean"),
        ("s1", '<path class="line" d="M3 6H23M3 2v8M23 2v8"/>', "95 % interval of the mean"),
    ]
    if any(row.paper is not None for row in rows):
        entries.append(("s2", marker(13, 6, 3, "hollow"), "the paper's figure"))
    if level:
        entries.append(level.entry)
    says = f"{title}, {unit}: " + "; ".join(f"{row.name} {_summary(row, decimals)}" for row in rows)
    return figure(title, key(entries), plot(_WIDTH, bottom + 38, says, [*axis, *drawn]))


def scatter_chart(points: Sequence[ScatterPoint], *, title: str, x_label: str, y_label: str) -> str:
    """Points named in place: cost against error, as in the paper's Figure 3."""
    shown = [point for point in points if drawable(point.x) and drawable(point.y)]
    x, y, axes = frame([(point.x, point.y) for point in shown], x_label, y_label, margin=0.08)
    marks = [f'<g class="{series(p.colour)}">{marker(x(p.x), y(p.y), p.colour)}</g>' for p in shown]
    entries = [(series(p.colour), marker(13, 6, p.colour), p.group) for p in shown if p.group]
    says = f"{title}: " + "; ".join(f"{p.group} {p.name}: {x_label} {p.x:g}, {y_label} {p.y:g}".strip() for p in shown)
    names, numbered = _names(shown, x, y)
    return figure(title, key([*entries, *numbered]), plot(_WIDTH, _HEIGHT, says, [*axes, *marks, *names]))


def frame(
    points: Sequence[tuple[float, float]],
    x_label: str,
    y_label: str,
    margin: float = 0,
    limits: tuple[float, float] | None = None,
    width: float = _WIDTH,
) -> tuple[Scale, Scale, list[str]]:
    """The scales of both axes, and the axes drawn: a grid of level lines, few round ticks, labels."""
    low, high = _HEIGHT - _BOTTOM, _TOP
    y = Scale(*limits, low, high) if limits else fit([y for _, y in points], low, high, 0.05 + margin)
    ticks = y.ticks(at_most=5)
    left = 8 + _DIGIT * max(len(label) for _, label in ticks)
    x = fit([x for x, _ in points], left, width - _RIGHT, margin)
    parts = [f'<path class="grid" d="M{left} {y(value):.1f}H{x.end:g}"/>' for value, _ in ticks]
    parts += [text(left - 6, y(value) + 4, label, "muted end") for value, label in ticks]
    parts.append(f'<path class="axis" d="M{left} {y.start}H{x.end:g}"/>')
    for value, label in _ticks_apart(x):
        parts.append(f'<path class="axis" d="M{x(value):.1f} {y.start}v4"/>')
        parts.append(text(x(value), y.start + 17, label, "muted middle"))
    parts.append(text(0, 12, y_label, "muted"))
    parts.append(text(x.end, _HEIGHT - 3, x_label, "muted end"))
    if not points:
        parts.append(text((left + width) / 2, _HEIGHT / 2, "nothing to show yet", "muted middle"))
    return x, y, parts


def _ticks_apart(x: Scale) -> list[tuple[float, str]]:
    """The ticks of a horizontal axis, few enough to keep their texts apart."""
    at_most = 6
    while True:
        ticks = x.ticks(at_most)
        broadest = max((text_width(label) for _, label in ticks), default=0.0)
        step = x(ticks[1][0]) - x(ticks[0][0]) if len(ticks) > 1 else math.inf
        if step > broadest or at_most == 1:
            return ticks
        at_most -= 1


def _line(line: Series, x: Scale, y: Scale) -> str:
    """The path of a series, broken at its gaps."""
    chosen = [line.points[index] for index in thinned(len(line.points), _MOST_POINTS)]
    path, end = "", None
    for has_place, run in groupby(chosen, key=lambda point: drawable(point[0]) and drawable(point[1])):
        if not has_place:
            continue
        places = [(x(at), y(value)) for at, value in run if value is not None]
        end = places[-1]
        path += f"M{places[0][0]:.1f} {places[0][1]:.1f}"
        path += "".join(f"H{h:.1f}V{v:.1f}" if line.step else f"L{h:.1f} {v:.1f}" for h, v in places[1:])
    mark = marker(*end, line.colour) if end and not line.thin else ""
    for at, value in _rings(line):
        mark += f'<circle class="ring" cx="{x(at):.1f}" cy="{y(value):.1f}" r="{_RING}"/>'
    style = "line thin" if line.thin else "line"
    return f'<g class="{series(line.colour)}"><path class="{style}" d="{path}"/>{mark}</g>' if path else ""


def _rings(line: Series) -> list[tuple[float, float]]:
    """The last points with frozen α and β, of a line that marks them."""
    known = [(x, y) for x, y in line.points if y is not None and drawable(y)]
    before = [[point for point in known if point[0] <= at] for at in line.moves_after]
    return [still[-1] for still in before if still]


def _in_words(line: Series) -> str:
    values = [value for _, value in line.points if value is not None and drawable(value)]
    return f"{line.name} from {values[0]:.4g} to {values[-1]:.4g}" if values else f"{line.name}: nothing yet"


def _within_reach(ends: Iterable[float], points: Sequence[float]) -> list[float]:
    """The points, and the ends of intervals, cut so that the points keep a third of the width."""
    if not points:
        return list(ends)
    low, high = min(points), max(points)
    span = high - low or abs(low) * 0.1
    return [*points, *(min(max(end, low - span), high + span) for end in ends)]


def _interval(row: IntervalRow, summary: str, scale: Scale, top: float) -> str:
    """One method of an interval chart: its name and numbers, and below them the strip."""
    middle = top + 30
    name = shortened(row.name, (_WIDTH - 8 - text_width(summary)) / _BOLD)
    parts = [text(0, top + 14, name, "strong over"), text(_WIDTH, top + 14, summary, "end over")]
    if row.low is not None and row.high is not None and drawable(row.low) and drawable(row.high):
        left, right = max(row.low, scale.low), min(row.high, scale.high)
        path = f"M{scale(left):.1f} {middle}H{scale(right):.1f}"
        path += _cap(scale(left), middle, 0 if left == row.low else 5)
        path += _cap(scale(right), middle, 0 if right == row.high else -5)
        parts.append(f'<path class="line" d="{path}"/>')
    dots = [value for value in row.values if drawable(value)]
    parts += [f'<circle class="seed" cx="{scale(value):.1f}" cy="{middle}" r="4"/>' for value in dots]
    if row.mean is not None and drawable(row.mean):
        parts.append(f'<path class="mean" d="M{scale(row.mean):.1f} {middle - 9}v18"/>')
    strip = f'<g class="s1">{"".join(parts)}</g>'
    if row.paper is not None and drawable(row.paper):
        strip += f'<g class="s2">{marker(scale(row.paper), middle, 3, "hollow")}</g>'
    return strip


def _cap(x: float, y: float, lean: float) -> str:
    """The end of an interval: a stroke across it, or the head of an arrow if it leaves the chart."""
    return f"M{x + lean:.1f} {y - 5:g}L{x:.1f} {y:g}L{x + lean:.1f} {y + 5:g}"


def _summary(row: IntervalRow, decimals: int) -> str:
    if row.mean is None or not drawable(row.mean):
        return "nothing yet"
    said = number(row.mean, decimals)
    if row.low is not None and row.high is not None:
        said += f" [{number(row.low, decimals)}, {number(row.high, decimals)}]"
    return f"{said}, n = {len(row.values)}"


def _names(points: Sequence[ScatterPoint], x: Scale, y: Scale) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The name of every point beside it; if there is no room, numbers and the entries of the key that explain them."""
    area = Box(x.start, _TOP - 8, _WIDTH, y.start)
    places = [(x(point.x), y(point.y)) for point in points]
    names = [shortened(point.name, _NAME_WIDTH) for point in points]
    if placed := place_labels(places, [text_width(name) for name in names], area):
        return label_drawings(places, names, placed, "middle"), []
    numbers = [str(index) for index in range(1, len(points) + 1)]
    placed = place_labels(places, [text_width(digits) for digits in numbers], area)
    entries = [
        (series(point.colour), marker(13, 6, point.colour), f"{digits}: {point.name}")
        for point, digits in zip(points, numbers, strict=True)
    ]
    return label_drawings(places, numbers, placed, "middle") if placed else [], entries
