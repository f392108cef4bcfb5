"""The front: percentile against minutes of search, and the searches that no other one beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pcdarts.report.drawing.axes import Scale, figure, number, picture, plot, scrolling, text
from pcdarts.report.drawing.labels import HEIGHT as LINE
from pcdarts.report.drawing.labels import Box, label_drawings, leader, place_labels, shortened, text_width
from pcdarts.report.drawing.score_charts import CHANCE, LIMITS

GENERATED = "<!-- pcdarts report -->"
"""Marks a picture as ours in its first lines: such a picture may be replaced."""
TITLE = "The front: percentile against minutes of search"
_WIDTH, _BOTTOM, _TOP = 720.0, 360.0, 38.0
_LEFT, _RIGHT = 34.0, 706.0
_FREE = 78.0
"""The width of the strip for cells that need no search."""
_NAME_WIDTH = 220.0
_MOST_NAMES = 40
_MINUTES = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0))
"""Ticks of a logarithmic axis in each power of ten, from few to many."""


@dataclass(frozen=True)
class FrontPoint:
    """A method: the mean percentile of its searches, and the time of one."""

    name: str
    minutes: float | None
    """None without a search: given and random cells."""
    mean: float
    low: float | None
    """The ends of the interval of the mean over seeds; None for a single seed and for a given cell."""
    high: float | None


def front(points: Sequence[FrontPoint]) -> list[FrontPoint]:
    """The searches, cheapest first, that are better than chance and than every search that costs no more."""
    found: list[FrontPoint] = []
    best = CHANCE.value
    searched = [(point.minutes, -point.mean, at) for at, point in enumerate(points) if point.minutes is not None]
    for point in (points[at] for _, _, at in sorted(searched)):
        if point.mean > best:
            found.append(point)
            best = point.mean
    return found


def front_chart(points: Sequence[FrontPoint]) -> str:
    """The picture for a page with `style.stylesheet()`; empty without a search."""
    body, height, says = _drawn(points)
    if not body:
        return ""
    svg = plot(_WIDTH, height, says, [body])
    return figure(TITLE, scrolling(svg), broad=True)


def front_picture(points: Sequence[FrontPoint]) -> str:
    """The picture as an SVG file, for light and dark displays; empty without a search."""
    body, height, says = _drawn(points)
    if not body:
        return ""
    return picture(_WIDTH, height, says, [body], mark=GENERATED)


def _drawn(points: Sequence[FrontPoint]) -> tuple[str, float, str]:
    """The contents of the picture, its height, and its description in words."""
    searched = [point.minutes for point in points if point.minutes is not None]
    if not searched:
        return "", 0.0, ""
    is_free = len(searched) < len(points)
    first = _LEFT + (_FREE + 12 if is_free else 0)
    low, high = math.log10(min(searched)), math.log10(max(searched))
    margin = max(0.08 * (high - low), 0.06)
    x = Scale(low - margin, high + margin, first, _RIGHT)
    y = Scale(*LIMITS, _BOTTOM, _TOP)
    best = front(points)
    places = [(_LEFT + _FREE / 2 if p.minutes is None else x(math.log10(p.minutes)), y(p.mean)) for p in points]
    marks = [_mark(p, at, y, p in best) for p, at in zip(points, places, strict=True)]
    names, rows = _names(points, places, y)
    parts = [*_axes(x, y, is_free), _stairs(best, x, y), *marks, *names]
    below, height = _key(points, rows, bool(best))
    says = f"{TITLE}: " + "; ".join(_in_words(point, point in best) for point in points)
    return "".join([*parts, *below]), height, says


def _axes(x: Scale, y: Scale, is_free: bool) -> list[str]:
    parts = [text(0, 12, "percentile among random cells: mean over seeds", "muted")]
    for value in (0, 25, 50, 75, 100):
        if value != CHANCE.value:
            parts.append(f'<path class="grid" d="M{_LEFT:g} {y(value):.1f}H{_RIGHT:g}"/>')
        parts.append(text(_LEFT - 6, y(value) + 4, str(value), "muted end"))
    parts.append(f'<path class="level" d="M{_LEFT:g} {y(CHANCE.value):.1f}H{_RIGHT:g}"/>')
    parts.append(f'<path class="axis" d="M{x.start:g} {_BOTTOM:g}H{_RIGHT:g}"/>')
    if is_free:
        parts.append(f'<path class="axis" d="M{_LEFT:g} {_BOTTOM:g}h{_FREE:g}"/>')
        parts.append(text(_LEFT + _FREE / 2, _BOTTOM + 17, "no search", "muted middle"))
    for minutes in _ticks(x):
        at = x(math.log10(minutes))
        parts.append(f'<path class="axis" d="M{at:.1f} {_BOTTOM:g}v4"/>')
        parts.append(text(at, _BOTTOM + 17, f"{minutes:g}", "muted middle"))
    parts.append(text(_RIGHT, _BOTTOM + 34, "minutes of a search, on a logarithmic axis", "muted end"))
    return parts


def _ticks(x: Scale) -> list[float]:
    """Round numbers of minutes: few, but at least three."""
    low, high = 10**x.low, 10**x.high
    powers = range(math.floor(x.low), math.ceil(x.high) + 1)
    for factors in _MINUTES:
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        if len(found := [minutes for minutes in ticks if low <= minutes <= high]) >= 3:
            return found
    return [minutes for minutes, _ in Scale(low, high, 0, 1).ticks(at_most=5)]


def _mark(point: FrontPoint, place: tuple[float, float], y: Scale, is_best: bool) -> str:
    """A point with its interval; a bar for cells that need no search."""
    across, down = place
    drawn = ""
    if point.low is not None and point.high is not None:
        low, high = y(point.low), y(point.high)
        drawn += f'<path class="reach" d="M{across:.1f} {low:.1f}V{high:.1f}M{across - 4:.1f} {low:.1f}h8'
        drawn += f'M{across - 4:.1f} {high:.1f}h8"/>'
    if point.minutes is None:
        drawn += f'<path class="mean" d="M{across - 7:.1f} {down:.1f}h14"/>'
        return f'<g class="s3">{drawn}</g>'
    drawn += f'<circle class="{"mark" if is_best else "hollow"}" cx="{across:.1f}" cy="{down:.1f}" r="4.5"/>'
    return f'<g class="{"s2" if is_best else "s1"}">{drawn}</g>'


def _stairs(best: Sequence[FrontPoint], x: Scale, y: Scale) -> str:
    """The percentile of the best search within so many minutes."""
    if not best:
        return ""
    places = [(x(math.log10(point.minutes or 1)), y(point.mean)) for point in best]
    path = f"M{places[0][0]:.1f} {y(CHANCE.value):.1f}V{places[0][1]:.1f}"
    path += "".join(f"H{across:.1f}V{down:.1f}" for _, (across, down) in pairwise(places))
    return f'<g class="s2"><path class="stairs" d="{path}H{x.end:g}"/></g>'


def _names(
    points: Sequence[FrontPoint], places: Sequence[tuple[float, float]], y: Scale
) -> tuple[list[str], list[str]]:
    """The name of every point beside it; or numbers, and the rows of the key that explain them."""
    area = Box(_LEFT, _TOP - 22, _WIDTH, _BOTTOM)
    intervals = [
        Box(across - 3, y(point.high), across + 3, y(point.low))
        for point, (across, _) in zip(points, places, strict=True)
        if point.low is not None and point.high is not None
    ]
    names = [shortened(point.name, _NAME_WIDTH) for point in points]
    numbers = [str(index) for index in range(1, len(points) + 1)]
    for words in (names, numbers) if len(points) <= _MOST_NAMES else (numbers,):
        boxes = place_labels(places, [text_width(word) for word in words], area, intervals) or []
        far = sum(leader(*place, box) is not None for place, box in zip(places, boxes, strict=False))
        if boxes and len(set(words)) == len(words) and far <= len(words) / 3:
            break
    drawn = label_drawings(places, words, boxes, "middle over") if boxes else []
    return drawn, [] if words is names else [f"{n}: {p.name}" for n, p in zip(numbers, points, strict=True)]


def _key(points: Sequence[FrontPoint], rows: Sequence[str], has_front: bool) -> tuple[list[str], float]:
    """The key below the chart, with the rows that explain numbers, and the height where it ends."""
    on_it, another = (f'<circle class="{style}" cx="8" cy="-4" r="4.5"/>' for style in ("mark s2", "hollow s1"))
    entries = [(on_it, "on the front: better than all that cost no more")] if has_front else []
    entries.append((another, "another search"))
    if any(point.minutes is None for point in points):
        entries.append(('<path class="mean s3" d="M0 -4h16"/>', "needs no search"))
    if any(point.low is not None for point in points):
        entries.append(('<path class="reach s1" d="M8 -10v12M4 -10h8M4 2h8"/>', "95 % interval"))
    entries.append(('<path class="level" d="M0 -4h16"/>', CHANCE.name))
    parts = []
    across, down = 0.0, _BOTTOM + 58
    for drawing, words in entries:
        width = 24 + text_width(words) + 14
        if across + width > _WIDTH:
            across, down = 0.0, down + LINE + 5
        parts.append(f'<g transform="translate({across:.1f} {down:.1f})">{drawing}{text(24, 0, words)}</g>')
        across += width
    broadest = max(map(text_width, rows), default=0.0) + 16
    columns = max(1, min(4, int(_WIDTH / broadest)))
    per_column = math.ceil(len(rows) / columns)
    for index, row in enumerate(rows):
        column, line = divmod(index, per_column)
        place = (column * _WIDTH / columns, down + 24 + line * (LINE + 3))
        parts.append(text(*place, shortened(row, _WIDTH / columns - 16)))
    return parts, down + (24 + per_column * (LINE + 3) if rows else 10)


def _in_words(point: FrontPoint, is_best: bool) -> str:
    said = f"{point.name} {number(point.mean, 1)}"
    if point.low is not None and point.high is not None:
        said += f" [{number(point.low, 1)}, {number(point.high, 1)}]"
    said += " without a search" if point.minutes is None else f" in {point.minutes:.3g} minutes"
    return f"{said}, on the front" if is_best else said
