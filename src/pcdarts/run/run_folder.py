"""The run folder: what a long job leaves behind, so written that a kill or a full disk at any moment loses nothing."""

import json
import math
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pcdarts.cell.space import CellKind
from pcdarts.errors import InputError, RunError
from pcdarts.run.whole_files import append_line, cut_torn_line, write_text

RUNS = Path("runs")
"""Where runs go that are given no folder of their own."""

State = Literal["running", "interrupted", "failed"]
"""What a job can say of itself; that it is done is said by `result.json`."""


class RunFolder:
    """A folder that holds one run; `result.json`, written last, means done.

    Files are replaced whole or not at all; `metrics.jsonl` and `log.txt` grow by whole lines. Epochs count from 1.
    While a job works on the run it holds `.lock` (`run/lock.py`) and tells in `state.json` where it stands.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.env = path / "env.json"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "log.txt"
        self.genotype = path / "genotype.json"
        self.split = path / "split.json"
        self.plan = path / "plan.json"
        self.latencies = path / "latencies.json"
        self.stages = path / "stages.json"
        self.checkpoint = path / "checkpoint.pt"
        self.mistakes = path / "mistakes.png"
        self.result = path / "result.json"
        self.state = path / "state.json"
        self.lock_file = path / ".lock"
        self._details: dict[str, Any] = {}

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make a folder for a new run, or take an empty one.

        Raises:
            InputError: `path` holds a run or anything else, or cannot be made.
        """
        run = cls(path)
        try:
            if path.exists() and not path.is_dir():
                raise InputError(f"{path} is a file, but the run needs a folder: choose another --run")
            if run.is_finished:
                raise InputError(f"{path} already holds a finished run: choose another --run")
            if run.config.exists():
                raise InputError(
                    f"{path} already holds an unfinished run: continue it with --resume {path}, or choose another --run"
                )
            if path.exists() and not all(map(_is_no_work, path.iterdir())):
                raise InputError(f"{path} is not empty and holds no run: choose another --run")
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the run folder {path}: {error.strerror}") from None
        return run

    @classmethod
    def create_next(cls, parent: Path, stem: str) -> "RunFolder":
        """Make `parent/stem-NNN` with the next free number; two jobs that start at once get different ones.

        Raises:
            InputError: the folder cannot be made.
        """
        try:
            parent.mkdir(parents=True, exist_ok=True)
            number = 1
            while True:
                try:
                    (path := parent / f"{stem}-{number:03d}").mkdir()
                    return cls(path)
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise InputError(
                f"cannot make a run folder in {parent}: {error.strerror}; name a folder elsewhere with --run FOLDER"
            ) from None

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            InputError: there is no run at `path`.
        """
        run = cls(path)
        if not run.config.is_file():
            lack = "has no config.yaml" if path.is_dir() else "is a file" if path.exists() else "does not exist"
            raise InputError(f"{path} is not a run folder: it {lack}")
        return run

    def refuse_links(self) -> None:
        """Make sure that nothing in the folder leads out of it, before a job writes there; the folder may be a link.

        Raises:
            InputError: a symbolic link, or the folder cannot be searched.
        """

        def cannot_search(error: OSError) -> None:
            raise InputError(f"cannot search the run folder {self.path}: {error.strerror}")

        for folder, folders, files in os.walk(self.path, onerror=cannot_search):
            for path in (Path(folder) / name for name in folders + files):
                if path.is_symlink():
                    raise InputError(
                        f"{path} is a link, but the paths of a run cannot escape its folder: replace it by a file"
                    )
                if not (path.is_file() or path.is_dir()):
                    raise InputError(f"{path} is no plain file: remove it, or start a new run")

    def withdraw(self) -> None:
        """Remove the folder if it holds no more than a job's beginning: the job was refused before it did anything."""
        with suppress(OSError):
            if self.has_only_begun:
                for path in list(self.path.iterdir()):
                    path.unlink()
                self.path.rmdir()

    @property
    def has_only_begun(self) -> bool:
        """Whether the folder holds no more than a job's beginning, of which a plan is a part."""
        beginning = (self.config, self.env, self.log, self.split, self.plan, self.latencies, self.stages)
        return all(path in beginning or _is_no_work(path) for path in self.path.iterdir())

    @property
    def is_finished(self) -> bool:
        return self.result.exists()

    @property
    def whole(self) -> "RunFolder":
        """The fit or the comparison in whose folder this run is, the outer one of both; otherwise the run itself."""
        found = self
        for folder in self.path.parents:
            run = RunFolder(folder)
            if not run.config.is_file():
                break
            found = run if run._whole_job else found
        return found

    @property
    def fit(self) -> "RunFolder | None":
        """The fit, finished or not, whose training this run is."""
        whole = self.whole
        return whole if self.path == whole.path / "train" else None

    @property
    def is_part(self) -> bool:
        """Whether a fit or a comparison that is not finished does this run: that one says what is next."""
        whole = self.whole
        return whole is not self and not whole.is_finished

    @property
    def to_finish_it(self) -> str:
        """How a user finishes this run: with all that it is a part of."""
        whole = self.whole if self.is_part else self
        flag = f"--resume {shlex.quote(str(whole.path))}"
        return f"`pcdarts {whole._whole_job} {flag}`" if whole is not self else flag

    @property
    def _whole_job(self) -> str | None:
        """`fit` or `compare`; None of other jobs, none of which has run folders of other jobs inside."""
        with suppress(OSError, ValueError):
            found = re.search(r"^job: (fit|compare)$", self.config.read_text("utf-8"), re.MULTILINE)
            return found and found[1]
        return None

    def is_news(self, line: str) -> bool:
        """Whether to print a line about the data: a fit or a comparison says it once for all its parts, in its log.

        Raises:
            RunError: its log cannot be saved.
        """
        if not self.is_part:
            return True
        whole = self.whole
        if whole.log.is_file() and line in whole.log.read_text("utf-8", "replace").split("\n"):
            return False
        whole.append_log(line)
        return True

    def epoch_genotype(self, epoch: int) -> Path:
        """Where the genotype derived after `epoch` goes."""
        return self.path / "genotypes" / f"epoch_{epoch:03d}.json"

    def cell_svg(self, kind: CellKind) -> Path:
        """Where the drawing of the final cell of this kind goes."""
        return self.path / f"cell_{kind}.svg"

    def write_json(self, path: Path, value: Any) -> None:
        """Replace `path` by `value` as JSON; a number that is not finite becomes null.

        Raises:
            RunError: it cannot be saved; an earlier version stays as it was.
        """
        write_text(path, json.dumps(_finite(value), indent=2) + "\n")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`: from now on the run counts as finished.

        Raises:
            RunError: it cannot be saved.
        """
        self.write_json(self.result, result)
        with suppress(OSError):  # nobody works here any more
            self.state.unlink(missing_ok=True)
            self.lock_file.unlink(missing_ok=True)

    def read_result(self) -> dict[str, Any]:
        """What `finish` wrote.

        Raises:
            InputError: there is no result yet, or the file is damaged.
        """
        if not self.is_finished:
            raise InputError(f"{self.path} is not finished: finish it with {self.to_finish_it} first")
        result = _read_json(self.result)
        if not isinstance(result, dict):
            raise InputError(f"{self.result} is damaged: restore it from a copy, or run the job again")
        return result

    def read_plan(self) -> dict[str, Any]:
        """What a fit has planned and done; empty for other runs, and if the file is damaged."""
        plan = _read_json(self.plan)
        return plan if isinstance(plan, dict) else {}

    def read_stages(self) -> list[dict[str, int]]:
        """The stages of a search, as `learn/stages.py` tells them; empty for one without, or a damaged file."""
        stages, names = _read_json(self.stages), ("epochs", "arch_frozen_epochs", "num_cells", "k")
        if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
            return []
        known = [{name: stage.get(name) for name in names} for stage in stages]
        sensible = all(type(value) is int and 0 <= value < 10**6 for stage in known for value in stage.values())
        return known if sensible else []

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one record, which must say its `epoch`, to `metrics.jsonl`; a number that is not finite becomes null.

        Raises:
            RunError: it cannot be saved.
        """
        append_line(self.metrics, json.dumps(_finite(record)))

    def read_metrics(self) -> list[dict[str, Any]]:
        """The last record of each epoch, in the order of epochs; a line torn by a kill is left out.

        An epoch has several where an older checkpoint had to be used and it was done again.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            records = {record["epoch"]: record for record in _records(self.metrics)}
        except OSError as error:
            raise InputError(f"cannot read {self.metrics}: {error.strerror}") from None
        return [records[epoch] for epoch in sorted(records)]

    def resume_metrics(self, record: Mapping[str, Any] | None) -> None:
        """Let metrics and log go on after a kill: lines that it tore are removed, nothing else is.

        `record` is that of the last epoch in the checkpoint; it is added if the kill came before it was.

        Raises:
            InputError: the file cannot be read.
            RunError: it cannot be saved.
        """
        cut_torn_line(self.log)
        cut_torn_line(self.metrics)
        if record is not None and record["epoch"] not in [known["epoch"] for known in self.read_metrics()]:
            self.append_metrics(record)

    def append_log(self, line: str) -> None:
        """Add one line to `log.txt`.

        Raises:
            RunError: it cannot be saved.
        """
        append_line(self.log, line)

    def say(self, line: str) -> None:
        """Print one line, and add it to `log.txt`.

        Raises:
            RunError: the log cannot be saved.
        """
        self.append_log(line)
        print(line, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, and add it to `log.txt` if that can be saved."""
        print(f"pcdarts: warning: {text}", file=sys.stderr, flush=True)
        with suppress(RunError):
            self.append_log(f"warning: {text}")

    def write_state(self, state: State, **details: Any) -> None:
        """Say in `state.json` what the job is doing; details given before, to this object, are said again.

        Watching never stops a run: what cannot be saved is not, and a folder that was withdrawn is not made again.
        """
        if not self.path.is_dir():
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._details = {"since": now, **self._details, **details}
        about = {"state": state, "pid": os.getpid(), "host": platform.node(), "updated": now}
        with suppress(RunError):
            self.write_json(self.state, about | self._details)

    def read_state(self) -> dict[str, Any]:
        """What `write_state` wrote last; empty if that is missing or damaged."""
        state = _read_json(self.state)
        return state if isinstance(state, dict) else {}


def _is_no_work(path: Path) -> bool:
    """Whether a file only says who works there, or is what a kill left of a file that was not whole yet."""
    return path.name in (".lock", "state.json") or (path.name.startswith(".") and path.name.endswith(".tmp"))


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON-lines file that are records of an epoch; torn and foreign ones are skipped."""
    if not path.is_file():
        return
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        with suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and type(record.get("epoch")) is int:
                yield record


def _read_json(path: Path) -> Any:
    """What a JSON file holds; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity, and a loss may become either."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
