"""Text in columns, and tables on the screen."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:  # reports need `aligned` alone, and are faster without rich
    from rich.console import Console
    from rich.table import Table

WIDTH = 120
"""Columns where there is no terminal to ask."""


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Every row as a line in which each column is as wide as its longest text."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (text + " " * (width - width_of(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes: two for each letter of East Asian scripts, none for added marks."""
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def console() -> "Console":
    """Where tables are printed, as wide as the terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def make_table(*titles: str) -> "Table":
    """A table without frames; every column but those of words is ranged right."""
    from rich import box
    from rich.table import Table

    words = ("", "supernet", "target", "forward + backward")
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for title in titles:
        table.add_column(title, justify="left" if title in words else "right", no_wrap=True)
    return table


def seconds_text(seconds: float) -> str:
    """`1.23 s` or `45.6 ms`."""
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:.1f} ms"
