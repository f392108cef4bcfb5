"""`pcdarts rank`: how well what a search knows of cells, and what is known without one, ranks random ones.

What is measured of a cell is a line of `cells.jsonl` as soon as it is there, so that a run that was killed goes on
after it. `scores.py` says what is measured, `correlation.py` how it is compared with the truth.
"""

import json
import math
import random
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.config.study_config import RankConfig
from pcdarts.errors import InputError, counted
from pcdarts.learn.job_batches import skipped_lines
from pcdarts.rank.scores import Measures, with_ranks
from pcdarts.rank.searched import Saved, read_search, restored
from pcdarts.rank.words import correlations_of, csv_text, panels_of, tables_of
from pcdarts.report.drawing.scatter import scatter_picture
from pcdarts.run.device import choose_device, describe_device
from pcdarts.run.display.progress import Progress
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import append_line, cut_torn_line, write_text
from pcdarts.truth.columns import Column, main_columns
from pcdarts.truth.graphs import graph_of
from pcdarts.truth.table import TruthTable, read_truth


def run_rank(config: RankConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Measure random cells by the search's weights, and compare with the truth; returns what `result.json` holds.

    Raises:
        InputError: the run is no search of this space or has no checkpoint, its images are not there, the table cannot
            be used or lacks a drawn cell, or the search has gone on since the run was begun.
        RunError: something cannot be saved.
        Interrupted: the process was asked to end; the cells measured so far are saved.
    """
    if processes.count > 1:
        raise InputError("rank works in one process: start it without torchrun")
    device = choose_device(config.device, config.threads)
    saved = read_search(config.searched)
    assert config.table is not None
    table = read_truth(config.table, config.column)
    cells = drawn_cells(config.cells, config.seed)
    truth = truth_of(table, cells)
    found = measured_cells(run, saved, cells)
    searched = restored(saved, run, device, batches=config.batches, seed=config.seed, data_root=config.data_root)
    measures = Measures(searched, device, config.seed, te_nas=config.te_nas)
    images = sum(len(batch.labels) for batch in searched.batches)
    with Progress(run, 1, len(cells)) as progress:
        after = f"{saved.run.path} after {counted(saved.epoch, 'epoch')}"
        what = f"{counted(len(cells), 'random cell')} of NAS-Bench-201, by {after}"
        since = f", from cell {len(found) + 1} on" if found else ""
        progress.begin(0, f"{what}, on {describe_device(device, 1)}{since}")
        for note in (*saved.notes, *searched.notes, *table.notes, *filter(None, [measures.why_no_alpha])):
            progress.say(note)
        if not found:
            write_text(cells_file(run), json.dumps({"checkpoint": saved.digest, "epoch": saved.epoch}) + "\n")
        for cell in cells[len(found) :]:
            found.append(measures.of(cell))
            append_line(cells_file(run), json.dumps({"cell": cell.to_text(), **found[-1]}))
            progress.step(1, len(found), images=images)
        for line in skipped_lines(searched.data):
            progress.say(line)
    scores = with_ranks(found)
    result = {
        "search": str(config.searched.absolute()),
        "search_epoch": saved.epoch,
        "method": saved.config.method,
        "table": str(config.table.absolute()),
        "batches": len(searched.batches),
        "images": images,
        "no_alpha_scores": measures.why_no_alpha,
        **correlations_of(table.columns, truth, scores, config.seed),
    }
    write_text(run.path / "cells.csv", csv_text(table.columns, truth, cells, scores))
    columns = main_columns(table.columns)
    title = f"{counted(len(cells), 'random cell')} of NAS-Bench-201, by a search with {saved.config.method}"
    pictures = [
        drawn(run, number, column, result["correlations"], truth, scores, title)
        for number, column in enumerate(columns, 1)
    ]
    run.finish(result)
    for line in tables_of(columns, result["correlations"]):
        print(line)
    if len(columns) < len(table.columns):
        run.say(f"all {len(table.columns)} columns of the table are in {run.result}")
    run.say(f"the scores of each cell are in {run.path / 'cells.csv'}; drawn in {', '.join(pictures)}")
    return result


def drawn(
    run: RunFolder,
    number: int,
    column: Column,
    correlations: list[dict[str, Any]],
    truth: Sequence[dict[str, float]],
    scores: Sequence[dict[str, float]],
    title: str,
) -> str:
    """The path of the picture of all scores against one column of the table, which is written."""
    path = run.path / f"scatter_{number}_{re.sub(r'[^A-Za-z0-9]+', '_', column.name)}.svg"
    panels = panels_of(correlations, column.name, [row[column.name] for row in truth], scores)
    write_text(path, scatter_picture(panels, title=title, y_label=f"accuracy in the table (%): {column.in_words}"))
    return str(path)


def drawn_cells(number: int, seed: int) -> list[Genotype]:
    """So many cells, drawn uniformly one after the other; one whose network is there already is left out.

    Raises:
        InputError: there are not so many.
    """
    draw, choices = random.Random(seed), list(product(NASBENCH201.primitives, repeat=NASBENCH201.num_edges))
    sources = [edge.source for edge in NASBENCH201.edges]
    cells: dict[str, Genotype] = {}
    for operations in draw.sample(choices, len(choices)):
        edges = tuple(zip(operations, sources, strict=True))
        cells.setdefault(graph_of(edges), Genotype.of_space(NASBENCH201, {"normal": edges}))
        if len(cells) == number:
            return list(cells.values())
    raise InputError(f"cells is {number:,}, but NAS-Bench-201 has only {len(cells):,} networks: use fewer")


def truth_of(table: TruthTable, cells: Sequence[Genotype]) -> list[dict[str, float]]:
    """The accuracies of each cell in %, by the names of the table's columns.

    Raises:
        InputError: the table lacks one of them.
    """
    places = [table.place(cell) for cell in cells]
    missing = [cell.to_text() for cell, place in zip(cells, places, strict=True) if place is None]
    if missing:
        raise InputError(
            f"{table.path}, with {table.in_words}, lacks {len(missing)} of the {len(cells)} cells that are drawn, such "
            f"as {missing[0]}: give a table of all cells"
        )
    names = [column.name for column in table.columns]
    return [dict(zip(names, map(float, table.accuracies[place]), strict=True)) for place in places if place is not None]


def cells_file(run: RunFolder) -> Path:
    """Whose weights are measured, in the first line; then a line for each cell as soon as it is measured."""
    return run.path / "cells.jsonl"


def measured_cells(run: RunFolder, saved: Saved, cells: Sequence[Genotype]) -> list[dict[str, float]]:
    """What was measured before the run was stopped, of the first cells; a line that a kill has torn is removed.

    Raises:
        InputError: the file is damaged, or the search has gone on since.
        RunError: a torn line cannot be removed.
    """
    path = cells_file(run)
    cut_torn_line(path)
    if not path.is_file() or not path.stat().st_size:
        return []
    first, *lines = path.read_text("utf-8", "replace").splitlines()
    remedy = "damaged: restore it from a copy, or start a new run"
    weights = _record(first).get("checkpoint")
    if not isinstance(weights, str):
        raise InputError(f"{path}, line 1: {remedy}")
    if weights != saved.digest:
        raise InputError(
            f"{saved.run.path} has gone on since {run.path} was begun, which measures its weights as they were then: "
            "start a new run"
        )
    found: list[dict[str, float]] = []
    for number, line in enumerate(lines):
        record = _record(line)
        cell = record.pop("cell", None)
        is_next = number < len(cells) and cell == cells[number].to_text()
        if not is_next or not all(map(_is_number, record.values())) or (found and record.keys() != found[0].keys()):
            raise InputError(f"{path}, line {number + 2}: {remedy}")
        found.append(record)
    return found


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
