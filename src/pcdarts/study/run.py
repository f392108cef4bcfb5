"""`pcdarts study run`: a study begun or gone on with, on whatever cluster, and what came out of it."""

from pathlib import Path
from typing import Any

from pcdarts.cell.zoo import PUBLISHED
from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.errors import InputError, RunError, shown
from pcdarts.jobs.genotype import find_genotype
from pcdarts.random_search_config import RandomSearchConfig
from pcdarts.run.files import write_text
from pcdarts.run.folder import RunFolder
from pcdarts.run.interruption import Interrupted, ending_at_once
from pcdarts.run.lock import lock
from pcdarts.study.cluster import connected
from pcdarts.study.engine import Engine
from pcdarts.study.grid import Cell, check_begun, grid
from pcdarts.study.outcome import STUDIES, description, read_cell, read_study
from pcdarts.study.reuse import reuse_runs
from pcdarts.study.spec import SOURCES, StudySpec, find_spec
from pcdarts.study.status import counted, table
from pcdarts.study.watch import Watch
from pcdarts.study_config import StudyRunConfig

KNOWN = {
    "search": SearchConfig.model_fields,
    "random_search": RandomSearchConfig.model_fields,
    "train": TrainConfig.model_fields,
}


def run_study(config: StudyRunConfig) -> None:
    """Run a study, or what is left of it, and print what came out.

    Raises:
        InputError: the study, its folder or the cluster cannot be used; no run was touched.
        RunError: all is done that could be, but some cells failed again and again.
        Interrupted: the process was asked to end; the runs have saved what they had.
    """
    with ending_at_once():
        name, spec = described(config)
        folder = (config.folder or STUDIES / name).absolute()
        cells = grid(spec, folder)
        check_folder(folder)
        check_begun(cells)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
        with lock(RunFolder(folder)):
            check_nothing_lost(folder, cells)
            write_text(description(folder), spec.to_yaml())
            for line in reuse_runs(cells, config.reuse):
                print(line, flush=True)
            failed = _work(config, cells, folder)
            RunFolder(folder).state.unlink(missing_ok=True)
        print("", *table(read_study(folder)), "", f"report: pcdarts report {_short(folder)}", sep="\n")
        if failed:
            print("", *(f"failed: {name}: {why}" for name, why in failed.items()), sep="\n")
            raise RunError(
                f"{len(failed)} of {counted(len(cells))} failed, as listed; the same command tries them again"
            )


def described(config: StudyRunConfig) -> tuple[str, StudySpec]:
    """The study as the command line wants it, and the name of its folder.

    On other data than its own a study is not at the paper's scale, whatever its settings.

    Raises:
        InputError: as in `find_spec`, or there is no genotype that a method names.
    """
    name, spec = find_spec(config.study, config.scale)
    folder_name = f"{name}-{spec.scale}" if spec.scale != "own" else name
    given: dict[str, Any] = {key: getattr(config, key) for key in ("data", "hub_name") if getattr(config, key)}
    if config.data_root is not None:
        given["data_root"] = str(config.data_root.expanduser().absolute())
    if config.seeds is not None:
        spec = spec.model_copy(update={"seeds": tuple(range(config.seeds))})
    if config.data is not None and spec.scale != "own":
        note = f"{spec.note} All its runs use --data {config.data}.".strip()
        scale = "own" if spec.scale == "paper" else spec.scale
        spec = spec.model_copy(update={"note": note, "scale": scale})
    fixed = {key: method.model_copy(update={"cells": _fixed(method.cells)}) for key, method in spec.methods.items()}
    return folder_name, spec.model_copy(update={"methods": fixed}).given(given, KNOWN)


def _fixed(cells: str) -> str:
    """Where a method's cells come from, so that a file or `latest` means the same for ever."""
    return cells if cells in SOURCES or cells in PUBLISHED else find_genotype(cells).to_text()


def check_folder(folder: Path) -> None:
    """Make sure that `folder` can hold a study.

    Raises:
        InputError: it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, but the study needs a folder: choose another --folder")
    if folder.is_dir() and not description(folder).is_file():
        others = {path.name for path in folder.iterdir()} - {".lock", "state.json"}
        if others:
            raise InputError(f"{folder} is not empty and holds no study: choose another --folder")


def check_nothing_lost(folder: Path, cells: list[Cell]) -> None:
    """Make sure that no finished cell of the study in `folder` is missing from what it is to be now.

    Raises:
        InputError: one is.
    """
    if not description(folder).is_file():
        return
    kept = {cell.folder for cell in cells}
    for cell in grid(StudySpec.from_file(description(folder)), folder):
        if cell.train.is_finished and cell.folder not in kept:
            raise InputError(
                f"{folder} has finished {shown(cell.name)}, which would no longer belong to the study: choose another "
                "--folder, or give all its methods, settings and seeds"
            )


def _work(config: StudyRunConfig, cells: list[Cell], folder: Path) -> dict[str, str]:
    """Do what is left; returns why cells were given up, by name."""
    left = [cell for cell in cells if read_cell(cell).state != "done"]
    place = _short(folder)
    print(f"{place}: {counted(len(cells))} of the grid, {len(cells) - len(left)} done", flush=True)
    if not left:
        return {}
    print("starting workers" if config.scheduler is None else f"connecting to {shown(config.scheduler)}", flush=True)
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    try:
        with connected(config, len(cells)) as cluster:
            print(f"{len(left)} to do, {cluster.described}; to watch: pcdarts study status {place}", flush=True)
            with Watch(cells) as watch:
                engine = Engine(cluster, len(cells), config.retries, watch, stop)
                engine.work_through(left)
            return engine.failed
    except Interrupted as error:
        error.args = (f"{error}; the same command goes on",)
        raise
    finally:
        stop.unlink(missing_ok=True)


def _short(folder: Path) -> str:
    """The folder as a user in this one would write it."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
