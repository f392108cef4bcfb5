"""A run that `kill_harness.py` interrupts again and again, and what is examined each time."""

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError
from pcdarts.jobs.status import status_of
from pcdarts.run.checkpoint import load_state, read_newest
from pcdarts.run.run_folder import RunFolder
from run_ends import differences, end_of
from traced_job import Calm, Event, Position, events_of, start, start_traced

PATIENCE_SECONDS = 60.0
"""Until a job that was asked to end, or whose other process was lost, must be gone."""


@dataclass(frozen=True)
class Interruption:
    """One of them, and what it cost."""

    inside_save: bool
    """The last thing that the job did was to begin a save."""
    unfinished_file: bool
    """It left a checkpoint half written, beside the whole ones."""
    saved: bool
    """There was a checkpoint."""
    lost_steps: int | None
    """Finished, but not in the checkpoint; None if nobody counted."""
    seconds: float
    """From the signal to the end of the last process."""


@dataclass
class Series:
    """Interruptions of one kind, and what came of them."""

    name: str
    alike: bool = True
    """Whether the runs must end as the undisturbed one."""
    interruptions: list[Interruption] = field(default_factory=list)
    resumed: int = 0
    damaged: int = 0
    """Checkpoints."""
    recovered: int = 0
    """Runs that went on, with the warning, from the checkpoint before a damaged one."""
    ends: int = 0
    equal_ends: int = 0
    problems: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        made = self.interruptions
        return {
            "interruptions": len(made),
            "inside_a_save": sum(one.inside_save for one in made),
            "unfinished_files": sum(one.unfinished_file for one in made),
            "before_the_first_checkpoint": sum(not one.saved for one in made),
            "resumed": self.resumed,
            "most_steps_lost": max((one.lost_steps for one in made if one.lost_steps is not None), default=None),
            "longest_end_seconds": max(one.seconds for one in made),
            "damaged": self.damaged,
            "recovered": self.recovered,
            "ends": self.ends,
            "equal_ends": self.equal_ends,
            "problems": len(self.problems),
        }


