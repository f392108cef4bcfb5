"""`pcdarts study status`: what every cell of a study's grid is doing, from what its runs write down."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from pcdarts.errors import InputError
from pcdarts.jobs.columns import aligned
from pcdarts.jobs.status import Status, status_of
from pcdarts.run.progress import duration
from pcdarts.study.outcome import STUDIES, CellOutcome, Row, State, StudyOutcome, read_study
from pcdarts.study_config import StudyStatusConfig

STATES: tuple[State, ...] = ("done", "running", "interrupted", "waiting", "failed")


def run_study_status(config: StudyStatusConfig) -> None:
    """Print where studies stand (all in studies/ if none is given), or a list of objects.

    Raises:
        InputError: one or more are no study folders; the others are printed before.
    """
    wanted = config.studies or sorted(path.parent for path in STUDIES.glob("*/study.yaml"))
    found, problems = [], []
    for folder in wanted:
        try:
            found.append(read_study(folder))
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
    """A summary, every cell that is not done, and the table of the others."""
    counts = Counter(cell.state for cell in outcome.cells)
    states = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    left = seconds_left(outcome.cells)
    yield f"{outcome.folder}: {outcome.title}" if outcome.title else str(outcome.folder)
    yield f"{counted(len(outcome.cells))}: {', '.join(states)}" + (f"; about {duration(left)} left" if left else "")
    for cell in outcome.cells:
        if cell.state not in ("done", "waiting") or (cell.state == "waiting" and cell.search_hours is not None):
            yield f"  {cell.name}: {cell.state}{in_words(cell)}"
            if cell.message and cell.state == "failed":
                yield f"    {cell.message}; log: {cell.output}"
    yield ""
    yield from table(outcome)


def counted(cells: int) -> str:
    """`1 cell`, `2 cells`."""
    return f"{cells} cell{'s' * (cells != 1)}"


def table(outcome: StudyOutcome) -> Iterator[str]:
    """Every row: how many cells are done, test error as mean ± std, and time of a search."""
    rows = [("method", "setting", "done", "top-1 test error", "search", "training"), *map(_row, outcome.rows)]
    if all(row.setting is None for row in outcome.rows):
        rows = [row[:1] + row[2:] for row in rows]
    yield from aligned(rows)


def _row(row: Row) -> tuple[str, ...]:
    errors = row.errors
    spread = f" ± {stdev(errors):.2f}" if len(errors) > 1 else ""
    return (
        row.method,
        row.setting or "",
        f"{sum(cell.state == 'done' for cell in row.cells)}/{len(row.cells)}",
        f"{fmean(errors):.2f}{spread} %" if errors else "-",
        _mean_time([cell.search_hours for cell in row.cells]),
        _mean_time([cell.train_hours for cell in row.cells]),
    )


def _mean_time(hours: list[float | None]) -> str:
    known = [3600 * value for value in hours if value is not None]
    return duration(fmean(known)) if known else "-"


def seconds_left(cells: Sequence[CellOutcome]) -> float | None:
    """An estimate from the cells that are done: of the same row, else the same method, else all; None at first."""
    seconds: defaultdict[tuple[str | None, ...], list[float]] = defaultdict(list)
    for cell in cells:
        if cell.state == "done":
            took = 3600 * ((cell.search_hours or 0) + (cell.train_hours or 0))
            for group in ((cell.method, cell.setting), (cell.method,), ()):
                seconds[group].append(took)
    left = [cell for cell in cells if cell.state not in ("done", "failed")]
    if not seconds or not left:
        return None
    alike = [seconds[cell.method, cell.setting] or seconds[(cell.method,)] or seconds[()] for cell in left]
    return sum(map(fmean, alike)) / max(1, sum(cell.state == "running" for cell in left))


def in_words(cell: CellOutcome) -> str:
    """How far its run is, and the error so far, in brackets; nothing before it has begun."""
    status = run_status(cell)
    if status is None or status.epochs is None:
        return ""
    error = "" if status.error is None else f", error {status.error:.2f} %"
    left = "" if status.seconds_left is None else f", {duration(status.seconds_left)} left"
    return f" ({status.job}, epoch {status.epoch}/{status.epochs}{error}{left})"


def run_status(cell: CellOutcome) -> Status | None:
    """That of the run that is worked on, or was last."""
    for run in (cell.train, cell.search):
        if run is not None and run.config.is_file():
            return status_of(run)
    return None


def as_object(outcome: StudyOutcome) -> dict[str, Any]:
    """The same for programs."""
    return {
        "study": str(outcome.folder),
        "title": outcome.title,
        "scale": outcome.scale,
        "seconds_left": seconds_left(outcome.cells),
        "cells": [_cell_object(cell) for cell in outcome.cells],
    }


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
        "search_hours": cell.search_hours,
        "train_hours": cell.train_hours,
        "folder": str(cell.train.path.parent),
    }
