"""`pcdarts study run`: start or continue a study on any cluster, and print its results."""

from pathlib import Path
from typing import Any

from pcdarts.cell.space import NASBENCH201
from pcdarts.cell.zoo import PUBLISHED
from pcdarts.config.job_config import every_setting
from pcdarts.config.study_config import StudyRunConfig
from pcdarts.config.verbs import JOBS
from pcdarts.errors import InputError, RunError, counted, shown
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.run.interruption import Interrupted, ending_at_once
from pcdarts.run.lock import lock
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text
from pcdarts.score.table import CellTable
from pcdarts.study.cluster import connected
from pcdarts.study.engine import Engine
from pcdarts.study.grid import Cell, by_row, check_begun, grid
from pcdarts.study.reuse import reuse_runs
from pcdarts.study.spec import SOURCES, StudySpec, find_spec
from pcdarts.study.study_outcome import STUDIES, description, read_cell, read_study
from pcdarts.study.study_status import table
from pcdarts.study.watch import Watch
from pcdarts.truth.table import TruthTable
from pcdarts.truth.yardstick import Judge, judge_of, read_known

KNOWN = {name.replace(" ", "_"): every_setting(JOBS[name].config) for name in ("search", "random search", "train")}


def run_study(config: StudyRunConfig) -> None:
    """Run a study, or the rest of it, and print the results.

    Raises:
        InputError: the study, its folder, its table or the cluster cannot be used; no run was changed.
        RunError: some cells failed repeatedly; all others are done.
        Interrupted: the process was asked to end; the runs have saved what they had.
    """
    with ending_at_once():
        name, spec = described(config)
        folder = (config.folder or STUDIES / name).absolute()
        cells = grid(spec, folder)
        check_folder(folder)
        check_begun(cells)
        yardstick = None
        if spec.table is not None:
            known = read_known(spec.table, spec.kind, spec.column)
            check_scored(cells, known)
            yardstick = judge_of(known)
            print(*yardstick.words(), sep="\n", flush=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
        with lock(RunFolder(folder)):
            check_nothing_lost(folder, cells)
            write_text(description(folder), spec.to_yaml())
            for line in reuse_runs(cells, config.reuse):
                print(line, flush=True)
            failed = _work(config, cells, folder, yardstick)
            RunFolder(folder).state.unlink(missing_ok=True)
        print("", *table(read_study(folder, yardstick)), "", f"report: pcdarts report {_short(folder)}", sep="\n")
        if failed:
            print("", *(f"failed: {name}: {why}" for name, why in failed.items()), sep="\n")
            raise RunError(
                f"{len(failed)} of {counted(len(cells), 'cell')} failed, as listed; the same command tries them again"
            )


def described(config: StudyRunConfig) -> tuple[str, StudySpec]:
    """The study with the flags of the command line, and the name of its folder.

    A study on other data than its own is never at the paper's scale.

    Raises:
        InputError: as in `find_spec`; a genotype does not exist; cells are neither trained nor scored.
    """
    name, spec = find_spec(config.study, config.scale)
    spec = _trained_or_scored(config, spec)
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


def _trained_or_scored(config: StudyRunConfig, spec: StudySpec) -> StudySpec:
    """The study with its table, and whether it trains.

    Raises:
        InputError: it does neither, or names a kind or column without a table.
    """
    table = spec.table if config.table is None else config.table.expanduser().absolute()
    has_flag = "train" in config.model_fields_set  # the flag has priority over the file
    no_train = not config.train if has_flag else spec.no_train or not spec.has_train_section
    if no_train and table is None:
        lack = "is to train nothing"
        remedy = "" if config.train else ", or drop --no-train"
        if not spec.has_train_section:
            lack, remedy = "has no train: section", ", or --train to train it with the usual settings"
        raise InputError(
            f"study {shown(config.study)} {lack}, and no table is there to score what it finds: give --table FILE "
            f"(cells with known accuracy){remedy}"
        )
    kind, column = config.kind or spec.kind, config.column or spec.column
    if table is None and (kind or column):
        raise InputError(
            f"study {shown(config.study)} has no table that {'kind' if kind else 'column'} could be about: give "
            "--table FILE"
        )
    return spec.model_copy(update={"table": table, "kind": kind, "column": column, "no_train": no_train})


def _fixed(cells: str) -> str:
    """The source of a method's cells; a file, run or `latest` becomes the text of its genotype, which never changes."""
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
    """Make sure that `cells` has every finished cell of the study in `folder`.

    Raises:
        InputError: one is missing.
    """
    if not description(folder).is_file():
        return
    kept = {cell.folder for cell in cells}
    for cell in grid(StudySpec.from_file(description(folder)), folder):
        is_finished = cell.train.is_finished or (bool(cell.steps()) and cell.is_finished)
        if is_finished and cell.folder not in kept:
            raise InputError(
                f"{folder} has finished {shown(cell.name)}, which would no longer belong to the study: choose another "
                "--folder, or give all its methods, settings and seeds"
            )


def check_scored(cells: list[Cell], table: CellTable | TruthTable) -> None:
    """Make sure that the table can score all cells that are not trained.

    Raises:
        InputError: names the first method and setting that it cannot score, and why.
    """
    problems = []
    for _, _, (cell, *_) in by_row([cell for cell in cells if not cell.trains]):
        try:
            if cell.search_config is None:
                if genotype := read_cell(cell).genotype:
                    table.check(genotype)
            elif (space := cell.search_config.cell_space).form != table.space.form:
                names = {NASBENCH201.form: "NAS-Bench-201"}
                ours, theirs = (names.get(each.form, "the DARTS papers") for each in (space, table.space))
                raise InputError(f"it searches cells of {ours}, but {table.path} has those of {theirs}")
            elif space != table.space:
                raise InputError(
                    f"it has {space.num_nodes} nodes, but the cells of {table.path} have {table.space.num_nodes}"
                )
        except InputError as error:
            problems.append(f"{shown(cell.name)}: {error}")
    if problems:
        several = f"{len(problems)} rows of this study, the first of them " if len(problems) > 1 else ""
        raise InputError(f"cannot score {several}{problems[0]}: give a table of the same space, or train what is found")


def _work(config: StudyRunConfig, cells: list[Cell], folder: Path, yardstick: Judge | None) -> dict[str, str]:
    """Do the remaining cells; returns why cells were given up, by name."""
    left = [cell for cell in cells if read_cell(cell).state != "done"]
    place = _short(folder)
    print(f"{place}: {counted(len(cells), 'cell')} of the grid, {len(cells) - len(left)} done", flush=True)
    if not left:
        return {}
    print("starting workers" if config.scheduler is None else f"connecting to {shown(config.scheduler)}", flush=True)
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    try:
        with connected(config, len(cells)) as cluster:
            print(f"{len(left)} to do, {cluster.described}; to watch: pcdarts study status {place}", flush=True)
            with Watch(cells) as watch:
                engine = Engine(cluster, len(cells), config.retries, watch, stop, yardstick)
                engine.work_through(left)
            return engine.failed
    except Interrupted as error:
        error.args = (f"{error}; the same command continues",)
        raise
    finally:
        stop.unlink(missing_ok=True)


def _short(folder: Path) -> str:
    """The folder, relative to the current one if it is inside."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
