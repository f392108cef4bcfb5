"""All cells of a table from the best to the worst, and where on this curve the cells stand that were found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pcdarts.report.drawing.axes import Scale, figure, fit, key, marker, plot, scrolling, series, text
from pcdarts.report.drawing.style import NUM_SERIES

_WIDTH, _HEIGHT = 720.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 26.0, 38.0
_MOST_POINTS = 240


@dataclass(frozen=True)
class Found:
    """A cell that was found: by whom, its rank (1 is the best) and its accuracy; `times` by so many of them."""

    name: str
    rank: int
    accuracy: float
    times: int = 1


def sorted_curve(ascending: Sequence[float], found: Sequence[Found], *, title: str, unit: str) -> str:
    """The accuracies of all cells over their rank, on a logarithmic axis with the best at the right, and those found.

    `ascending` are the accuracies from the worst. A name has a mark of its own colour and shape, of up to 64 names.
    """
    x, y, parts = _axes(ascending, found, unit)
    total = len(ascending)
    ranks = sorted({round(math.exp(step)) for step in _steps(total)} | {1, total})
    points = [(rank, ascending[total - rank]) for rank in reversed(ranks) if ascending[total - rank] >= y.low]
    line = "L".join(f"{x(rank):.1f} {y(accuracy):.1f}" for rank, accuracy in points)
    parts.append(f'<path class="axis" fill="none" stroke-width="2" d="M{line}"/>')
    names = [*dict.fromkeys(each.name for each in found)]
    for each in found:
        number = names.index(each.name)
        at, height = x(each.rank), y(each.accuracy)
        parts.append(f'<g class="{series(number)}">{marker(at, height, _shape(number))}</g>')
        if each.times > 1:
            parts.append(text(at + 6, height - 5, f"×{each.times}", "muted"))
    entries = [(series(number), marker(13, 6, _shape(number)), name) for number, name in enumerate(names)]
    entries.append(("", '<path class="axis" fill="none" stroke-width="2" d="M0 6H26"/>', f"all {total:,} cells"))
    says = f"{title}: " + "; ".join(f"{each.name} rank {each.rank:,}, {each.accuracy:.2f} %" for each in found)
    return figure(title, key(entries), scrolling(plot(_WIDTH, _HEIGHT, says, parts)), broad=True)


@dataclass(frozen=True)
class _Ranks:
    """Ranks on a logarithmic axis, the best at the right."""

    total: int

    def __call__(self, rank: float) -> float:
        share = math.log(rank) / math.log(max(2, self.total))
        return _WIDTH - _RIGHT - share * (_WIDTH - _RIGHT - _LEFT)


def _axes(ascending: Sequence[float], found: Sequence[Found], unit: str) -> tuple[_Ranks, Scale, list[str]]:
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
    parts.append(text(0, 12, unit, "muted"))
    parts.append(text(_WIDTH - _RIGHT, _HEIGHT - 3, "rank, the best cell at the right", "muted end"))
    return x, y, parts


def _steps(total: int) -> list[float]:
    """Logarithms of ranks, evenly spread."""
    return [math.log(total) * step / (_MOST_POINTS - 1) for step in range(_MOST_POINTS)]


def _shape(number: int) -> int:
    """Another shape for each round of colours."""
    return number + number // NUM_SERIES
