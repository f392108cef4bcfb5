"""Charts of a report: curves over epochs, methods with their intervals, cost against error.

Each function returns a `<figure>` with inline SVG, to stand in a page that brings `style.stylesheet()` once. Nothing in
it has an id, so any number of them may share a page; names from outside are escaped; None, NaN and infinities leave
gaps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pcdarts.report.axes import (
    FROZEN_ENTRY,
    Scale,
    drawable,
    figure,
    fit,
    key,
    marker,
    number,
    plot,
    rect,
    series,
    text,
    thinned,
)

_WIDTH, _HEIGHT = 360, 240
_TOP, _BOTTOM, _RIGHT = 26, 38, 14
_DIGIT = 7
"""About the width of a digit, and of a letter on average, in SVG units."""
_MOST_POINTS = 200


@dataclass(frozen=True)
class Series:
    """A line: its points (x, y) in the order of x. Series of one name and colour share their entry in the key."""

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: int = 0
    """From 0; also decides dashes and marker, and wraps after eight."""
    step: bool = False
    """Whether a value holds until the next one (a count), instead of moving straight towards it."""


@dataclass(frozen=True)
class IntervalRow:
    """A method: the value of every seed, their mean, the ends of its interval and the paper's figure, where known."""

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


def line_chart(lines: Sequence[Series], *, title: str, x_label: str, y_label: str, frozen: float = 0) -> str:
    """Lines with a marker at the end of each; x up to `frozen`, the epochs in which α and β stood still, is shaded.

    Of more than 200 points of a line, 200 are drawn.
    """
    points = [(x, y) for line in lines for x, y in line.points if y is not None and drawable(x) and drawable(y)]
    x, y, axes = _frame(points, x_label, y_label)
    entries = [(series(line.colour), _sample(line.colour), line.name) for line in lines]
    shade = []
    if frozen > x.low:
        shade = [rect("frozen", x.start, y.end, x(min(frozen, x.high)) - x.start, y.start - y.end)]
        entries.append(FROZEN_ENTRY)
    says = f"{title}: {y_label} over {x_label}, {'; '.join(map(_in_words, lines))}"
    drawing = plot(_WIDTH, _HEIGHT, says, [*shade, *axes, *(_line(line, x, y) for line in lines)])
    return figure(title, key(entries), drawing)


def interval_chart(rows: Sequence[IntervalRow], *, title: str, unit: str) -> str:
    """A row for each method: a dot for each seed, the mean, its 95 % interval, and the paper's figure.

    The interval of two seeds is often many times as wide as their distance: where it leaves the chart it ends in an
    arrow, and the numbers beside the name say all of it.
    """
    points = [v for row in rows for v in (*row.values, row.mean, row.paper) if v is not None and drawable(v)]
    ends = [v for row in rows for v in (row.low, row.high) if v is not None and drawable(v)]
    scale = fit(_within_reach(ends, points), 10, _WIDTH - 10)
    pitch, top = 46, 8
    bottom = top + pitch * len(rows)
    axis = []
    for value, label in scale.ticks():
        axis.append(f'<path class="grid" d="M{scale(value):.1f} {top}V{bottom}"/>')
        axis.append(text(scale(value), bottom + 15, label, "muted middle"))
    axis.append(text(_WIDTH - 10, bottom + 32, unit, "muted end"))
    drawn = [_interval(row, scale, top + index * pitch) for index, row in enumerate(rows)]
    entries = [
        ("s1", '<circle class="seed" cx="13" cy="6" r="4"/>', "one seed"),
        ("s1", '<path class="mean" d="M13 0V12"/>', "mean"),
        ("s1", '<path class="line" d="M3 6H23M3 2v8M23 2v8"/>', "95 % interval of the mean"),
    ]
    if any(row.paper is not None for row in rows):
        entries.append(("s2", marker(13, 6, 3, "hollow"), "the paper's figure"))
    says = f"{title}, {unit}: " + "; ".join(f"{row.name} {_summary(row)}" for row in rows)
    return figure(title, key(entries), plot(_WIDTH, bottom + 38, says, [*axis, *drawn]))


def scatter_chart(points: Sequence[ScatterPoint], *, title: str, x_label: str, y_label: str) -> str:
    """Points named in place: cost against error, as in the paper's Figure 3."""
    shown = [point for point in points if drawable(point.x) and drawable(point.y)]
    x, y, axes = _frame([(point.x, point.y) for point in shown], x_label, y_label, margin=0.08)
    marks = [f'<g class="{series(p.colour)}">{marker(x(p.x), y(p.y), p.colour)}</g>' for p in shown]
    entries = [(series(p.colour), marker(13, 6, p.colour), p.group) for p in shown if p.group]
    says = f"{title}: " + "; ".join(f"{p.group} {p.name}: {x_label} {p.x:g}, {y_label} {p.y:g}".strip() for p in shown)
    return figure(title, key(entries), plot(_WIDTH, _HEIGHT, says, [*axes, *marks, *_names(shown, x, y)]))


