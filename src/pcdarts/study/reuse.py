"""Cells that another study has done with the same settings: their runs are copied instead of done again."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pcdarts.errors import InputError, RunError
from pcdarts.study.grid import Cell, deciding, grid
from pcdarts.study.outcome import description
from pcdarts.study.spec import StudySpec


def reuse_runs(cells: Sequence[Cell], folders: Sequence[str]) -> Iterator[str]:
    """Copy the runs of cells that are finished in other studies and not begun here; yields a line about each.

    Raises:
        InputError: there is no study in one of the folders.
        RunError: a run cannot be copied.
    """
    found: dict[str, Cell] = {}
    for folder in map(Path, folders):
        if not description(folder).is_file():
            raise InputError(f"--reuse {folder}: there is no study, which has a study.yaml")
        for cell in grid(StudySpec.from_file(description(folder)), folder):
            if cell.train.is_finished:
                found.setdefault(_settings(cell), cell)
    for cell in cells:
        other = found.get(_settings(cell))
        if other is None or any(run.config.is_file() for _, run in cell.steps()):
            continue
        try:
            for run in [run for _, run in other.steps()]:  # the search first: without its training it is a beginning
                unfinished = cell.folder / f".{run.path.name}.copy"
                shutil.rmtree(unfinished, ignore_errors=True)
                shutil.copytree(run.path, unfinished)
                unfinished.rename(cell.folder / run.path.name)
        except (OSError, shutil.Error) as error:
            raise RunError(f"cannot copy {other.folder}: {getattr(error, 'strerror', None) or error}") from error
        yield f"{cell.name}: copied from {other.folder}"


def _settings(cell: Cell) -> str:
    """All that decides the outcome of a cell."""
    return json.dumps([deciding(config, cell) for config, _ in cell.steps()], sort_keys=True)
