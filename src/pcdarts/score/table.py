"""A table of cells with known accuracy, read from a CSV file and checked."""

import bz2
import csv
import gzip
import hashlib
import io
import lzma
import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcdarts.cell.canonical import canonical
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, PRIMITIVES, CellSpace
from pcdarts.errors import InputError, counted, did_you_mean, in_short, listed, shown

FEWEST = 50
"""Cells that a regressor needs."""
_MAX_BYTES = 200 * 2**20
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open, b"BZh": bz2.open}
"""By the bytes that a file begins with."""
_EXPECTED = 'a header such as genotype,accuracy, and rows such as "Genotype(normal=[...], ...)",93.4'


@dataclass(frozen=True)
class KnownCell:
    """A row of the table, or the mean of rows that are one graph."""

    genotype: Genotype
    """In canonical form."""
    accuracy: float
    """In %."""
    weight: float
    kind: str
    """Which figures are on one scale; empty in a table that has only one."""


@dataclass(frozen=True)
class CellTable:
    """A table of cells of one space."""

    path: Path
    checksum: str
    """Of the file and of what was read from it, in hexadecimal digits."""
    space: CellSpace
    kind: str
    """That of the cells which a regressor is fitted on."""
    fitted: tuple[KnownCell, ...]
    """Those of this kind, each graph once."""
    others: tuple[KnownCell, ...]
    """Those of other kinds, whose figures are on other scales."""
    notes: tuple[str, ...]
    """What is to be said about how the file was read."""

    def listed(self, genotype: Genotype) -> KnownCell | None:
        """The cell of the table that is the same graph, if there is one; those of the fitted kind come first."""
        form = canonical(genotype)
        return next((cell for cell in (*self.fitted, *self.others) if cell.genotype == form), None)


def read_table(path: Path, kind: str | None = None, column: str | None = None) -> CellTable:
    """Read a table of cells: a CSV file with a header, plain or compressed (gzip, xz, bzip2).

    One column holds genotypes, printed or as JSON. Accuracies, in % or as fractions, are in the column with `accuracy`
    or `acc` in its name; a column `kind` tells rows on different scales apart, and a column `weight` says how much a
    row counts.

    Args:
        kind: which rows a regressor is to be fitted on (none: the kind with most rows).
        column: the accuracies' column (none: found by its name).

    Raises:
        InputError: naming the file: it cannot be read, a column is missing or could be several, a row is malformed, the
            cells are of several spaces or not searched in any, fewer than 50, or all of one accuracy.
    """
    content = _content(path)
    header, rows = _rows(path, content)
    genotype_at = _genotype_column(path, header, rows)
    accuracy_at = _accuracy_column(path, header, column, genotype_at)
    kind_at, weight_at = _optional(header, "kind"), _optional(header, "weight")
    cells = []
    for line, row in rows:
        where = f"{path}, line {line}"
        cells.append(
            KnownCell(
                genotype=_searched(where, row[genotype_at]),
                accuracy=_number(where, header[accuracy_at], row[accuracy_at]),
                weight=1.0 if weight_at is None else _number(where, header[weight_at], row[weight_at]),
                kind="" if kind_at is None else row[kind_at].strip(),
            )
        )
        if cells[-1].weight <= 0:
            raise InputError(f"{where}: {header[weight_at or 0]} is {cells[-1].weight:g}, but it must be more than 0")
        if cells[-1].genotype.num_nodes("normal") != (wanted := cells[0].genotype.num_nodes("normal")):
            raise InputError(
                f"{where}: a cell of {cells[-1].genotype.num_nodes('normal')} nodes, but the first has "
                f"{wanted}: keep the cells of one space"
            )
    return _checked(path, content, header[accuracy_at], cells, kind, any_kind=kind_at is not None)


def _checked(
    path: Path, content: bytes, column: str, cells: list[KnownCell], kind: str | None, *, any_kind: bool
) -> CellTable:
    kinds = Counter(cell.kind for cell in cells)
    if kind is not None and not any_kind:
        raise InputError(f"{path} has no column kind, so there is no kind {shown(kind)}: drop --kind")
    if kind is not None and kind not in kinds:
        raise InputError(f"{path} has no rows of kind {shown(kind)}: {did_you_mean(kind, kinds)}")
    chosen = kind if kind is not None else kinds.most_common(1)[0][0]
    notes = [f"{counted(len(cells), 'row')} of {path}; accuracies are those of its column {shown(column)}"]
    if max(cell.accuracy for cell in cells) <= 1:
        cells = [KnownCell(cell.genotype, 100 * cell.accuracy, cell.weight, cell.kind) for cell in cells]
        notes.append("accuracies are fractions there, and in % here")
    if bad := [cell.accuracy for cell in cells if not 0 <= cell.accuracy <= 100]:
        raise InputError(f"{path}: an accuracy is {bad[0]:g}, but it must be from 0 to 100 (in %), or from 0 to 1")
    fitted = _distinct([cell for cell in cells if cell.kind == chosen])
    others = _distinct([cell for cell in cells if cell.kind != chosen])
    if repeated := kinds[chosen] - len(fitted):
        notes.append(f"{counted(repeated, 'row')} of cells that stand there already (the same graph): means are taken")
    if len(kinds) > 1:
        rest = listed([f"{number:,} of kind {shown(name)}" for name, number in kinds.items() if name != chosen], "and")
        notes.append(
            f"fitted on the {kinds[chosen]:,} rows of kind {shown(chosen)} alone: figures of other kinds ({rest}) may "
            "be on another scale, and are only looked up"
        )
    if len(fitted) < FEWEST:
        what = f"{counted(len(fitted), 'different cell')}{f' of kind {shown(chosen)}' if chosen else ''}"
        raise InputError(f"{path} has {what}, but a regressor needs {FEWEST} at least: give a larger table")
    if len({cell.accuracy for cell in fitted}) == 1:
        raise InputError(f"{path}: all cells have the accuracy {fitted[0].accuracy:g}, which teaches nothing")
    space = CellSpace(cells[0].genotype.num_nodes("normal"))
    checksum = hashlib.sha256(content + f"{column} {chosen}".encode()).hexdigest()
    return CellTable(path, checksum, space, chosen, tuple(fitted), tuple(others), tuple(notes))


