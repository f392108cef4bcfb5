"""A cell that was found, looked up in a table of NAS-Bench-201: what it says, in words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import InputError
from pcdarts.run.display.columns import aligned
from pcdarts.truth.columns import main_columns
from pcdarts.truth.table import TruthTable, read_truth
from pcdarts.truth.verdict import Standing, Verdict, verdict

SHARE = "worse: how many of the cells are worse, in % (and half of those with the same accuracy); 50 is a random cell"


@dataclass(frozen=True)
class Truth:
    """A cell in a table."""

    table: TruthTable
    verdict: Verdict

    def to_object(self) -> dict[str, Any]:
        return {"table": str(self.table.path), **self.verdict.to_object()}


def looked_up(path: Path, genotype: Genotype) -> Truth:
    """A cell in the table at `path`.

    Raises:
        InputError: the table cannot be read or does not list it.
    """
    table = read_truth(path.expanduser())
    try:
        return Truth(table, verdict(table, genotype))
    except InputError as error:
        raise InputError(f"the cell cannot be looked up in {table.path}: {error}") from None


def verdict_lines(truth: Truth, *, only_main: bool = False) -> list[str]:
    """What the table says of the cell, column by column; `only_main`: of each data set the longest training's test."""
    table, found = truth.table, truth.verdict
    columns = main_columns(table.columns) if only_main else table.columns
    same = f"same network ({found.same_network} cells)" if found.same_network > 1 else ""
    head = ("truth", "accuracy", f"rank of {found.cells:,}", "regret", "worse", same)
    rows = [head, *((column.in_words, *_in_words(found.of(column), bool(same))) for column in columns)]
    return [*table.notes, *aligned(rows), SHARE]


def _in_words(standing: Standing, several: bool) -> tuple[str, ...]:
    ties = f" (with {standing.ties})" if standing.ties else ""
    same = f"{standing.graph_low:.2f} to {standing.graph_high:.2f} %" if several else ""
    return (
        f"{standing.accuracy:.2f} %",
        f"{standing.rank:,}{ties}",
        f"{standing.regret:.2f}",
        f"{standing.percentile:.1f} %",
        same,
    )
