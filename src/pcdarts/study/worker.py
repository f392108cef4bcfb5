"""The work of a study's worker: the runs of one cell of the grid, each a process with its own run folder."""

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
"""Exit codes after SIGHUP, SIGINT or SIGTERM; negative ones if the run had just started and did not save."""
REFUSED = 2
"""Exit code of a run that is not resumed, for example because another version of pcdarts has begun it."""
END_SECONDS = 120.0
"""The time that a run has to finish its step and save."""


@dataclass(frozen=True)
class Task:
    """A cell of the grid for a worker: text, and paths on a shared file system."""

    folder: str
    steps: tuple[tuple[str, str], ...]
    """The job and the configuration (YAML) of each run, in order."""
    flags: tuple[str, ...]
    """More flags of every run: where and how to compute."""
    stop: str
    """A file that exists when the study is asked to end."""


@dataclass(frozen=True)
class Ended:
    """How a cell ended, and the last message of a failed run."""

    state: Literal["done", "failed", "interrupted"]
    message: str = ""


def work(task: Task, gpus: Sequence[str] = ()) -> Ended:
    """Do the remaining runs of a cell: finished runs are left alone, started ones are resumed.

    With `gpus` a run sees only one of them, by this worker's number.
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
        begun = run.config.is_file()
        code, said = _run(job, config, run, task, environment)
        if not run.is_finished:
            if code in SIGNALLED:
                return Ended("interrupted", f"{job}: {said}")
            again = f"; or remove {run.path}, and it is done again" if begun and code == REFUSED else ""
            return Ended("failed", f"{job}: {said or _ending(code)}{again}")
    return Ended("done")


def gpu_of(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """The environment variable that shows a run only the GPU of its worker."""
    return {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]}


def _worker_number() -> int:
    """Which of the local workers this is."""
    from distributed import get_worker

    return int(get_worker().name)


def _wait_for(run: RunFolder, stop: Path) -> bool:
    """Wait until no process has `run`: one whose worker was killed saves and ends. False if the study shall end."""
    while is_locked(run) and not stop.exists():
        time.sleep(WATCH_SECONDS)
    return not stop.exists()


def _run(job: str, config: str, run: RunFolder, task: Task, environment: dict[str, str]) -> tuple[int, str]:
    """Start or resume one run and wait for its end; returns its exit code and its last error message."""
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
            start_new_session=True,  # only the study gets Ctrl-C, and asks its runs to end
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
    """Ask a process to save and end, and kill it if it takes too long."""
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
