"""Training on: a run, finished or not, that goes on to another number of epochs than it was begun with."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pcdarts.config.configs import TrainConfig
from pcdarts.config.job_config import RunConfig
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError
from pcdarts.run.checkpoint import load_state, read_newest
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import rename, write_text


def has_other_epochs(run: RunFolder, config: RunConfig) -> bool:
    """Whether the run was begun with another number of epochs than `config` has.

    Raises:
        InputError: its configuration is damaged.
    """
    return resolve(type(config), file=run.config).epochs != config.epochs


@contextmanager
def trained_on(run: RunFolder, config: RunConfig, of_several: bool = False) -> Iterator[None]:
    """Let a run go on to as many epochs as `config` has; its result so far is kept under another name.

    A kill at any moment leaves a run that can be resumed. Where the job inside is refused before it has saved anything,
    all is as it was. The caller holds the lock. A run that is one seed `of_several` is not checked by itself: the run
    that holds all seeds was, in a call of its own.

    Raises:
        InputError: so many epochs are done already, there is no checkpoint to go on from, the run has several stages,
            or a study has it.
        RunError: something cannot be saved.
    """
    begun = resolve(type(config), file=run.config)
    if not of_several:
        _check(run, begun, config)
    saved, text = _checkpoints(run), run.config.read_text("utf-8")
    kept = _free_name(run, begun.epochs) if run.is_finished else None
    if kept:
        rename(run.result, kept)  # first: from here on the run counts as unfinished
    write_text(run.config, config.to_yaml())
    try:
        yield
    except InputError:
        if _checkpoints(run) == saved:
            write_text(run.config, text)
            if kept:
                rename(kept, run.result)
                with suppress(OSError):
                    run.state.unlink(missing_ok=True)
                    run.lock_file.unlink(missing_ok=True)
        raise


def _check(run: RunFolder, begun: RunConfig, config: RunConfig) -> None:
    for folder in list(run.path.absolute().parents)[:5]:
        if (folder / "study.yaml").is_file():
            raise InputError(
                f"{run.path} belongs to the study {folder}, which is about {begun.epochs} epochs: copy the run to "
                "another folder and train that on"
            )
    if run.path.name.startswith("seed-") and (run.path.parent / "config.yaml").is_file():
        raise InputError(f"{run.path} is one of the seeds of {run.path.parent}: train that on, with all its seeds")
    if isinstance(begun, TrainConfig) and begun.max_minutes is not None:
        raise InputError(
            f"{run.path} was given {begun.max_minutes:.3g} minutes (max_minutes), which decide about its epochs: "
            "start a new training, perhaps with --init"
        )
    if len(run.read_stages()) > 1:
        raise InputError(f"{run.path} has several stages, and cannot be trained on: drop --epochs")
    several = isinstance(begun, TrainConfig) and begun.seeds > 1
    runs = [RunFolder(path) for path in sorted(run.path.glob("seed-*"))] if several else [run]
    done = max((epochs_done(one, type(begun)) for one in runs if one.config.is_file()), default=0)
    if config.epochs <= done:
        raise InputError(f"{run.path} has done {done} epochs already: --epochs must be more than that")
    if run.is_finished and done == 0:
        raise InputError(f"{run.path} has no checkpoint to go on from: start a new run")


def epochs_done(run: RunFolder, config_class: type[RunConfig]) -> int:
    """How many epochs the newest checkpoint of a run has behind it; 0 without one.

    Raises:
        InputError: its checkpoints are damaged, or of another run.
    """
    found = read_newest(run.checkpoint)
    if found is None:
        return 0
    state = load_state(found[0], run.checkpoint, resolve(config_class, file=run.config).identity())
    try:
        return int(state["place"]["epoch"])
    except (LookupError, TypeError, ValueError):
        raise InputError(f"{run.checkpoint} does not say where its run stands: restore it from a copy") from None


def _free_name(run: RunFolder, epochs: int) -> Path:
    """Where the result after so many epochs is kept."""
    stem = f"result_{epochs:03d}_epochs"
    names = [run.path / f"{stem}{again}.json" for again in ("", *(f"_{number}" for number in range(2, 1000)))]
    return next(name for name in names if not name.exists())


def _checkpoints(run: RunFolder) -> dict[Path, tuple[int, int]]:
    """The checkpoints of a run and its seeds, with what changes whenever one is replaced."""
    paths = [run.checkpoint, *run.path.glob(f"seed-*/{run.checkpoint.name}")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths if path.is_file()}
