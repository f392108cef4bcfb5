"""`pcdarts study status`: the state of every cell of a study's grid, from the files of its runs."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pcdarts.config.study_config import StudyStatusConfig
from pcdarts.errors import InputError, counted, shown
from pcdarts.jobs.status import Status, status_of
from pcdarts.run.display.columns import aligned
from pcdarts.run.display.progress import duration
from pcdarts.study.study_outcome import STUDIES, CellOutcome, Row, State, StudyOutcome, read_study
from pcdarts.truth.columns import Column
from pcdarts.truth.yardstick import Judge, TruthYardstick, make_judge

STATES: tuple[State, ...] = ("done", "running", "interrupted", "waiting", "failed")


def run_study_status(config: StudyStatusConfig) -> None:
    """Print the state of studies (all in studies/ if none is given), or a list of objects.

    Raises:
        InputError: some are not study folders; the others are printed first.
    """
    wanted = config.studies or sorted(path.parent for path in STUDIES.glob("*/study.yaml"))
    say: Callable[[str], None] = (lambda remark: None) if config.as_json else print
    # Studies may share a table.
    make: Callable[[Path, str | None, str | None], Judge] = cache(partial(make_judge, say=say))
    found, problems = [], []
    for folder in wanted:
        try:
            found.append(read_study(folder, make=make))
        except InputError as error:
            problems.append(str(error))
    if config.as_json:
        print(json.dumps([as_object(outcome) for outcome in found], indent=2))
    elif found:
        print("\n\n".join("\n".join(lines(outcome)) for outcome in found))
    elif not wanted:
        print("there are no studies in studies/: `pcdarts study run table3 --scale smoke` makes one")
    if problems:
        raise InputError(*problems)


def lines(outcome: StudyOutcome) -> Iterator[str]:
    """A summary, the cells that are not done, and the table."""
    counts = Counter(cell.state for cell in outcome.cells)
    states = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    left = seconds_left(outcome.cells)
    yield f"{outcome.folder}: {outcome.title}" if outcome.title else str(outcome.folder)
    yield f"{counted(len(outcome.cells), 'cell')}: {', '.join(states)}" + (
        f"; about {duration(left)} left" if left else ""
    )
    for cell in outcome.cells:
        if cell.state not in ("done", "waiting") or (cell.state == "waiting" and cell.search_hours is not None):
            yield f"  {cell.name}: {cell.state}{in_words(cell)}"
            if cell.message and cell.state == "failed":
                yield f"    {cell.message}; log: {cell.output}"
    yield ""
    yield from table(outcome)
    if (yardstick := outcome.yardstick) is not None:
        yield from yardstick.words()[len(yardstick.table.notes) :]


def table(outcome: StudyOutcome) -> Iterator[str]:
    """Every row: how many cells are done, test error and scores as mean ± std over seeds, and mean times."""
    truth = outcome.yardstick if isinstance(outcome.yardstick, TruthYardstick) else None
    trained = outcome.trains or any(row.errors for row in outcome.rows)
    columns: dict[str, tuple[bool, Callable[[Row], str]]] = {
        "method": (True, lambda row: row.method),
        "setting": (any(row.setting for row in outcome.rows), lambda row: row.setting or ""),
        "done": (True, lambda row: f"{sum(cell.state == 'done' for cell in row.cells)}/{len(row.cells)}"),
        "top-1 test error": (trained, lambda row: _mean_std(row.errors, 2, " %")),
        "predicted accuracy": (outcome.yardstick is not None and truth is None, _accuracy),
        **({column.short: (True, partial(_looked_up, truth, column)) for column in truth.columns} if truth else {}),
        "percentile": (outcome.yardstick is not None, lambda row: _mean_std(row.percentiles, 1)),
        "search": (True, lambda row: _mean_time([cell.search_hours for cell in row.cells])),
        "training": (trained, lambda row: _mean_time([cell.train_hours for cell in row.cells])),
    }
    filled = {heading: text for heading, (is_shown, text) in columns.items() if is_shown}
    yield from aligned([tuple(filled), *(tuple(text(row) for text in filled.values()) for row in outcome.rows)])
    if (yardstick := outcome.yardstick) is not None:
        of = "" if isinstance(yardstick, TruthYardstick) else yardstick.table.kind
        kind = f", rows of kind {shown(of)}" if of else ""
        yield f"scored by {outcome.table}{kind}"
        yield yardstick.explanation
    yield from outcome.remarks


def _accuracy(row: Row) -> str:
    exact = bool(row.scores) and all(score.listed for score in row.scores)
    return _mean_std(row.accuracies, 2, " %") + (" listed" if exact else "")


def _looked_up(truth: TruthYardstick, column: Column, row: Row) -> str:
    standings = truth.standings(row.scored_genotypes, column)
    return _mean_std([standing.accuracy for standing in standings], 2, " %")


def _mean_std(values: Sequence[float], digits: int, unit: str = "") -> str:
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}{unit}" if values else "-"


def _mean_time(hours: list[float | None]) -> str:
    known = [3600 * value for value in hours if value is not None]
    return duration(fmean(known)) if known else "-"


def seconds_left(cells: Sequence[CellOutcome]) -> float | None:
    """An estimate from finished cells of the same row, else method, else study; None without finished cells."""
    seconds: defaultdict[tuple[str | None, ...], list[float]] = defaultdict(list)
    for cell in cells:
        if cell.state == "done" and not (cell.search_hours is None and cell.train_hours is None):  # it took some time
            took = 3600 * ((cell.search_hours or 0) + (cell.train_hours or 0))
            for group in ((cell.method, cell.setting), (cell.method,), ()):
                seconds[group].append(took)
    left = [cell for cell in cells if cell.state not in ("done", "failed")]
    if not seconds or not left:
        return None
    alike = [seconds[cell.method, cell.setting] or seconds[(cell.method,)] or seconds[()] for cell in left]
    return sum(map(fmean, alike)) / max(1, sum(cell.state == "running" for cell in left))


def in_words(cell: CellOutcome) -> str:
    """Progress and error of its run in brackets; empty before it starts."""
    status = run_status(cell)
    if status is None or status.epochs is None:
        return ""
    error = "" if status.error is None else f", error {status.error:.2f} %"
    left = "" if status.seconds_left is None else f", {duration(status.seconds_left)} left"
    return f" ({status.job}, epoch {status.epoch}/{status.epochs}{error}{left})"


def run_status(cell: CellOutcome) -> Status | None:
    """The status of its current or last run."""
    for run in (cell.train, cell.search):
        if run is not None and run.config.is_file():
            return status_of(run)
    return None


def as_object(outcome: StudyOutcome) -> dict[str, Any]:
    """A study for `--json`."""
    quality = outcome.yardstick and outcome.yardstick.quality
    return {
        "study": str(outcome.folder),
        "title": outcome.title,
        "scale": outcome.scale,
        "seconds_left": seconds_left(outcome.cells),
        "trains": outcome.trains,
        "table": None if outcome.table is None else str(outcome.table),
        "regressor": None if quality is None else asdict(quality),
        "remarks": outcome.remarks,
        "rows": [_row_object(row) for row in outcome.rows],
        "cells": [_cell_object(cell) for cell in outcome.cells],
    }


def _row_object(row: Row) -> dict[str, Any]:
    figures = {"test_top1_error": row.errors, "accuracy": row.accuracies, "percentile": row.percentiles}
    return {
        "method": row.method,
        "setting": row.setting,
        "seeds": len(row.cells),
        "done": sum(cell.state == "done" for cell in row.cells),
        **{name: _summary(values) for name, values in figures.items()},
    }


def _summary(values: Sequence[float]) -> dict[str, float | int | None] | None:
    """Mean and standard deviation over seeds; None without values."""
    if not values:
        return None
    return {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else None, "n": len(values)}


def _cell_object(cell: CellOutcome) -> dict[str, Any]:
    status = run_status(cell)
    return {
        "method": cell.method,
        "setting": cell.setting,
        "seed": cell.seed,
        "state": cell.state,
        "message": cell.message,
        "job": status.job if status else None,
        "epoch": status.epoch if status else None,
        "epochs": status.epochs if status else None,
        "test_top1_error": cell.test_error,
        "score": None if cell.score is None else asdict(cell.score),
        "search_hours": cell.search_hours,
        "train_hours": cell.train_hours,
        "folder": str(cell.train.path.parent),
    }
