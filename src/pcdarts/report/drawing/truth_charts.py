"""All cells of a table from the best to the worst, and where on this curve the cells stand that were found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pcdarts.report.drawing.axes import Scale, figure, fit, key, marker, picture, plot, scrolling, series, text
from pcdarts.report.drawing.front import GENERATED
from pcdarts.report.drawing.labels import shortened
from pcdarts.report.drawing.style import NUM_SERIES

_WIDTH, _HEIGHT = 720.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 26.0, 38.0
_MOST_POINTS = 240
_CURVE = 'class="axis" fill="none" stroke-width="2"'
_DOWN, _LINE, _KEY = 350.0, 18.0, 250.0
"""Of a picture: from one column to the next, a line of its key, and the width of that."""


@dataclass(frozen=True)
class Found:
    """A cell that was found: by whom, its rank (1 is the best) and its accuracy; `times` by so many of them."""

    name: str
    rank: int
    accuracy: float
    times: int = 1


@dataclass(frozen=True)
class SortedCells:
    """All cells of one column, and those that were found."""

    title: str
    ascending: Sequence[float]
    """The accuracies of all cells, from the worst."""
    found: Sequence[Found]

    @property
    def says(self) -> str:
        """What is drawn, in words."""
        marks = [f"{each.name} rank {each.rank:,}, {each.accuracy:.2f} %" for each in self.found]
        return f"{self.title}: " + "; ".join(marks)


def sorted_curve(cells: SortedCells) -> str:
    """The accuracies of all cells over their rank, on a logarithmic axis with the best at the right, and those found.

    Each name has a mark of its own colour and shape, of up to 64 names.
    """
    names = [*dict.fromkeys(each.name for each in cells.found)]
    entries = [(series(number), marker(13, 6, _shape(number)), name) for number, name in enumerate(names)]
    entries.append(("", f'<path {_CURVE} d="M0 6H26"/>', f"all {len(cells.ascending):,} cells"))
    drawing = plot(_WIDTH, _HEIGHT, cells.says, _drawn(cells, names))
    return figure(cells.title, key(entries), scrolling(drawing), broad=True)


def sorted_picture(columns: Sequence[SortedCells], title: str) -> str:
    """The same for several columns, one below the other, as a file of its own with one key at the right."""
    names = [*dict.fromkeys(each.name for cells in columns for each in cells.found)]
    parts = [text(0, 14, title, "strong")]
    for number, cells in enumerate(columns):
        body = (
            text(0, 12, cells.title, "strong") + f'<g transform="translate(0 20)">{"".join(_drawn(cells, names))}</g>'
        )
        parts.append(f'<g transform="translate(0 {30 + number * _DOWN:g})">{body}</g>')
    for number, name in enumerate(names):
        down = 60 + number * _LINE
        mark = f'<g class="{series(number)}">{marker(_WIDTH + 20, down - 4, _shape(number))}</g>'
        parts.append(mark + text(_WIDTH + 34, down, shortened(name, _KEY - 40)))
    height = max(30 + len(columns) * _DOWN, 60 + len(names) * _LINE)
    return picture(_WIDTH + _KEY, height, "; ".join(cells.says for cells in columns), parts, mark=GENERATED)


def _drawn(cells: SortedCells, names: Sequence[str]) -> list[str]:
    ascending, total = cells.ascending, len(cells.ascending)
    x, y, parts = _axes(ascending, cells.found)
    ranks = sorted({round(math.exp(step)) for step in _steps(total)} | {1, total})
    points = [(rank, ascending[total - rank]) for rank in reversed(ranks) if ascending[total - rank] >= y.low]
    line = "L".join(f"{x(rank):.1f} {y(accuracy):.1f}" for rank, accuracy in points)
    parts.append(f'<path {_CURVE} d="M{line}"/>')
    for each in cells.found:
        number = names.index(each.name)
        at, height = x(each.rank), y(each.accuracy)
        parts.append(f'<g class="{series(number)}">{marker(at, height, _shape(number))}</g>')
        if each.times > 1:
            parts.append(text(at + 6, height - 5, f"×{each.times}", "muted"))
    return parts


@dataclass(frozen=True)
class _Ranks:
    """Ranks on a logarithmic axis, the best at the right."""

    total: int

    def __call__(self, rank: float) -> float:
        share = math.log(rank) / math.log(max(2, self.total))
        return _WIDTH - _RIGHT - share * (_WIDTH - _RIGHT - _LEFT)


def _axes(ascending: Sequence[float], found: Sequence[Found]) -> tuple[_Ranks, Scale, list[str]]:
    """From the median cell, or the worst one found, to the best."""
    total = len(ascending)
    low = min([ascending[total // 2], *(each.accuracy for each in found)])
    x, y = _Ranks(total), fit([low, ascending[-1]], _HEIGHT - _BOTTOM, _TOP, 0.04)
    parts = []
    for value, label in y.ticks(at_most=6):
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y(value):.1f}H{_WIDTH - _RIGHT:g}"/>')
        parts.append(text(_LEFT - 6, y(value) + 4, label, "muted end"))
    rank = 1
    while rank <= total:
        parts.append(f'<path class="axis" d="M{x(rank):.1f} {y.start:g}v4"/>')
        parts.append(text(x(rank), y.start + 17, f"{rank:,}", "muted middle"))
        rank *= 10
    parts.append(f'<path class="axis" d="M{_LEFT:g} {y.start:g}H{_WIDTH - _RIGHT:g}"/>')
    parts.append(text(0, 12, "accuracy (%)", "muted"))
    parts.append(text(_WIDTH - _RIGHT, _HEIGHT - 3, "rank, the best cell at the right", "muted end"))
    return x, y, parts


def _steps(total: int) -> list[float]:
    """Logarithms of ranks, evenly spread."""
    return [math.log(total) * step / (_MOST_POINTS - 1) for step in range(_MOST_POINTS)]


def _shape(number: int) -> int:
    """Another shape for each round of colours."""
    return number + number // NUM_SERIES