def _frame(
    points: Sequence[tuple[float, float]], x_label: str, y_label: str, margin: float = 0
) -> tuple[Scale, Scale, list[str]]:
    """The scales of both axes, and the axes drawn: a grid of level lines, few round ticks, labels."""
    y = fit([y for _, y in points], _HEIGHT - _BOTTOM, _TOP, 0.05 + margin)
    ticks = y.ticks(at_most=5)
    left = 8 + _DIGIT * max(len(label) for _, label in ticks)
    x = fit([x for x, _ in points], left, _WIDTH - _RIGHT, margin)
    parts = [f'<path class="grid" d="M{left} {y(value):.1f}H{_WIDTH - _RIGHT}"/>' for value, _ in ticks]
    parts += [text(left - 6, y(value) + 4, label, "muted end") for value, label in ticks]
    parts.append(f'<path class="axis" d="M{left} {y.start}H{_WIDTH - _RIGHT}"/>')
    for value, label in x.ticks():
        parts.append(f'<path class="axis" d="M{x(value):.1f} {y.start}v4"/>')
        parts.append(text(x(value), y.start + 17, label, "muted middle"))
    parts.append(text(0, 12, y_label, "muted"))
    parts.append(text(_WIDTH - _RIGHT, _HEIGHT - 3, x_label, "muted end"))
    if not points:
        parts.append(text((left + _WIDTH) / 2, _HEIGHT / 2, "nothing to show yet", "muted middle"))
    return x, y, parts


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
    mark = marker(*end, line.colour) if end else ""
    return f'<g class="{series(line.colour)}"><path class="line" d="{path}"/>{mark}</g>' if path else ""


def _sample(colour: int) -> str:
    return f'<path class="line" d="M0 6H26"/>{marker(13, 6, colour)}'


def _in_words(line: Series) -> str:
    values = [value for _, value in line.points if value is not None and drawable(value)]
    return f"{line.name} from {values[0]:.4g} to {values[-1]:.4g}" if values else f"{line.name}: nothing yet"


def _within_reach(ends: Iterable[float], points: Sequence[float]) -> list[float]:
    """The points, and those ends of intervals that would not squeeze them into less than a third of the width."""
    if not points:
        return list(ends)
    low, high = min(points), max(points)
    span = high - low or abs(low) * 0.1
    return [*points, *(min(max(end, low - span), high + span) for end in ends)]


def _interval(row: IntervalRow, scale: Scale, top: float) -> str:
    """One method of an interval chart: its name and numbers, and below them the strip."""
    middle = top + 30
    parts = [text(0, top + 14, _shortened(row.name), "strong over"), text(_WIDTH, top + 14, _summary(row), "end over")]
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


def _summary(row: IntervalRow) -> str:
    if row.mean is None or not drawable(row.mean):
        return "nothing yet"
    said = number(row.mean, 2)
    if row.low is not None and row.high is not None:
        said += f" [{number(row.low, 2)}, {number(row.high, 2)}]"
    return f"{said}, n = {len(row.values)}"


def _shortened(name: str, at_most: int = 26) -> str:
    return name if len(name) <= at_most else name[: at_most - 1] + "…"


def _names(points: Sequence[ScatterPoint], x: Scale, y: Scale) -> list[str]:
    """The name of each point right of it, or left, above or below: where it covers least of markers and other names."""
    taken = [(x(p.x) - 6, y(p.y) - 6, x(p.x) + 6, y(p.y) + 6) for p in points]
    parts = []
    for point in points:
        name, left, top = _shortened(point.name), x(point.x), y(point.y)
        width = _DIGIT * len(name)
        centred = left - width / 2
        places = [(left + 9, top - 7), (left - 9 - width, top - 7), (centred, top - 22), (centred, top + 8)]
        inside = [place for place in places if place[0] >= 0 and place[0] + width <= _WIDTH] or places[:1]
        boxes = [(at, down, at + width, down + 14) for at, down in inside]
        best = min(boxes, key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(best)
        parts.append(text((best[0] + best[2]) / 2, best[1] + 11, name, "middle"))
    return parts


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes (left, top, right, bottom) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
