"""Starts or resumes a job in its run folder: locked, watched, in one process or in several."""

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pcdarts.config.groups.image_settings import Images
from pcdarts.config.job_config import FolderConfig, RunConfig
from pcdarts.config.recipes import recipe
from pcdarts.config.verbs import JOBS, imported
from pcdarts.errors import InputError, RunError
from pcdarts.learn.training_on import has_other_epochs, trained_on
from pcdarts.run.environment import describe_environment
from pcdarts.run.interruption import ending_at_once
from pcdarts.run.lock import lock
from pcdarts.run.processes import Processes, joined, losses_explained
from pcdarts.run.run_folder import RUNS, RunFolder
from pcdarts.run.whole_files import write_text


def begin(config: FolderConfig, place: Path | None, said: Sequence[str] = ()) -> Path | None:
    """Do the job in a new folder at `place`, or in the next free one below runs/.

    First come the lines `said` about how the configuration came about, on the screen and in the log.

    Returns:
        The folder; None if another process leads, and has failed before it made one.

    Raises:
        InputError: something is wrong with configuration, folder or data; the folder is as it was.
        RunError: the job began well and failed.
        Interrupted: the process was asked to end.
    """
    with ending_at_once(), joined() as processes:
        if not processes.is_first:
            return _follow(type(config), False, processes)
        environment = describe_environment(config.device, config.threads)
        job = JOBS[config.job]
        config = imported(job.pins)(config) if job.pins else config
        run = RunFolder.create(place) if place else RunFolder.create_next(RUNS, stem_of(config))
        with lock(run):
            RunFolder.create(run.path)  # now that it is locked: another job may have taken it meanwhile
            with _watched(config, run, False, processes):
                write_text(run.config, config.to_yaml())
                run.write_json(run.env, environment)
                for line in said:
                    print(line, flush=True)
                    run.append_log(line)
                _lead(config, run, False, processes)
        return run.path


def stem_of(config: FolderConfig) -> str:
    """What a run is called that is given no name: after its job and its recipe, or after data that is not the recipe's.

    Folders of images, COCO sets and data sets of the Hugging Face hub are called as they are.
    """
    if not isinstance(config, RunConfig):  # it is about a folder of images, or a run
        return f"{config.job}-{_as_name(getattr(config, 'folder', getattr(config, 'trained', None)), 'folder')}"
    name = config.recipe or "custom"
    if config.recipe is not None and isinstance(config, Images):
        root = config.data_root if config.data in ("folder", "imagenet") else None
        if root is not None or config.data != recipe(type(config), config.recipe).data:
            name = _as_name(root or config.hub_name or config.data, config.data)
    elif config.recipe is not None:  # of a detector, no recipe of which has data of its own
        name = _as_name(getattr(config, "data_root", None), name)
    return f"{config.job.replace(' ', '-')}-{name}"


def _as_name(place: Path | str | None, otherwise: str) -> str:
    """The last part of a path, as far as a file system allows it in a name."""
    place = os.path.abspath(os.path.expanduser(place)) if isinstance(place, Path) else place or ""
    return re.sub(r"[^\w.-]+", "-", os.path.basename(place.rstrip("/")))[:60].strip(".-") or otherwise


def go_on(config: FolderConfig, place: Path) -> None:
    """Continue the job in the folder at `place`, from its last checkpoint if it has one.

    With other epochs than the run was begun with it is trained on.

    Raises:
        InputError: something is wrong with folder, checkpoint or data; all is as it was.
        RunError, Interrupted: as in `begin`.
    """
    with ending_at_once(), joined() as processes:
        if not processes.is_first:
            _follow(type(config), True, processes)
            return
        run = RunFolder.open(place)
        longer = config if isinstance(config, RunConfig) and config.extendable else None
        further = longer if longer and has_other_epochs(run, longer) else None
        with nullcontext() if run.is_finished and not further else lock(run):
            if run.is_finished and not further:
                processes.share(None)
                longer = longer if len(run.read_stages()) < 2 else None
                more = f"; --epochs with more than {longer.epochs} trains it on" if longer else ""
                print(f"{run.path} is finished: there is nothing to resume{more}")
                return
            run.refuse_links()
            with trained_on(run, further) if further else nullcontext(), _watched(config, run, True, processes):
                _lead(config, run, True, processes)


def _lead(config: FolderConfig, run: RunFolder, resume: bool, processes: Processes) -> None:
    """Do the job as the first process, once the others know what and where."""
    order = {"config": config.model_dump(mode="json"), "run": str(run.path.absolute())}
    with losses_explained(processes):
        processes.share(json.dumps(order).encode())
        imported(JOBS[config.job].does)(config, run, resume, processes)


def _follow(config_class: type[FolderConfig], resume: bool, processes: Processes) -> Path | None:
    """Do the same as the first process, which writes and prints for all; returns the run folder, if there is one."""
    with losses_explained(processes):
        shared = processes.share(None)
        if shared is None:
            return None
        order = json.loads(shared)
        run = RunFolder(Path(order["run"]))
        imported(JOBS[config_class.job_name()].does)(config_class(**order["config"]), run, resume, processes)
    return run.path


@contextmanager
def _watched(config: FolderConfig, run: RunFolder, resume: bool, processes: Processes) -> Iterator[None]:
    """However the job ends, `state.json` and the message say so, and how to go on."""
    command = ["pcdarts", *config.job.split(), "--resume", str(run.path)]
    if processes.count > 1:
        command = ["torchrun", "--nproc-per-node", str(processes.count), "-m", *command]
    remedy = f"continue with {run.to_finish_it if run.is_part else f'`{shlex.join(command)}`'}"
    try:
        yield
    except InputError as error:
        run.write_state("failed", message=str(error))
        if not resume:
            run.withdraw()
        raise
    except RunError as error:
        run.write_state("failed", message=str(error))
        mend = f"; mend that, then {remedy}" if isinstance(error.__cause__, OSError) else ""
        raise RunError(f"{error}{mend}") from error
    except KeyboardInterrupt as error:
        run.write_state("interrupted")
        said = str(error).partition("; continue with `")[0]  # what a part of this job has said of itself alone
        error.args = (f"{said or 'interrupted'}; {remedy}",)
        raise
    except Exception as error:
        run.write_state("failed", message=f"{type(error).__name__}: {error}")
        raise
