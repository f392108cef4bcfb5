"""Text in columns, and tables on the screen."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # reports need `aligned` alone, and are faster without rich
    from rich.console import Console
    from rich.table import Table

WIDTH = 120
"""Columns where there is no terminal to ask."""


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Every row as a line in which each column is as wide as its longest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


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
