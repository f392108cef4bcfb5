"""Names beside the points of a chart, so placed that none covers another one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

HEIGHT = 14.0
"""Of a line of text, in SVG units."""
_ABOVE_BASE_LINE = 11.0
_MARKER = 6.0
"""Half of what a marker takes."""
_NEAR = 9.0
"""From the middle of a marker to its name."""
_GRID = 7.0
_NARROW, _BROAD = set(" !'()*,./:;I[]fijlrt|"), set("%@MW\u2014mw\u2026")


@dataclass(frozen=True)
class Box:
    """A rectangle that text or a marker takes."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def base_line(self) -> float:
        """Where the text in it stands."""
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
        """The place in it that is closest to another one."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


def text_width(text: str) -> float:
    """About what a text of 12 units takes, rather more than less: browsers choose the font."""
    return sum(_letter_width(letter) for letter in text)


def shortened(text: str, width: float) -> str:
    """The text in no more than this width: with `…` for what is left out of it, so that its end stays to be seen."""
    if text_width(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        end = kept // 3
        short = f"{text[: kept - end]}…{text[len(text) - end :]}"
        if text_width(short) <= width:
            return short
    return "…"


def place_labels(
    points: Sequence[tuple[float, float]], widths: Sequence[float], area: Box, beside: Sequence[Box] = ()
) -> list[Box] | None:
    """Where the label of every point goes: within the area, and over no other label and no point.

    Right of its point, left, above or below, if it can be over nothing of `beside`; else at the nearest place that is
    free. None if one finds no place.
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
    """The line from a point to its label, from x, y to x, y; None where the label is beside it."""
    to_x, to_y = box.nearest(x, y)
    distance = math.hypot(to_x - x, to_y - y)
    if distance <= _NEAR + 4:
        return None
    share = _MARKER / distance
    return x + share * (to_x - x), y + share * (to_y - y), to_x, to_y


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
    """The free place that is closest to a point, on a grid; of places equally far the upper left one."""
    across = range(max(0, int((area.right - area.left - width) / _GRID) + 1))
    down = range(max(0, int((area.bottom - area.top - HEIGHT) / _GRID) + 1))
    corners = [(area.left + _GRID * i, area.top + _GRID * j) for j in down for i in across]
    boxes = [Box(at, top, at + width, top + HEIGHT) for at, top in corners]
    boxes.sort(key=lambda box: math.dist((x, y), box.nearest(x, y)))
    return next((box for box in boxes if _is_free(box, area, taken)), None)


def _is_free(box: Box, area: Box, taken: Sequence[Box]) -> bool:
    return area.holds(box) and not any(box.covers(other) for other in taken)
