"""Cells that another study, or another row of the same one, has done with the same settings: their runs are copied."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pcdarts.errors import InputError, RunError
from pcdarts.run.run_folder import RunFolder
from pcdarts.study.grid import Cell, deciding, grid
from pcdarts.study.spec import StudySpec
from pcdarts.study.study_outcome import description


def reuse_runs(cells: Sequence[Cell], folders: Sequence[str]) -> Iterator[str]:
    """Copy the runs of cells that are finished, here or in other studies, and not started; yields a line about each.

    Without training only the search is copied.

    Raises:
        InputError: there is no study in one of the folders.
        RunError: a run cannot be copied.
    """
    others = [*cells]
    for folder in map(Path, folders):
        if not description(folder).is_file():
            raise InputError(f"--reuse {folder}: there is no study, which has a study.yaml")
        others += grid(StudySpec.from_file(description(folder)), folder)
    found: dict[str, tuple[Cell, list[RunFolder]]] = {}
    for cell in others:
        for count in range(1, len(cell.runs()) + 1):
            runs = [run for _, run in cell.runs()[:count]]
            if all(run.is_finished for run in runs):
                found.setdefault(_settings(cell, count), (cell, runs))
    for cell in cells:
        other, runs = found.get(_settings(cell, len(cell.steps())), (None, []))
        if other is None or _is_begun(cell):
            continue
        copy_runs(runs, cell)
        yield f"{cell.name}: copied from {other.folder}"


def copy_runs(runs: Sequence[RunFolder], cell: Cell) -> None:
    """Copy the finished runs of another cell into the folder of this one.

    Raises:
        RunError: a run cannot be copied.
    """
    try:
        for run in runs:  # the search first: it is useful without its training
            unfinished = cell.folder / f".{run.path.name}.copy"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(run.path, unfinished)
            unfinished.rename(cell.folder / run.path.name)
    except (OSError, shutil.Error) as error:
        raise RunError(f"cannot copy {runs[0].path.parent}: {getattr(error, 'strerror', None) or error}") from error


def twins_of(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """By the name of the first cell of its settings, the later ones that are not begun: their bits would be the same.

    A random search is one, of which partial channels and edge normalisation change nothing.
    """
    first: dict[str, str] = {}
    twins: dict[str, list[Cell]] = {}
    for cell in cells:
        name = first.setdefault(_settings(cell, len(cell.steps())), cell.name)
        if name != cell.name and not _is_begun(cell):
            twins.setdefault(name, []).append(cell)
    return twins


def _is_begun(cell: Cell) -> bool:
    """Whether there is something of its runs, over which nothing is copied."""
    return any(run.config.is_file() for _, run in cell.steps())


def _settings(cell: Cell, count: int) -> str:
    """The settings that decide the results of a cell's first `count` runs."""
    return json.dumps([deciding(config, cell) for config, _ in cell.runs()[:count]], sort_keys=True)
