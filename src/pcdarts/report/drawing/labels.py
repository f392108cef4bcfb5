"""Names beside the points of a chart, none of which covers another one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from pcdarts.report.drawing.axes import text

HEIGHT = 14.0
"""Of a line of text, in SVG units."""
_ABOVE_BASE_LINE = 11.0
_MARKER = 6.0
"""Half of the size of a marker."""
_NEAR = 9.0
"""From the middle of a marker to its name."""
_GRID = 7.0
_NARROW, _BROAD = set(" !'()*,./:;I[]fijlrt|"), set("%@MW\u2014mw\u2026")


@dataclass(frozen=True)
class Box:
    """The rectangle of a text or a marker."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def base_line(self) -> float:
        """Of the text in it."""
        return self.top + _ABOVE_BASE_LINE

    def covers(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > 0 and min(self.bottom, other.bottom) - max(self.top, other.top) > 0

    def holds(self, other: "Box") -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place in it that is closest to x, y."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


def text_width(words: str) -> float:
    """An upper estimate of the width of a text of 12 units: browsers choose the font."""
    return sum(map(_letter_width, words))


def shortened(words: str, width: float) -> str:
    """The text in at most this width, with `…` for a part left out before its end."""
    if text_width(words) <= width:
        return words
    for kept in range(len(words) - 1, 0, -1):
        end = kept // 3
        short = f"{words[: kept - end]}…{words[len(words) - end :]}"
        if text_width(short) <= width:
            return short
    return "…"


def place_labels(
    points: Sequence[tuple[float, float]], widths: Sequence[float], area: Box, beside: Sequence[Box] = ()
) -> list[Box] | None:
    """The place of every label: within the area, and over no other label and no point.

    It is right of its point, left, above or below, if possible without covering `beside`; otherwise the nearest free
    place. None if there is none.
    """
    taken = [Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in points]
    placed = []
    for (x, y), width in zip(points, widths, strict=True):
        near = [box for box in _beside(x, y, width) if _is_free(box, area, taken)]
        clear = [box for box in near if not any(box.covers(other) for other in beside)]
        box = next(iter([*clear, *near]), None) or _nearest(x, y, width, area, [*taken, *beside])
        if box is None:
            return None
        taken.append(box)
        placed.append(box)
    return placed


def leader(x: float, y: float, box: Box) -> tuple[float, float, float, float] | None:
    """The line from a point to its label, from x, y to x, y; None if the label is beside it."""
    to_x, to_y = box.nearest(x, y)
    distance = math.hypot(to_x - x, to_y - y)
    if distance <= _NEAR + 4:
        return None
    share = _MARKER / distance
    return x + share * (to_x - x), y + share * (to_y - y), to_x, to_y


def label_drawings(
    points: Sequence[tuple[float, float]], words: Sequence[str], boxes: Sequence[Box], style: str
) -> list[str]:
    """The labels of points in their boxes as SVG, with lines to those that are not beside their point."""
    lines = [leader(x, y, box) for (x, y), box in zip(points, boxes, strict=True)]
    drawn = [f'<path class="leader" d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}"/>' for a, b, c, d in filter(None, lines)]
    return drawn + [text(box.middle, box.base_line, word, style) for box, word in zip(boxes, words, strict=True)]


def _letter_width(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return 13.0
    return 4.8 if letter in _NARROW else 11.5 if letter in _BROAD else 9.0 if letter.isupper() else 7.5


def _beside(x: float, y: float, width: float) -> list[Box]:
    left, top = x - width / 2, y - HEIGHT / 2
    corners = [
        (x + _NEAR, top),
        (x - _NEAR - width, top),
        (left, y - _NEAR + 2 - HEIGHT),
        (left, y + _NEAR - 2),
        (x + 2, y - _NEAR + 2 - HEIGHT),
        (x + 2, y + _NEAR - 2),
        (x - 2 - width, y - _NEAR + 2 - HEIGHT),
        (x - 2 - width, y + _NEAR - 2),
    ]
    return [Box(at, down, at + width, down + HEIGHT) for at, down in corners]


def _nearest(x: float, y: float, width: float, area: Box, taken: Sequence[Box]) -> Box | None:
    """The free place on a grid that is closest to a point; of equal ones the upper left one."""
    across = range(max(0, int((area.right - area.left - width) / _GRID) + 1))
    down = range(max(0, int((area.bottom - area.top - HEIGHT) / _GRID) + 1))
    corners = [(area.left + _GRID * i, area.top + _GRID * j) for j in down for i in across]
    boxes = [Box(at, top, at + width, top + HEIGHT) for at, top in corners]
    boxes.sort(key=lambda box: math.dist((x, y), box.nearest(x, y)))
    return next((box for box in boxes if _is_free(box, area, taken)), None)


def _is_free(box: Box, area: Box, taken: Sequence[Box]) -> bool:
    return area.holds(box) and not any(box.covers(other) for other in taken)
