"""`pcdarts tables`: what can be known of Tables 1, 2 and 5 without training, beside the paper's figures."""

import json
from typing import Any

from pcdarts.bench.kept_counts import Counts
from pcdarts.bench.published import TABLES, PaperTable, Row
from pcdarts.config.bench_config import TablesConfig
from pcdarts.config.recipes import RECIPES
from pcdarts.errors import InputError
from pcdarts.run.display.columns import aligned, console, make_table
from pcdarts.run.whole_files import refuse_existing, write_text

CONVENTION = (
    "paper: as printed there; counted: here, of inference on one image; -: the paper gives none, or nothing here holds "
    "the network.",
    "Counted mult-adds are those of convolutions and linear layers. BatchNorm, ReLU, pooling and additions do not "
    "count, nor do auxiliary heads.",
    "+ norms: the same, and two operations for each output of a BatchNorm and one for each of a ReLU, one ReLU per "
    "operation as in the authors' code: that gives the paper's 586 M and 597 M for the PC-DARTS cells.",
)


def run_tables(config: TablesConfig) -> None:
    """Print the tables, and write all figures to a file when one is given. No weights are loaded.

    Raises:
        InputError: the file is there already.
        RunError: it cannot be saved.
    """
    refuse_existing("--json", config.json_file)
    wanted = [number for number in TABLES if config.table in ("all", number)]
    with Counts() as counts:
        figures = {number: [described(row, TABLES[number], counts) for row in TABLES[number].rows] for number in wanted}
    for number in wanted:
        _print_table(TABLES[number], figures[number])
        _print_trainings(figures[number])
    for line in CONVENTION:
        print(line)
    if config.json_file is not None:
        write_text(config.json_file, json.dumps(figures, indent=2) + "\n")
        print(f"all figures are in {config.json_file}")


def described(row: Row, table: PaperTable, counts: Counts) -> dict[str, Any]:
    """A row as the paper has it and as it is counted; what is not counted is None, and the note says why."""
    counted, note = None, row.note
    if row.cell is not None or row.model is not None:
        try:
            counted = counts.of(row, table.kind)
        except InputError as error:  # a library is missing
            note = str(error)
    return {
        "name": row.name,
        "in_paper": row.in_paper,
        "paper": {"params": row.params, "mult_adds": row.mult_adds},
        "counted": counted,
        "note": note,
        "search": search_command(row),
        "train": training_command(row),
    }


def search_command(row: Row) -> str | None:
    """The command that runs the row's search; None where there is no such recipe here."""
    if row.recipe is None or row.recipe.partition(" ")[0] not in RECIPES[row.job]:
        return None
    return f"pcdarts {row.job} --recipe {row.recipe}"


def training_command(row: Row) -> str | None:
    """The command that trains the row's detector on COCO, in the folder of this name; None where there is none."""
    return row.detector and f"pcdarts detect train --recipe coco {row.detector} --data-root COCO"


def _print_table(table: PaperTable, rows: list[dict[str, Any]]) -> None:
    printed = make_table("", "params: paper", "counted", "mult-adds: paper", "counted", "+ norms")
    printed.add_column("")
    for row in rows:
        counted = row["counted"] or {}
        params, mult_adds, with_norms = (counted.get(name) for name in ("params", "mult_adds", "mult_adds_with_norms"))
        printed.add_row(
            row["name"],
            _in_paper(row["paper"]["params"]),
            "-" if params is None else f"{params / 1e6:.3f} M",
            _in_paper(row["paper"]["mult_adds"]),
            _operations(mult_adds),
            _operations(with_norms),
            row["note"],
        )
    print(table.title)
    console().print(printed)
    if searches := [(f"  {row['name']}", row["search"]) for row in rows if row["search"]]:
        print(
            "The searches of these rows (docs/methods.md says what differs from their papers):",
            *aligned(searches),
            "",
            sep="\n",
        )


def _print_trainings(rows: list[dict[str, Any]]) -> None:
    if trainings := [(f"  {row['name']}", row["train"]) for row in rows if row["train"]]:
        print("The trainings of these rows (COCO is the folder of the data):", *aligned(trainings), "", sep="\n")


def _in_paper(figure: str | None) -> str:
    if figure is None:
        return "-"
    return figure.replace("B", " B") if figure.endswith("B") else f"{figure} M"


def _operations(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 1e9:.2f} B" if count >= 10**10 else f"{count / 1e6:.1f} M"
