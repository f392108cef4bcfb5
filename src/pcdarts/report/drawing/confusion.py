"""A confusion matrix as a picture: which classes are taken for which, for a page with `style.stylesheet()`."""

import math
from collections import defaultdict
from html import escape

from pcdarts.errors import counted, shown
from pcdarts.learn.by_class import ByClass
from pcdarts.report.drawing.axes import figure, key, rect, scrolling, text
from pcdarts.report.drawing.labels import shortened, text_width

MOST_CLASSES = 30
"""A larger matrix cannot be read."""
STRONGEST = 0.55
"""The opacity of a whole row in one cell: on it, text in the colour of ink is still easy to read."""
_SHADES = 10
_NAME = 150.0
_DIGIT = 7.5
_TURNED = 50
_PAIRS = 10


def confusion_chart(details: ByClass) -> str:
    """A row for each class, a column for what it was taken for: numbers of images, and shades by the part of the row.

    Empty for more than `MOST_CLASSES` classes.
    """
    count = len(details.classes)
    if count > MOST_CLASSES:
        return ""
    names = [shortened(shown(name, 60), _NAME) for name in details.classes]
    longest = max(map(text_width, names))
    digits = max(len(f"{images:,}") for images in details.counts.values())
    size = max(24.0 if count > 12 else 32.0, _DIGIT * digits + 8)
    left, top = longest + 10, longest * math.sin(math.radians(_TURNED)) + 18
    right, bottom = left + count * size, top + count * size
    width = right + max(70.0, longest * math.cos(math.radians(_TURNED)) + 4)
    parts = [*_cells(details, left, top, size), *_grid(count, left, top, size)]
    for index, name in enumerate(names):
        middle = (index + 0.5) * size
        place = f"translate({left + middle + 4:.1f} {top - 6:.1f}) rotate(-{_TURNED})"
        parts.append(f'<g transform="{place}">{text(0, 0, name)}</g>')
        parts.append(text(left - 6, top + middle + 4, name, "end"))
        accuracy = details.per_class[index].accuracy
        said = "no image" if accuracy is None else f"{accuracy:.1f} %"
        parts.append(text(right + 8, top + middle + 4, said, "muted"))
    svg = (
        f'<svg viewBox="0 0 {width:.0f} {bottom + 4:.0f}" width="{width:.0f}" height="{bottom + 4:.0f}" role="img">'
        f"<title>{escape(_in_words(details))}</title>{''.join(parts)}</svg>"
    )
    entries = [
        ("", f'<g fill-opacity="{STRONGEST}">{rect("right", 4, 0, 18, 12)}</g>', "recognised"),
        ("", f'<g fill-opacity="{STRONGEST}">{rect("wrong", 4, 0, 18, 12)}</g>', "taken for the class of the column"),
    ]
    of_seeds = f"; images of {details.seeds} seeds together" if details.seeds > 1 else ""
    title = f"Confusion matrix: each row is a class, with its accuracy{of_seeds}"
    return figure(title, key(entries), scrolling(svg), wide=True)


def _cells(details: ByClass, left: float, top: float, size: float) -> list[str]:
    """One path for all cells of a shade, and the number in each cell that is not 0."""
    rows = [
        sum(images for (label, _), images in details.counts.items() if label == row)
        for row in range(len(details.classes))
    ]
    shades: dict[tuple[str, int], str] = defaultdict(str)
    numbers = []
    for (row, column), images in sorted(details.counts.items()):
        x, y = left + column * size, top + row * size
        shade = math.ceil(_SHADES * math.sqrt(images / rows[row]))
        shades["right" if row == column else "wrong", shade] += f"M{x:.1f} {y:.1f}h{size:.4g}v{size:.4g}h-{size:.4g}z"
        numbers.append(text(x + size / 2, y + size / 2 + 4, f"{images:,}", "middle"))
    cells = [
        f'<path class="{style}" fill-opacity="{STRONGEST * shade / _SHADES:.3g}" d="{path}"/>'
        for (style, shade), path in shades.items()
    ]
    return cells + numbers


def _grid(count: int, left: float, top: float, size: float) -> list[str]:
    side = count * size
    lines = "".join(
        f"M{left:.1f} {top + index * size:.1f}h{side:.4g}M{left + index * size:.1f} {top:.1f}v{side:.4g}"
        for index in range(count + 1)
    )
    return [f'<path class="grid" d="{lines}"/>']


def _in_words(details: ByClass) -> str:
    wrong = sorted((-images, pair) for pair, images in details.counts.items() if pair[0] != pair[1])
    classes = [shown(name, 60) for name in details.classes]
    said = [f"{classes[label]} taken for {classes[taken]}: {-images:,}" for images, (label, taken) in wrong[:_PAIRS]]
    size = f"Confusion matrix of {counted(len(classes), 'class', 'classes')}"
    return f"{size}; most often {'; '.join(said)}" if said else f"{size}; no mistake"