class InterruptedRun:
    """One run of a job, in a `folder` of its own; what it does wrong is added to the problems of its series."""

    def __init__(self, calm: Calm, folder: Path, series: Series) -> None:
        folder.mkdir(parents=True)
        self.calm, self.folder, self.series = calm, folder, series
        self.run = RunFolder(folder / "run")
        self._trace = folder / "trace.txt"
        self._place: Position = (0, 0)
        """Where the next process has to go on."""
        self._warning: str | None = None
        """What it has to say about a damaged checkpoint."""
        self._grown = {self.run.log: b"", self.run.metrics: b""}
        """Their whole lines."""
        self._remains: dict[Path, int] = {}
        """The unfinished files that earlier kills have left."""

    # What is done to it

    def start(self, processes: int = 1) -> subprocess.Popen[str]:
        """Start the job, or resume it; several processes are not traced."""
        self._trace.unlink(missing_ok=True)
        self._remains = self._unfinished_files()
        begun = self.run.config.exists()
        self.series.resumed += begun
        command = (self.calm.command[0], "--resume", "run") if begun else (*self.calm.command, "--run", "run")
        if processes == 1:
            return start_traced(self.folder, self._trace, *command)
        torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m")
        return start(self.folder, *torchrun, "--", "pcdarts", *command)  # without --, it would take --run for its own

    def wait_for(self, job: subprocess.Popen[str], event: str, times: int) -> None:
        """Wait until the job has done something so many times, or has ended."""
        while job.poll() is None and [done.name for done in events_of(self._trace)].count(event) < times:
            time.sleep(0.001)

    def wait_for_file(self, job: subprocess.Popen[str]) -> None:
        """Wait until the job writes a checkpoint, or has ended."""
        while job.poll() is None and not self._unfinished_files():
            time.sleep(0.0005)

    def interrupt(self, job: subprocess.Popen[str], number: signal.Signals) -> None:
        """Send a signal, wait for the end, and examine what is left."""
        since = time.monotonic()
        job.send_signal(number)
        errors = self._errors_of(job)
        seconds = time.monotonic() - since
        events = events_of(self._trace)
        self._check_words(job.returncode, number, errors)
        self._check_beginning(events)
        self._check_files()
        self._check_status()
        reached = max([self._place, *(event.place for event in events if event.name == "step")])
        saved = self._check_checkpoint(events)
        lost = self.calm.steps_done(reached) - self.calm.steps_done(self._place)
        if lost and number != signal.SIGKILL:
            self._wrong(f"{number.name} cost {lost} steps")
        inside = bool(events) and events[-1].name == "save"
        self._note(Interruption(inside, self._left_unfinished_file(), saved, lost, seconds))

    def lose_process(self, torchrun: subprocess.Popen[str], numbers: random.Random) -> None:
        """Kill one of the processes that torchrun started, and examine how the others end."""
        children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()  # Linux
        since = time.monotonic()
        if children:
            os.kill(int(numbers.choice(children)), signal.SIGKILL)
        errors = self._errors_of(torchrun)
        seconds = time.monotonic() - since
        said = [line for line in errors if line.startswith("pcdarts: ")]
        traces = sum(line.startswith("Traceback") for line in errors)  # torchrun ends with one of its own
        if (torchrun.returncode == 0 and not self.run.is_finished) or len(said) > 1 or traces > 1:
            self._wrong(f"exit code {torchrun.returncode} after a process was lost, and these lines: {errors}")
        self._check_files()
        self._check_status()
        found = self._newest()
        self._place = found[0] if found else (0, 0)
        self._note(Interruption(False, self._left_unfinished_file(), found is not None, None, seconds))

    def damage(self, numbers: random.Random) -> None:
        """Truncate the newest checkpoint, empty it, or flip some of its bits."""
        content = bytearray(self.run.checkpoint.read_bytes())
        match self.series.damaged % 3:
            case 0:
                content = content[: numbers.randrange(1, len(content))]
            case 1:
                for bit in numbers.sample(range(8 * len(content)), numbers.randint(1, 8)):
                    content[bit // 8] ^= 1 << bit % 8
            case 2:
                content.clear()
        self.run.checkpoint.write_bytes(content)
        self.series.damaged += 1
        found = self._newest()
        if found is None or found[1] is None:
            self._wrong(f"damaged checkpoint of {self._place}: {'it passes for whole' if found else 'none is left'}")
        self._place, self._warning = found or ((0, 0), None)

    def finish(self) -> None:
        """Let the job end, in one process, and compare."""
        if not self.run.is_finished:
            job = self.start()
            _, errors = job.communicate()
            self._check_words(job.returncode, None, errors.splitlines())
            self._check_beginning(events_of(self._trace))
        self._check_files()
        self.series.ends += 1
        if not self.run.is_finished:
            self._wrong("it did not end")
            return
        different = differences(end_of(self.run.path), self.calm.end)
        self.series.equal_ends += not different
        if different and self.series.alike:
            self._wrong(f"it ends differently in {len(different)} values: {', '.join(different[:5])}")

    # What is examined

    def _check_words(self, code: int, number: signal.Signals | None, errors: list[str]) -> None:
        """The exit code is the right one, and nothing was printed but what has to be."""
        if self._warning is not None and errors and errors[0] == f"pcdarts: warning: {self._warning}":
            errors = errors[1:]
        if number is None or code == 0:
            fine = code == 0 and not errors
        elif number == signal.SIGKILL:
            fine = code == -number and not errors
        elif self.run.is_finished:  # the job was about to leave
            fine = len(errors) <= 1
        else:
            fine = code == 128 + number and len(errors) == 1 and "continue with `pcdarts" in errors[0]
        if not fine:
            self._wrong(f"exit code {code} after {number.name if number else 'no signal'}, and these lines: {errors}")

    def _check_beginning(self, events: list[Event]) -> None:
        """A resumed job goes on where the checkpoint says; if that is the one before, it says so in the log too."""
        if not events or events[0].name != "began":
            return
        if events[0].place != self._place:
            self._wrong(f"it went on at {events[0].place}, but the checkpoint is that of {self._place}")
        if self._warning is not None:
            said = self._warning in self.run.log.read_text()
            if not said:
                self._wrong(f"it did not say: {self._warning}")
            self.series.recovered += said and events[0].place == self._place
            self._warning = None

    def _check_files(self) -> None:
        """Metrics and log have only grown, and all their lines but a torn last one are valid."""
        for path, before in self._grown.items():
            content = path.read_bytes() if path.exists() else b""
            self._grown[path] = content[: content.rfind(b"\n") + 1]
            if not self._grown[path].startswith(before):
                self._wrong(f"{path.name} has lost something")
        try:
            self._grown[self.run.log].decode()
            for line in self._grown[self.run.metrics].splitlines():
                json.loads(line)
        except ValueError as error:
            self._wrong(f"a line is not valid: {error}")

    def _check_status(self) -> None:
        if self.run.config.exists():
            expected = {"done"} if self.run.is_finished else {"interrupted"}
            if not self.series.alike:
                expected.add("failed")  # the first of several processes has seen the end of another
            if (state := status_of(self.run).state) not in expected:
                self._wrong(f"its status is {state}")

    def _check_checkpoint(self, events: list[Event]) -> bool:
        """The newest checkpoint is whole, and is that of the last save; of one that was not over yet, if need be.

        Returns whether there is one.
        """
        finished = max([self._place, *(event.place for event in events if event.name == "saved")])
        begun = {event.place for event in events[-1:] if event.name == "save"}
        found = self._newest()
        self._place, warning = found or ((0, 0), None)
        if warning != self._warning:
            self._wrong(f"a checkpoint that nobody damaged: {warning}")
        if self._place not in {finished, *begun}:
            self._wrong(f"the checkpoint is that of {self._place}, but that of {finished} was saved")
        recorded = {record["epoch"] for record in self.run.read_metrics()}
        if missing := set(range(1, self._place[0])) - recorded:  # that of its last epoch may be in the checkpoint only
            self._wrong(f"the metrics lack the epochs {missing}")
        return found is not None

    def _newest(self) -> tuple[Position, str | None] | None:
        """Where the newest whole checkpoint goes on, and what a job says if it is the one before."""
        try:
            found = read_newest(self.run.checkpoint)
            if found is None:
                return None
            config = resolve(SearchConfig if self.calm.command[0] == "search" else TrainConfig, file=self.run.config)
            place = load_state(found[0], self.run.checkpoint, config.fingerprint())["place"]
        except InputError as error:
            self._wrong(str(error))
            return None
        warning = found[1] and found[1].replace(str(self.run.path), "run")  # as the job sees the paths
        return (place["epoch"], place["step"]), warning

    def _unfinished_files(self) -> dict[Path, int]:
        """Checkpoints half written, with the time of the last write in nanoseconds."""
        found = {}
        for path in self.run.path.glob(".checkpoint*.tmp"):
            with suppress(FileNotFoundError):  # it is finished
                found[path] = path.stat().st_mtime_ns
        return found

    def _left_unfinished_file(self) -> bool:
        return bool(self._unfinished_files().items() - self._remains.items())

    def _errors_of(self, job: subprocess.Popen[str]) -> list[str]:
        try:
            _, errors = job.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._wrong(f"not all processes have ended {PATIENCE_SECONDS:.0f} s after the signal")
            job.terminate()
            _, errors = job.communicate()
        return errors.splitlines()

    def _note(self, one: Interruption) -> None:
        self.series.interruptions.append(one)
        where = " in a save" if one.inside_save else ""
        lost = "" if one.lost_steps is None else f", {one.lost_steps} steps lost"
        print(f"{self._name}: interrupted{where}{lost}, goes on after {self._place}", flush=True)

    def _wrong(self, what: str) -> None:
        self.series.problems.append(f"{self._name}: {what}")
        print(f"WRONG: {self.series.problems[-1]}", flush=True)

    @property
    def _name(self) -> str:
        return f"{self.calm.command[0]}, {self.series.name}, {len(self.series.interruptions)}"
