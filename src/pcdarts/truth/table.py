"""A table of NAS-Bench-201: the accuracies of its cells, read from a CSV file or from a folder of NATS-Bench."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pcdarts.cell.arch_string import STRING, read_string, write_string
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.errors import InputError, counted, in_short, shown
from pcdarts.score.csv_file import Rows, content_of, rows_of
from pcdarts.truth.columns import EXPECTED, Column, accuracy_columns, cell_column
from pcdarts.truth.graphs import graph_of

ALL_CELLS = len(NASBENCH201.primitives) ** NASBENCH201.num_edges
"""15,625."""

Edges = tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class TruthTable:
    """The accuracies of cells."""

    path: Path
    columns: tuple[Column, ...]
    cells: tuple[str, ...]
    """In the benchmark's text, each once."""
    accuracies: npt.NDArray[np.float64]
    """`[cells, columns]`, in %."""
    notes: tuple[str, ...]
    """Lines for the user about how it was read."""

    space = NASBENCH201

    @property
    def is_whole(self) -> bool:
        return len(self.cells) == ALL_CELLS

    @property
    def in_words(self) -> str:
        """How many cells it has."""
        return f"all {ALL_CELLS:,} cells" if self.is_whole else f"{len(self.cells):,} of the {ALL_CELLS:,} cells"

    def place(self, genotype: Genotype) -> int | None:
        """The row of a cell; None if the table does not list it.

        Raises:
            InputError: it is no cell of NAS-Bench-201.
        """
        if genotype.form != NASBENCH201.form:
            raise InputError("it is no cell of NAS-Bench-201, and the table knows no other")
        return self._places.get(genotype.to_text())

    def check(self, genotype: Genotype) -> None:
        """Make sure that a cell can be looked up.

        Raises:
            InputError: it is no cell of NAS-Bench-201, or the table does not list it.
        """
        if self.place(genotype) is None:
            same, equal = self.of_graph(genotype), ""
            if same:
                equal = f"; of the same network it lists {counted(len(same), 'cell')}, such as {self.cells[same[0]]}"
            raise InputError(
                f"{self.path}, with {self.in_words}, does not list {genotype.to_text()}{equal}: give a table that does"
            )

    def of_graph(self, genotype: Genotype) -> list[int]:
        """The rows of all cells whose network is the same."""
        return self._graphs.get(graph_of(genotype.normal), [])

    @cached_property
    def graphs(self) -> list[list[int]]:
        """The rows of each network, those of the table that are the same together."""
        return list(self._graphs.values())

    @cached_property
    def ascending(self) -> npt.NDArray[np.float64]:
        """`[cells, columns]`: the accuracies of each column, sorted."""
        return np.sort(self.accuracies, axis=0)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {cell: place for place, cell in enumerate(self.cells)}

    @cached_property
    def _graphs(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place, cell in enumerate(self.cells):
            found.setdefault(graph_of(read_string(cell)), []).append(place)
        return found


def read_truth(path: Path, column: str | None = None) -> TruthTable:
    """Read a table of NAS-Bench-201: a CSV file with a header (plain, gzip, xz, bzip2), or a folder of NATS-Bench.

    Args:
        column: of a CSV file, the only column of accuracies that is read; None reads all.

    Raises:
        InputError: naming file and line: it cannot be read, has no cells or no accuracies, or a row is malformed,
            doubled or incomplete; of a folder, the package `nats_bench` is not installed.
    """
    if path.is_dir():
        from pcdarts.truth.nats import read_folder  # seldom needed

        columns, known = read_folder(path)
        numbers = np.array([*known.values()], dtype=np.float64)
        notes = _notes(path, columns, len(known), "of the folder", ())
        return TruthTable(path, columns, tuple(known), numbers, notes)
    content = content_of(path)
    if content.startswith(b"\x80"):
        raise InputError(f"{path} is a pickle: give the folder of NATS-Bench with one file a cell, or a CSV file")
    header, rows = rows_of(path, content, EXPECTED)
    cells_at = cell_column(path, header, rows)
    found, how = accuracy_columns(path, header, rows, cells_at, column)
    cells = _cells(path, header[cells_at], rows, cells_at)
    numbers = np.array([_accuracies(path, found, line, row) for line, row in rows])
    fractions = [column.name for column, most in zip(found.values(), numbers.max(axis=0), strict=True) if most <= 1]
    numbers = numbers * np.where(numbers.max(axis=0) <= 1, 100.0, 1.0)
    return TruthTable(
        path, (*found.values(),), cells, numbers, _notes(path, (*found.values(),), len(cells), how, fractions)
    )


def is_truth(path: Path) -> bool:
    """Whether this is a table of NAS-Bench-201, rather than one of cells for a regressor (`score/table.py`).

    Raises:
        InputError: it cannot be read.
    """
    if path.is_dir():
        return True
    content = content_of(path)
    if content.startswith(b"\x80"):
        return True
    _, rows = rows_of(path, content, EXPECTED)
    return any(STRING.search(value) for _, row in rows[:20] for value in row)


def _notes(path: Path, columns: Sequence[Column], cells: int, how: str, fractions: Sequence[str]) -> tuple[str, ...]:
    part = f"all {ALL_CELLS:,} cells" if cells == ALL_CELLS else f"{cells:,} of the {ALL_CELLS:,} cells"
    names = in_short([column.name for column in columns])
    lines = [f"{path}: {part} of NAS-Bench-201, {counted(len(columns), 'column')} of accuracies, {how}: {names}"]
    if cells < ALL_CELLS:
        lines.append("ranks, regrets and percentiles are among the cells that it lists")
    if fractions:
        lines.append(f"{in_short(fractions)}: fractions there, taken as %")
    return tuple(lines)


def _cells(path: Path, header: str, rows: Rows, cells_at: int) -> tuple[str, ...]:
    """The cells, each once.

    Raises:
        InputError: naming the line of one that is malformed or was there before.
    """
    lines: dict[str, int] = {}
    for line, row in rows:
        try:
            cell = write_string(read_string(row[cells_at]))
        except InputError as error:
            raise InputError(f"{path}, line {line}: {header}: {error}") from None
        assert cell is not None
        if cell in lines:
            raise InputError(f"{path}, line {line}: the cell {cell} is in line {lines[cell]} already: keep one of them")
        lines[cell] = line
    return tuple(lines)


def _accuracies(path: Path, columns: dict[int, Column], line: int, row: Sequence[str]) -> list[float]:
    found = []
    for index, column in columns.items():
        try:
            value = float(row[index])
        except ValueError:
            value = math.nan
        if not 0 <= value <= 100:
            raise InputError(
                f"{path}, line {line}: {column.name} is {shown(row[index])}, but an accuracy is a number from 0 to 100"
            )
        found.append(value)
    return found
