"""The parts of every chart: scales, ticks, markers, keys and frames, as text of SVG and HTML."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from pcdarts.errors import listed
from pcdarts.report.drawing.style import FONT, NUM_SERIES, stylesheet

_SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-4-4h8v8h-8z",
    "M0-5l5 9h-10z",
    "M0-5.5l5 5.5-5 5.5-5-5.5z",
    "M-5-4h10l-5 9z",
    "M-2-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "M-5-2h10v4h-10z",
    "M-2-5h4v10h-4z",
)
"""Circle, square, triangle, diamond, inverted triangle, cross, bar, pillar: series differ without colour too."""


_EDGE = 12.0
"""Around a picture that is a file of its own."""


@dataclass(frozen=True)
class Scale:
    """A straight map from `low`..`high` of the data to `start`..`end` in SVG units."""

    low: float
    high: float
    start: float
    end: float
    least_step: float = 0.0
    """The smallest distance of ticks: 1 for epochs and counts."""

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, at_most: int = 6) -> list[tuple[float, str]]:
        """Round values within the scale, few of them, each with its text."""
        step = max(_round_step((self.high - self.low) / at_most), self.least_step)
        decimals = max(0, -math.floor(math.log10(step)))
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        return [(count * step, number(count * step, decimals)) for count in range(first, last + 1)]


def fit(values: Iterable[float], start: float, end: float, margin: float = 0.05) -> Scale:
    """A scale that shows all values, with a margin as a share of their span; without values it shows 0 to 1.

    If all values are whole numbers, its ticks are too.
    """
    shown = list(values) or [0.0, 1.0]
    low, high = min(shown), max(shown)
    least = 1e-9 * max(1, abs(low), abs(high))  # smaller differences and values count as zero
    beyond = (high - low) * margin if high - low > least else abs(low) * 0.1 if abs(low) > least else 0.5
    whole = all(float(value).is_integer() for value in shown)
    return Scale(low - beyond, high + beyond, start, end, least_step=1.0 if whole else 0.0)


def drawable(value: float | None) -> bool:
    """Whether a chart can show a value: None, NaN and infinities leave gaps."""
    return value is not None and abs(value) < 1e100


def number(value: float, decimals: int) -> str:
    """A number for people: thousands apart, a true minus sign."""
    return f"{value:,.{decimals}f}".replace("-", "−")


def thinned(count: int, at_most: int) -> list[int]:
    """At most `at_most` of the indices of `count` things, evenly spread, with the first and the last."""
    if count <= at_most:
        return list(range(count))
    return [round(index * (count - 1) / (at_most - 1)) for index in range(at_most)]


def text(x: float, y: float, content: str, style: str = "") -> str:
    """Escaped text on a base line."""
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.4g}" y="{y:.4g}">{escape(content)}</text>'


def marker(x: float, y: float, colour: int, style: str = "mark") -> str:
    """The mark of a series, of its own shape and colour."""
    shape = _SHAPES[colour % NUM_SERIES]
    return f'<path class="{style}" transform="translate({x:.1f} {y:.1f})" d="{shape}"/>'


def series(colour: int) -> str:
    """The class that gives a series its colour and its dashes."""
    return f"s{colour % NUM_SERIES + 1}"


def key(entries: Iterable[tuple[str, str, str]]) -> str:
    """The key of a chart: for each entry a class, a drawing in a box of 26 x 12 units, and a name.

    Equal entries are given once.
    """
    items = "".join(
        f'<li class="{style}"><svg width="26" height="12" viewBox="0 0 26 12" aria-hidden="true">{drawing}</svg>'
        f"<span>{escape(name)}</span></li>"
        for style, drawing, name in dict.fromkeys(entries)
    )
    return f'<ul class="key">{items}</ul>' if items else ""


def rect(style: str, x: float, y: float, width: float, height: float) -> str:
    """A rectangle by its upper left corner and its size."""
    return f'<rect class="{style}" x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}"/>'


Spans = tuple[tuple[int, int], ...]
"""Epochs from a first to a last one, each counted from 1, such as those with frozen α and β."""

FROZEN_ENTRY = ("", rect("frozen", 4, 0, 18, 12), "α and β frozen")
"""The entry of a key for shaded epochs."""


def frozen_band(x: Scale, frozen: Spans, top: float, bottom: float, style: str = "frozen") -> list[str]:
    """The shades of the `frozen` epochs that are on the scale: each from the end of the epoch before it to its own."""
    cut = [(max(first - 1, x.low), min(last, x.high)) for first, last in frozen]
    return [rect(style, x(low), top, x(high) - x(low), bottom - top) for low, high in cut if high > low]


def line_sample(colour: int) -> str:
    """A line with its marker, as the drawing of an entry of a key."""
    return f'<path class="line" d="M0 6H26"/>{marker(13, 6, colour)}'


def plot(width: float, height: float, says: str, parts: Iterable[str]) -> str:
    """One `<svg>` that scales with the page and says in words what it shows."""
    body = "".join(parts)
    return f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img"><title>{escape(says)}</title>{body}</svg>'


def picture(width: float, height: float, says: str, parts: Iterable[str], mark: str = "") -> str:
    """The same as a file of its own, for light and dark displays; `mark` is a comment in its first line."""
    size = f'width="{width + 2 * _EDGE:g}" height="{height + 2 * _EDGE:g}"'
    box = f'viewBox="{-_EDGE:g} {-_EDGE:g} {width + 2 * _EDGE:g} {height + 2 * _EDGE:g}"'
    paper = rect("paper", -_EDGE, -_EDGE, width + 2 * _EDGE, height + 2 * _EDGE)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} role="img">{mark}<title>{escape(says)}</title>'
        f"<style>{stylesheet()}svg{{{FONT}}}.paper{{fill:var(--page)}}</style>"
        f'{paper}<g class="chart">{"".join(parts)}</g></svg>\n'
    )


def figure(title: str, *parts: str, wide: bool = False, broad: bool = False) -> str:
    """A chart with its title, for a page: `wide` takes the whole width, `broad` is twice as broad as others."""
    style = "chart wide" if wide else "chart broad" if broad else "chart"
    return f'<figure class="{style}"><figcaption>{escape(title)}</figcaption>{"".join(parts)}</figure>'


def in_epochs(spans: Spans) -> str:
    """`in the first epoch`, `in the first 5 epochs and in epochs 26 to 30`."""
    return listed([_in_words(first, last) for first, last in spans], "and")


def _in_words(first: int, last: int) -> str:
    if first == 1:
        return "in the first epoch" if last == 1 else f"in the first {last} epochs"
    return f"in epoch {first}" if first == last else f"in epochs {first} to {last}"


def scrolling(drawing: str) -> str:
    """A drawing that scrolls sideways on a narrow screen instead of shrinking."""
    return f'<div class="drawing">{drawing}</div>'


def spread(heights: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Move labels apart as little as possible, to a distance of `gap` or, if they do not fit, to equal distances."""
    gap = min(gap, (bottom - top) / max(1, len(heights) - 1))
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    lowest = top
    for index in order:
        moved[index] = lowest = max(moved[index], lowest)
        lowest += gap
    highest = bottom
    for index in reversed(order):
        moved[index] = highest = min(moved[index], highest)
        highest -= gap
    return moved


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
