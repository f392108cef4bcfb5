"""A cell that was found, looked up in a table of NAS-Bench-201: what it says, for `result.json` and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import InputError
from pcdarts.run.display.columns import aligned
from pcdarts.truth.columns import column_called, main_columns
from pcdarts.truth.table import ALL_CELLS, TruthTable, read_truth
from pcdarts.truth.verdict import Verdict, verdict

WORSE = "worse: how many of the cells are worse, in % (and half of those with the same accuracy); 50 is a random cell"


@dataclass(frozen=True)
class Truth:
    """A cell in a table."""

    table: TruthTable
    verdict: Verdict

    def to_object(self) -> dict[str, Any]:
        """As `result.json` keeps it."""
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


def check_truth(path: Path | None) -> None:
    """Make sure, before a search, that its table can be read; nothing of it is kept, so nothing reaches the search.

    Raises:
        InputError: naming the file and the line of its fault.
    """
    if path is not None and path.expanduser().is_dir():
        from pcdarts.truth.nats import check_folder  # all its files take minutes

        check_folder(path.expanduser())
    elif path is not None:
        read_truth(path.expanduser())


def truth_of(path: Path | None, genotype: Genotype) -> dict[str, Any]:
    """What `result.json` says of the truth; nothing without a table, and why where there is no answer."""
    if path is None:
        return {}
    try:
        return {"truth": looked_up(path, genotype).to_object()}
    except InputError as error:  # a search of hours is not lost for it
        return {"truth": {"table": str(path), "unknown": str(error)}}


def truth_lines(truth: Mapping[str, Any]) -> list[str]:
    """What a search says of it when it has ended: the test accuracies of the longest trainings."""
    if "unknown" in truth:
        return [f"no truth about this cell: {truth['unknown']}"]
    cells = truth["cells"]
    listed = f"all {cells:,} cells" if cells == ALL_CELLS else f"the {cells:,} of {ALL_CELLS:,} cells that it lists"
    main = [column.name for column in main_columns([*map(column_called, truth["columns"])])]
    shown = {name: truth["columns"][name] for name in main}
    return [f"looked up in {truth['table']}, among {listed}:", *standing_lines({**truth, "columns": shown})]


def standing_lines(truth: Mapping[str, Any]) -> list[str]:
    """Where a cell stands in each column, from what `Truth.to_object` gives."""
    same = f"same network ({truth['same_network']} cells)" if truth["same_network"] > 1 else ""
    rows = [("truth", "accuracy", f"rank of {truth['cells']:,}", "regret", "worse", same)]
    for name, found in truth["columns"].items():
        ties = f" (with {found['ties']})" if found["ties"] else ""
        rows.append(
            (
                column_called(name).in_words,
                f"{found['accuracy']:.2f} %",
                f"{found['rank']:,}{ties}",
                f"{found['regret']:.2f}",
                f"{found['percentile']:.1f} %",
                f"{found['graph_low']:.2f} to {found['graph_high']:.2f} %" if same else "",
            )
        )
    return [*aligned(rows), WORSE]
