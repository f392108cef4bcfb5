"""What a worker of a study does: the runs of one cell of the grid, each a process with a run folder of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pcdarts.errors import InputError
from pcdarts.run.lock import is_locked
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

WATCH_SECONDS = 0.5
SIGNALLED = (129, 130, 143, -1, -2, -15)
"""Exit codes of a run that SIGHUP, SIGINT or SIGTERM has ended; negative ones before it could save, as it began."""
END_SECONDS = 120.0
"""What a run has to finish its step and save, once it was asked to."""


@dataclass(frozen=True)
class Task:
    """A cell of the grid as a worker gets it: text and paths, all of a file system that is shared."""

    folder: str
    steps: tuple[tuple[str, str], ...]
    """Of each run in order: its job, and the configuration with which it begins as YAML."""
    flags: tuple[str, ...]
    """What every run is told besides: where and how to compute."""
    stop: str
    """A file that is there once the study is asked to end."""


@dataclass(frozen=True)
class Ended:
    """How a cell ended, and the last words of a run that failed."""

    state: Literal["done", "failed", "interrupted"]
    message: str = ""


def work(task: Task, gpus: Sequence[str] = ()) -> Ended:
    """Do what is left of a cell: finished runs are left alone, begun ones resumed.

    With `gpus` the run sees one of them alone, that of this worker's number.
    """
    folder = Path(task.folder)
    environment = dict(os.environ, **(gpu_of(_worker_number(), gpus) if gpus else {}))
    if not folder.is_dir():
        return Ended("failed", f"{folder} is not there: workers must share the file system of the study")
    for job, config in task.steps:
        run = RunFolder(folder / job.split()[-1])
        if not _wait_for(run, Path(task.stop)):
            return Ended("interrupted")
        if run.is_finished:
            try:
                run.read_result()
            except InputError as error:
                return Ended("failed", f"{job}: {error}; or remove {run.path}, and it is done again")
            continue
        code, said = _run(job, config, run, task, environment)
        if not run.is_finished:
            if code in SIGNALLED:
                return Ended("interrupted", f"{job}: {said}")
            return Ended("failed", f"{job}: {said or _ending(code)}")
    return Ended("done")


def gpu_of(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """The variable that shows a run one GPU alone, that of its worker."""
    return {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]}


def _worker_number() -> int:
    """Which of the local workers this is."""
    from distributed import get_worker

    return int(get_worker().name)


def _wait_for(run: RunFolder, stop: Path) -> bool:
    """Wait until no process works on `run`: one whose worker was killed saves and ends. False if asked to end."""
    while is_locked(run) and not stop.exists():
        time.sleep(WATCH_SECONDS)
    return not stop.exists()


def _run(job: str, config: str, run: RunFolder, task: Task, environment: dict[str, str]) -> tuple[int, str]:
    """Begin or resume one run and watch it until it ends; its exit code and the last thing that it said was wrong."""
    folder = Path(task.folder)
    if run.config.is_file():
        place = ["--resume", str(run.path)]
    else:
        begin = folder / f"{run.path.name}.yaml"
        write_text(begin, config)
        place = ["--config", str(begin), "--run", str(run.path)]
    command = [sys.executable, "-m", "pcdarts.study.attached", *job.split(), *place, *task.flags]
    output = folder / "output.txt"
    with output.open("ab") as file:
        start = file.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is the study's: it asks its runs to end, once
        )
        try:
            while process.poll() is None and not Path(task.stop).exists():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(WATCH_SECONDS)
        finally:
            _end(process)
    with output.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    problems = [line for line in lines if line.startswith("pcdarts: error: ")] or lines[-1:]
    return process.returncode, problems[-1].removeprefix("pcdarts: error: ") if problems else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process that still runs to save and end, and see to it that it does."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ending(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code} and no word"
