"""The frame of `gpu_session.py`: commands in processes of their own, with limits, and what is known after each."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

PATIENCE_SECONDS = 6.0
"""Between SIGINT, which jobs heed by saving, and what no process survives."""

LARGEST_FILE = 4 * 10**6
"""In bytes; larger ones are not taken along, and are named in the summary."""

TAIL_LINES = 40


@dataclass
class Ended:
    """How a command ended."""

    name: str
    code: int
    ended: str
    """`done`, `failed`, `stopped` as was wanted, `killed` at its limit, `cut short` with the session, `not started`."""
    seconds: float
    log: Path

    def text(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def tail(self, lines: int = TAIL_LINES) -> str:
        return "\n".join(self.text().rstrip().splitlines()[-lines:])


@dataclass
class Session:
    """Where results go, until when, and what is known so far."""

    output: Path
    work: Path
    deadline: float
    """On the monotonic clock; no command runs longer."""
    began: float = field(default_factory=time.monotonic)
    about: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work = self.work.resolve()
        self.logs = self.work / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._lock = threading.RLock()
        self.environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",  # SIGABRT then writes where a hanging process is
        }

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def part(self, name: str) -> dict[str, Any]:
        """What is known of a part; it may be added to."""
        with self._lock:
            return self.parts.setdefault(name, {"steps": {}})

    def note(self, text: str) -> None:
        """Something that the reader of the summary must know."""
        print(text, flush=True)
        with self._lock:
            self.about.setdefault("notes", []).append(text)

    def command(
        self,
        part: str,
        name: str,
        command: Sequence[str | Path],
        limit: float,
        *,
        environment: Mapping[str, str] | None = None,
        watch: Callable[[], bool] = lambda: False,
        cwd: Path | None = None,
    ) -> Ended:
        """Run a command for `limit` seconds at most; its output becomes a log.

        `watch` is asked four times a second; once it says yes, the command is asked to stop by SIGINT, as a user would.
        """
        log = self.logs / f"{part}-{name}.log"
        words = [str(word) for word in command]
        until = min(time.monotonic() + limit, self.deadline - PATIENCE_SECONDS)
        if self._closed or until <= time.monotonic():
            ended = Ended(name, -1, "not started", 0.0, log)
        else:
            try:
                ended = self._run(name, words, until, log, {**self.environment, **(environment or {})}, watch, cwd)
            except OSError as error:  # there is no such program
                log.write_text(f"{error}\n")
                ended = Ended(name, 127, "failed", 0.0, log)
        step = {"ended": ended.ended, "code": ended.code, "seconds": round(ended.seconds, 2), "command": words}
        if environment:
            step["environment"] = dict(environment)
        if ended.ended in ("failed", "killed"):
            step["tail"] = ended.tail()
        with self._lock:
            self.part(part)["steps"][name] = step
        print(f"   {part}: {name}: {ended.ended} (code {ended.code}) after {ended.seconds:.1f} s", flush=True)
        self.save()
        return ended

    def _run(
        self,
        name: str,
        words: list[str],
        until: float,
        log: Path,
        environment: dict[str, str],
        watch: Callable[[], bool],
        cwd: Path | None,
    ) -> Ended:
        began, how = time.monotonic(), ""
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                cwd=cwd or self.work,
                start_new_session=True,
            )
            with self._lock:
                self._running.add(process)
                if self._closed:  # just now
                    kill_group(process)
            try:
                while process.poll() is None:
                    if time.monotonic() >= until:
                        how = "killed"
                    elif watch():
                        how = "stopped"
                    if how:
                        end_group(process, PATIENCE_SECONDS)
                        break
                    time.sleep(0.25)
                code = process.wait()
            finally:
                kill_group(process)  # also whatever it left behind
                with self._lock:
                    self._running.discard(process)
        how = how or ("done" if code == 0 else "cut short" if self._closed else "failed")
        return Ended(name, code, how, time.monotonic() - began, log)

    def end_all(self) -> None:
        """Kill what is running, and start nothing more."""
        with self._lock:
            self._closed = True
            for process in self._running:
                kill_group(process)

    def save(self) -> None:
        """Write what is known: a file per part, the summary, and the archive of logs and small files."""
        with self._lock:
            self.about["seconds"] = round(time.monotonic() - self.began, 1)
            try:
                for name, known in self.parts.items():
                    if name != "machine":  # all of it is in the summary
                        write_json(self.output / f"{name}.json", known)
                if left_out := self._archive():
                    self.about["left_out_of_the_archive"] = left_out
                write_json(self.output / "summary.json", {**self.about, "parts": self.short()})
            except OSError as error:  # a full disk, say; the table on the screen still comes
                print(f"cannot save: {error}", flush=True)

    def _archive(self) -> list[str]:
        """Logs, figures and the small files of runs, in one file; returns the names of those that are too large."""
        left_out, partial = [], self.output / "session.tar.gz.partial"
        with tarfile.open(partial, "w:gz", compresslevel=5) as archive:
            for top in ("logs", "figures", "runs"):
                for path in sorted((self.work / top).rglob("*")):
                    if (
                        path.is_symlink()
                        or not path.is_file()
                        or path.suffix in (".pt", ".safetensors", ".onnx", ".pt2")
                    ):
                        continue
                    name = str(path.relative_to(self.work))
                    try:
                        if path.stat().st_size > LARGEST_FILE:
                            left_out.append(name)
                            continue
                        archive.add(path, name)
                    except OSError:  # replaced or removed by its job just now
                        continue
        partial.replace(self.output / "session.tar.gz")
        return left_out

    def short(self) -> dict[str, Any]:
        """Of every part how its commands ended, and its figures."""
        return {
            name: {
                **{key: value for key, value in known.items() if key != "steps"},
                "steps": {step: f"{about['ended']}, {about['seconds']} s" for step, about in known["steps"].items()},
            }
            for name, known in self.parts.items()
        }

    def table(self) -> str:
        """What a reader wants first, in some dozens of lines."""
        lines = ["", f"session of {time.monotonic() - self.began:.0f} s, results in {self.output}"]
        lines += [f"{key}: {value}" for key, value in self.about.get("machine", {}).items()]
        lines += [f"note: {note}" for note in self.about.get("notes", [])]
        for name, known in self.parts.items():
            lines.append(f"-- {name}")
            lines += [
                f"   {step:28} {about['ended']:11} {about['seconds']:7.1f} s" for step, about in known["steps"].items()
            ]
            lines += [f"   {line}" for line in known.get("lines", [])]
            if "mistake" in known:
                lines += known["mistake"].rstrip().splitlines()[-3:]
            for step, about in known["steps"].items():
                if "tail" in about and "log_is_shown" not in known:
                    lines += [
                        f"   {step} ended so:",
                        *(f"   | {line[:240]}" for line in about["tail"].splitlines()[-6:]),
                    ]
        return "\n".join(lines)


def end_group(process: subprocess.Popen[bytes], patience: float) -> None:
    """SIGINT to a command and all that it started; then SIGABRT, which makes Python say where it was; then SIGKILL."""
    for number, seconds in ((signal.SIGINT, patience), (signal.SIGABRT, 0.5)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a command and all that it started, also after it has ended itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def write_json(path: Path, value: Any) -> None:
    """Replace a file whole."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1, default=str) + "\n", "utf-8")
    partial.replace(path)


def pcdarts(*arguments: str | Path) -> list[str]:
    """The command line of this checkout."""
    return [sys.executable, "-m", "pcdarts", *map(str, arguments)]
