"""A job that notes what it does, for `kill_harness.py`: its command, with a line in a file for every step and save."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from pcdarts.__main__ import main as pcdarts
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.saving import Place, Saving
from run_ends import End, end_of

Position = tuple[int, int]
"""Finished epochs, and finished steps of the next one."""


class Event(NamedTuple):
    """What a job did: `began` (resumed), `step` (finished), `save` (begun) or `saved`; and where it stood then."""

    name: str
    place: Position
    at: float
    """Seconds on the machine's clock."""


def main() -> None:
    """Be the command `pcdarts` of the arguments after the first, and add every event to the file that it names."""
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.argv = ["pcdarts", *sys.argv[2:]]

    def note(name: str, place: Place) -> None:
        os.write(file, f"{name} {place.epoch} {place.step} {time.monotonic()}\n".encode())

    def noted(method: Callable[..., None], after: str, before: str | None = None) -> Callable[..., None]:
        def wrapped(self: Any, *arguments: Any) -> None:
            place = self if isinstance(self, Place) else self.place
            if before:
                note(before, place)
            method(self, *arguments)
            note(after, place)

        return wrapped

    with (
        patch.object(Place, "finish_step", noted(Place.finish_step, "step")),
        patch.object(Saving, "restore", noted(Saving.restore, "began")),
        patch.object(Saving, "save", noted(Saving.save, "saved", before="save")),
    ):
        pcdarts()


def events_of(trace: Path) -> list[Event]:
    """The events in a file, oldest first; none if there is no such file yet."""
    whole = trace.read_text().rpartition("\n")[0] if trace.exists() else ""
    words = map(str.split, whole.splitlines())
    return [Event(name, (int(epoch), int(step)), float(at)) for name, epoch, step, at in words]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Python inside `folder`, with one thread: bits depend on how many there are."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_traced(folder: Path, trace: Path, *command: str) -> subprocess.Popen[str]:
    """Start a traced job inside `folder`."""
    return start(folder, str(Path(__file__).absolute()), str(trace.absolute()), *command)


@dataclass(frozen=True)
class Calm:
    """A job that nobody disturbed."""

    command: Sequence[str]
    end: End
    """All that it left, as `run_ends.end_of` gives it."""
    seconds: float
    startup_seconds: float
    """Until its first step was done."""
    save_seconds: float
    """The median."""
    steps: int
    """In an epoch."""
    checkpoint_bytes: int

    def steps_done(self, place: Position) -> int:
        """How many steps of the run that is."""
        epoch, step = place
        return epoch * self.steps + step


def undisturbed(command: Sequence[str], folder: Path) -> Calm:
    """Do a job in one go.

    Raises:
        RuntimeError: it failed.
    """
    folder.mkdir(parents=True)
    trace, run = folder / "trace.txt", RunFolder(folder / "run")
    since = time.monotonic()
    process = start_traced(folder, trace, *command, "--run", "run")
    _, errors = process.communicate()
    if process.returncode or errors:
        raise RuntimeError(f"the undisturbed run failed: {errors}")
    events = events_of(trace)
    return Calm(
        command=command,
        end=end_of(run.path),
        seconds=time.monotonic() - since,
        startup_seconds=events[0].at - since,
        save_seconds=statistics.median(after.at - save.at for save, after in pairwise(events) if save.name == "save"),
        steps=max(event.place[1] for event in events),
        checkpoint_bytes=run.checkpoint.stat().st_size,
    )


if __name__ == "__main__":
    main()