def check_searched(genotype: Genotype) -> None:
    """Make sure that a genotype is one that a search of this space can find.

    Raises:
        InputError: cells of two sizes, an operation that is not searched, or a node that is not concatenated.
    """
    nodes = {genotype.num_nodes(kind) for kind in CELL_KINDS}
    if len(nodes) > 1:
        raise InputError("its two cells have different numbers of nodes")
    for kind in CELL_KINDS:
        if foreign := sorted({primitive for primitive, _ in genotype.edges(kind)} - set(PRIMITIVES)):
            raise InputError(f"{foreign[0]} is an operation that no search of this space can choose")
        if len(genotype.concat(kind)) < genotype.num_nodes(kind) - 2:
            raise InputError(f"its {kind} cell does not concatenate all intermediate nodes")


def _searched(where: str, text: str) -> Genotype:
    try:
        genotype = _genotype(text)
        check_searched(genotype)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return canonical(genotype)


def _genotype(text: str) -> Genotype:
    return Genotype.from_json(text) if text.lstrip().startswith("{") else Genotype.from_text(text)


def _distinct(cells: Sequence[KnownCell]) -> list[KnownCell]:
    """Each graph of each kind once, with the mean of its accuracies by weight and all the weight."""
    groups: dict[tuple[str, Genotype], list[KnownCell]] = {}
    for cell in cells:
        groups.setdefault((cell.kind, cell.genotype), []).append(cell)
    return [
        KnownCell(
            genotype,
            math.fsum(cell.weight * cell.accuracy for cell in group) / math.fsum(cell.weight for cell in group),
            math.fsum(cell.weight for cell in group),
            kind,
        )
        for (kind, genotype), group in groups.items()
    ]


# The file


def _content(path: Path) -> bytes:
    """What the file holds, decompressed."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
        opened = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
        with opened(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or "damaged"  # a damaged archive has no system's word for it
        raise InputError(f"cannot read the table {path}: {why}: give a CSV file, plain, .gz, .bz2 or .xz") from None
    except (EOFError, ValueError, lzma.LZMAError, zlib.error):
        raise InputError(f"cannot read the table {path}: damaged or cut off: make or fetch it again") from None
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path} is too large for a table of cells (over {_MAX_BYTES // 2**20} MB)")
    return content


def _rows(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and all other rows with the lines that they end in."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a CSV file: it is no text in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from None
    if len(rows) < 2:
        raise InputError(f"{path} lists no cells: expected {_EXPECTED}")
    (_, header), *rows = rows
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}: {len(row)} values, but the header names {len(header)} columns")
    return [name.strip() for name in header], rows


def _genotype_column(path: Path, header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """The first column whose first value is a genotype, or begins like one, so that what is wrong with it is said."""
    for index, value in enumerate(rows[0][1]):
        if "Genotype(" in value or value.lstrip().startswith("{"):
            return index
    raise InputError(
        f"{path} is no table of cells of this space: none of its columns ({in_short(list(header))}) holds genotypes; "
        f"expected {_EXPECTED}"
    )


def _accuracy_column(path: Path, header: Sequence[str], column: str | None, genotype_at: int) -> int:
    others = [name for index, name in enumerate(header) if index != genotype_at]
    if column is not None:
        if column not in others:
            raise InputError(f"{path} has no column {shown(column)}: {did_you_mean(column, others)}")
        return header.index(column)
    fitting = [name for name in others if re.search("acc", name, re.IGNORECASE)]
    if len(fitting) != 1:
        found = f"{listed(fitting, 'and')} could all be it" if fitting else f"there is {listed(others, 'and')}"
        raise InputError(f"{path}: which column holds the accuracies is not clear ({found}): name it with --column")
    return header.index(fitting[0])


def _optional(header: Sequence[str], name: str) -> int | None:
    """Where a column is that a table may have."""
    return next((index for index, found in enumerate(header) if found.lower() == name), None)


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {shown(text)}, but it must be a number")
    return value
