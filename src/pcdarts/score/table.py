"""A table of cells with known accuracy: read from a CSV file and checked."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pcdarts.cell.arch_string import STRING
from pcdarts.cell.canonical import canonical
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.errors import InputError, counted, did_you_mean, in_short, shown
from pcdarts.score.csv_file import content_of, rows_of

FEWEST = 50
"""The fewest cells on which a regressor is fitted."""
_MOST_NODES = 20
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-9, 1e9
_EXPECTED = 'a header such as genotype,accuracy, and rows such as "Genotype(normal=[...], ...)",93.4'


@dataclass(frozen=True)
class KnownCell:
    """A row of the table, or the mean of rows with the same graph."""

    genotype: Genotype
    """In canonical form."""
    accuracy: float
    """In %."""
    weight: float
    kind: str
    """The scale of the accuracy; empty in a table without a column for it."""


@dataclass(frozen=True)
class CellTable:
    """A table of cells of one space."""

    path: Path
    checksum: str
    """A hexadecimal digest of the file and of the choices in reading it."""
    space: CellSpace
    kind: str
    """The kind of the cells on which the regressor is fitted."""
    fitted: tuple[KnownCell, ...]
    """The cells of this kind, each graph once."""
    others: tuple[KnownCell, ...]
    """The cells of other kinds, whose accuracies are on other scales."""
    notes: tuple[str, ...]
    """Lines for the user about how the file was read."""

    def listed(self, genotype: Genotype) -> KnownCell | None:
        """The cell of the table with the same graph, preferably of the fitted kind; None if there is none."""
        return self._by_form.get(canonical(genotype))

    def check(self, genotype: Genotype) -> None:
        """Make sure that a cell can be scored by this table.

        Raises:
            InputError: it is not in the table's space.
        """
        check_searched(genotype)
        nodes, wanted = genotype.num_nodes("normal"), self.space.num_nodes
        if nodes != wanted:
            raise InputError(f"it has {nodes} nodes, but the cells of {self.path} have {wanted}")

    @cached_property
    def _by_form(self) -> dict[Genotype, KnownCell]:
        return {cell.genotype: cell for cell in reversed((*self.fitted, *self.others))}


def read_table(path: Path, kind: str | None = None, column: str | None = None) -> CellTable:
    """Read a table of cells: a CSV file with a header, plain or compressed (gzip, xz, bzip2).

    One column holds genotypes, printed or as JSON. Accuracies, in % or as fractions, are in the column with `accuracy`
    or `acc` in its name; a column `kind` distinguishes rows on different scales, and a column `weight` gives relative
    weights.

    Args:
        kind: the rows on which the regressor is fitted; None uses the kind with most rows.
        column: the column of accuracies; None finds it by its name.

    Raises:
        InputError: naming the file: it cannot be read, a column is missing or ambiguous, a row is malformed, the cells
            are of several sizes or in no search space, fewer than 50, or all have the same accuracy.
    """
    content = content_of(path)
    header, rows = rows_of(path, content, _EXPECTED)
    genotype_at = _genotype_column(path, header, rows)
    accuracy_at = _accuracy_column(path, header, column, genotype_at)
    kind_at, weight_at = _optional(path, header, "kind"), _optional(path, header, "weight")
    cells: dict[int, KnownCell] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        cells[line] = KnownCell(
            genotype=_searched(where, row[genotype_at]),
            accuracy=_number(where, header[accuracy_at], row[accuracy_at]),
            weight=1.0 if weight_at is None else _weight(where, row[weight_at]),
            kind="" if kind_at is None else row[kind_at].strip(),
        )
    _check_one_space(path, cells)
    chosen = _chosen_kind(path, cells, kind, any_kind=kind_at is not None)
    known, fractions = _in_percent(path, header[accuracy_at], cells)
    return _table(path, content, header[accuracy_at], known, chosen, fractions=chosen in fractions)


def _check_one_space(path: Path, cells: Mapping[int, KnownCell]) -> None:
    first, *rest = ((line, cell.genotype.num_nodes("normal")) for line, cell in cells.items())
    for line, nodes in rest:
        if nodes != first[1]:
            raise InputError(
                f"{path}: the cell in line {first[0]} has {first[1]} nodes, that in line {line} has {nodes}: keep the "
                "cells of one size"
            )


def _chosen_kind(path: Path, cells: Mapping[int, KnownCell], kind: str | None, *, any_kind: bool) -> str:
    """The kind on which the regressor is fitted."""
    kinds = Counter(cell.kind for cell in cells.values())
    if kind is not None and not any_kind:
        raise InputError(f"{path} has no column kind, so there is no kind {shown(kind)}: leave kind out")
    if kind is not None and kind not in kinds:
        raise InputError(f"{path} has no rows of kind {shown(kind)}: {did_you_mean(kind, kinds)}")
    return kind if kind is not None else kinds.most_common(1)[0][0]


def _in_percent(path: Path, column: str, cells: Mapping[int, KnownCell]) -> tuple[list[KnownCell], set[str]]:
    """All cells with accuracies in %, and the kinds whose accuracies are fractions in the file."""
    largest: dict[str, tuple[float, int]] = {}
    for line, cell in cells.items():
        if not 0 <= cell.accuracy <= 100:
            raise InputError(
                f"{path}, line {line}: {column} is {cell.accuracy:g}, but an accuracy is from 0 to 100 (in %), or from "
                "0 to 1"
            )
        largest[cell.kind] = max(largest.get(cell.kind, (cell.accuracy, line)), (cell.accuracy, line))
    for line, cell in cells.items():
        most, where = largest[cell.kind]
        if most > 1 and 0 < cell.accuracy < 1:
            raise InputError(
                f"{path}: {column} is {cell.accuracy:g} in line {line} but {most:g} in line {where}: give all "
                "accuracies in %, or all as fractions"
            )
    fractions = {kind for kind, (most, _) in largest.items() if most <= 1}
    return [
        replace(cell, accuracy=100 * cell.accuracy) if cell.kind in fractions else cell for cell in cells.values()
    ], fractions


def _table(
    path: Path, content: bytes, column: str, cells: Sequence[KnownCell], chosen: str, *, fractions: bool
) -> CellTable:
    kinds = Counter(cell.kind for cell in cells)
    fitted = _distinct([cell for cell in cells if cell.kind == chosen])
    others = _distinct([cell for cell in cells if cell.kind != chosen])
    if len(fitted) < FEWEST:
        of_kind = f" {_of_kind(chosen)}" if len(kinds) > 1 else ""
        raise InputError(
            f"{path} has {counted(len(fitted), 'different cell')}{of_kind}, but a regressor needs at least {FEWEST}: "
            "give a larger table"
        )
    low, high = min(cell.accuracy for cell in fitted), max(cell.accuracy for cell in fitted)
    if high - low < 1e-9:
        raise InputError(f"{path}: all cells have the accuracy {low:g} %, so nothing can be learnt: give another table")
    notes = [
        f"{counted(len(cells), 'row')} of {path}: accuracies, from {low:.2f} to {high:.2f} %, are its column "
        f"{shown(column)}{' (fractions there)' if fractions else ''}"
    ]
    if repeated := kinds[chosen] - len(fitted):
        notes.append(f"{counted(repeated, 'row')} of a cell that is listed already (the same graph): means are used")
    if len(kinds) > 1:
        rest = [f"{number:,} {_of_kind(name)}" for name, number in kinds.items() if name != chosen]
        notes.append(
            f"fitted only on the {counted(kinds[chosen], 'row')} {_of_kind(chosen)}: the others "
            f"({in_short(rest)}) may be on another scale, and are only looked up"
        )
    space = CellSpace(cells[0].genotype.num_nodes("normal"))
    checksum = hashlib.sha256(content + f"{column} {chosen}".encode()).hexdigest()
    return CellTable(path, checksum, space, chosen, tuple(fitted), tuple(others), tuple(notes))


def _of_kind(name: str) -> str:
    return f"of kind {shown(name)}" if name else "without a kind"


def check_searched(genotype: Genotype) -> None:
    """Check that a search in this space can find the genotype.

    Raises:
        InputError: it has another form, its cells differ in size, or have an operation outside the space or a node that
            is not concatenated.
    """
    if genotype.form != CellForm():
        raise InputError("it is no cell of the DARTS papers' form, and a regressor knows no other")
    space = CellSpace(genotype.num_nodes("normal"))
    if {genotype.num_nodes(kind) for kind in space.kinds} != {space.num_nodes}:
        raise InputError("its two cells have different numbers of nodes")
    for kind in space.kinds:
        if any(primitive == "none" for primitive, _ in genotype.edges(kind)):
            raise InputError(f"an edge of its {kind} cell holds none, which no search chooses")
        if foreign := sorted({primitive for primitive, _ in genotype.edges(kind)} - set(space.primitives)):
            raise InputError(f"{foreign[0]} is an operation that no search of this space can choose")
        if len(genotype.concat(kind)) < space.num_intermediate:
            raise InputError(f"its {kind} cell does not concatenate all intermediate nodes")


def _searched(where: str, text: str) -> Genotype:
    try:
        genotype = Genotype.from_json(text) if text.lstrip().startswith("{") else Genotype.from_text(text)
        check_searched(genotype)
        if genotype.num_nodes("normal") > _MOST_NODES:
            raise InputError(f"the cell has more than {_MOST_NODES} nodes, but a regressor supports no more")
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return canonical(genotype)


def _distinct(cells: Sequence[KnownCell]) -> list[KnownCell]:
    """Each graph of each kind once, with the weighted mean of its accuracies and the sum of its weights."""
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


# The columns


def _genotype_column(path: Path, header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """The first column whose first value looks like a genotype, even an invalid one, so that its error is reported."""
    for index, value in enumerate(rows[0][1]):
        if "Genotype(" in value or value.lstrip().startswith("{"):
            return index
    of_benchmark = any(STRING.search(value) for value in rows[0][1])
    looked_up = " (they are of NAS-Bench-201: `pcdarts show CELL --table` looks one up)" if of_benchmark else ""
    raise InputError(
        f"{path} is not a table of cells of this space: none of its columns ({in_short(list(header))}) holds "
        f"genotypes{looked_up}; expected {_EXPECTED}"
    )


def _accuracy_column(path: Path, header: Sequence[str], column: str | None, genotype_at: int) -> int:
    others = [name for index, name in enumerate(header) if index != genotype_at]
    if not others:
        raise InputError(f"{path} has no column besides the genotypes: expected {_EXPECTED}")
    if column is None:
        fitting = [name for name in others if re.search("acc(?![a-z])|accurac", name, re.IGNORECASE)]
        if len(set(fitting)) != 1:
            found = f"{in_short(fitting)} are possible" if fitting else f"besides genotypes: {in_short(others)}"
            raise InputError(
                f"{path}: it is not clear which column holds the accuracies ({found}): name it with --column (in a "
                "study's file: column)"
            )
        column = fitting[0]
    elif column not in others:
        raise InputError(f"{path} has no column {shown(column)} besides the genotypes: {did_you_mean(column, others)}")
    if re.search("err(?![a-z])|error|loss", column, re.IGNORECASE):
        raise InputError(
            f"{path}: by its name, the column {shown(column)} holds errors or losses: give a column of accuracies"
        )
    if header.count(column) > 1:
        raise InputError(f"{path}: {header.count(column)} columns are called {shown(column)}: keep one of them")
    return header.index(column)


def _optional(path: Path, header: Sequence[str], name: str) -> int | None:
    """The index of an optional column; None if the table does not have it."""
    places = [index for index, found in enumerate(header) if found.lower() == name]
    if len(places) > 1:
        raise InputError(f"{path}: {len(places)} columns are called {shown(name)}: keep one of them")
    return places[0] if places else None


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {shown(text)}, but it must be a number")
    return value


def _weight(where: str, text: str) -> float:
    weight = _number(where, "weight", text)
    if not _LEAST_WEIGHT <= weight <= _LARGEST_WEIGHT:
        raise InputError(
            f"{where}: weight is {shown(text)}, but it must be more than 0 (from {_LEAST_WEIGHT:g} to "
            f"{_LARGEST_WEIGHT:g})"
        )
    return weight
