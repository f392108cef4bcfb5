"""`pcdarts study run`: a study begun or gone on with, on whatever cluster, and what came out of it."""

from pathlib import Path
from typing import Any

from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.errors import InputError, RunError
from pcdarts.random_search_config import RandomSearchConfig
from pcdarts.run.files import write_text
from pcdarts.run.folder import RunFolder
from pcdarts.run.interruption import Interrupted, ending_at_once
from pcdarts.run.lock import lock
from pcdarts.study.cluster import connected
from pcdarts.study.engine import Engine
from pcdarts.study.grid import Cell, check_begun, grid
from pcdarts.study.outcome import description, read_study
from pcdarts.study.reuse import reuse_runs
from pcdarts.study.spec import StudySpec, find_spec
from pcdarts.study.status import counted, table
from pcdarts.study_config import StudyRunConfig

STUDIES = Path("studies")
"""Where studies go that are given no folder of their own."""

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
            write_text(description(folder), spec.to_yaml())
            for line in reuse_runs(cells, config.reuse):
                print(line, flush=True)
            failed = _work(config, cells, folder)
        print("", *table(read_study(folder)), "", f"report: pcdarts report {_short(folder)}", sep="\n")
        if failed:
            print("", *(f"failed: {name}: {why}" for name, why in failed.items()), sep="\n")
            raise RunError(
                f"{len(failed)} of {counted(len(cells))} failed, as listed; the same command tries them again"
            )


def described(config: StudyRunConfig) -> tuple[str, StudySpec]:
    """The study as the command line wants it, and the name of its folder.

    Raises:
        InputError: as in `find_spec`.
    """
    name, spec = find_spec(config.study, config.scale)
    given: dict[str, Any] = {key: getattr(config, key) for key in ("data", "hub_name") if getattr(config, key)}
    if config.data_root is not None:
        given["data_root"] = str(config.data_root.expanduser().absolute())
    if config.seeds is not None:
        spec = spec.model_copy(update={"seeds": tuple(range(config.seeds))})
    return f"{name}-{spec.scale}" if spec.scale != "own" else name, spec.given(given, KNOWN)


def check_folder(folder: Path) -> None:
    """Make sure that `folder` can hold a study.

    Raises:
        InputError: it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, but the study needs a folder: choose another --folder")
    if folder.is_dir() and not description(folder).is_file():
        others = {path.name for path in folder.iterdir()} - {".lock", "state.json", "runs"}
        if others:
            raise InputError(f"{folder} is not empty and holds no study: choose another --folder")


def _work(config: StudyRunConfig, cells: list[Cell], folder: Path) -> dict[str, str]:
    """Do what is left; returns why cells were given up, by name."""
    left = [cell for cell in cells if not cell.train.is_finished]
    place = _short(folder)
    print(f"{place}: {counted(len(cells))} of the grid, {len(cells) - len(left)} done", flush=True)
    if not left:
        return {}
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    try:
        with connected(config, len(cells)) as cluster:
            print(f"{len(left)} to do, {cluster.described}; to watch: pcdarts study status {place}", flush=True)
            engine = Engine(cluster, len(cells), config.retries, stop)
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
