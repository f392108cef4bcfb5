"""The run folder: what a long job leaves behind, so written that a kill or a full disk at any moment loses nothing."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pcdarts.cell.space import CellKind
from pcdarts.errors import InputError, RunError

RUNS = Path("runs")
"""Where runs go that are given no folder of their own."""


class RunFolder:
    """A folder that holds one run; `result.json`, written last, means done.

    Files are replaced whole or not at all; `metrics.jsonl` and `log.txt` grow by whole lines. Epochs count from 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.env = path / "env.json"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "log.txt"
        self.genotype = path / "genotype.json"
        self.checkpoint = path / "checkpoint.pt"
        self.result = path / "result.json"

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
            if path.exists() and any(path.iterdir()):
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
            raise InputError(f"cannot make a run folder in {parent}: {error.strerror}") from None

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            InputError: there is no run at `path`.
        """
        run = cls(path)
        if not run.config.is_file():
            lack = "has no config.yaml" if path.is_dir() else "does not exist"
            raise InputError(f"{path} is not a run folder: it {lack}")
        return run

    def withdraw(self) -> None:
        """Remove the folder if it holds no more than a job's beginning: the job was refused before it did anything."""
        beginning = (self.config, self.env, self.log)
        with suppress(OSError):
            if set(self.path.iterdir()) <= set(beginning):
                for path in beginning:
                    path.unlink(missing_ok=True)
                self.path.rmdir()

    @property
    def is_finished(self) -> bool:
        return self.result.exists()

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

    def read_result(self) -> dict[str, Any]:
        """What `finish` wrote.

        Raises:
            InputError: there is no result yet, or the file is damaged.
        """
        try:
            result = json.loads(self.result.read_text("utf-8"))
        except FileNotFoundError:
            raise InputError(f"{self.path} is not finished: finish it with --resume {self.path} first") from None
        except (OSError, ValueError):
            result = None
        if not isinstance(result, dict):
            raise InputError(f"{self.result} is damaged: restore it from a copy, or run the job again")
        return result

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one record, which must say its `epoch`, to `metrics.jsonl`; a number that is not finite becomes null.

        Raises:
            RunError: it cannot be saved.
        """
        _append_line(self.metrics, json.dumps(_finite(record)))

    def read_metrics(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl` in order; a line torn by a kill is left out."""
        return list(_records(self.metrics))

    def truncate_metrics(self, epoch: int) -> None:
        """Keep the records up to and including `epoch`, that of the checkpoint from which the run continues.

        Raises:
            RunError: it cannot be saved.
        """
        kept = [record for record in self.read_metrics() if record["epoch"] <= epoch]
        write_text(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))

    def append_log(self, line: str) -> None:
        """Add one line to `log.txt`.

        Raises:
            RunError: it cannot be saved.
        """
        _append_line(self.log, line)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8), whole or not at all.

    Raises:
        RunError: it cannot be saved; an earlier version stays as it was.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace `path` by `content`, whole or not at all, and wait until the disk has it.

    Raises:
        RunError: it cannot be saved; an earlier version stays as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise _cannot_save(path, error) from error


def _append_line(path: Path, line: str) -> None:
    try:
        with path.open("ab+") as file:
            if file.tell() and _last_byte(file) != b"\n":
                file.write(b"\n")
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_save(path, error) from error


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON-lines file; lines that are torn are skipped."""
    if not path.exists():
        return
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        with suppress(json.JSONDecodeError):
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity, and a loss may become either."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries: a rename survives a power cut only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _cannot_save(path: Path, error: OSError) -> RunError:
    return RunError(f"cannot save {path}: {error.strerror} (nothing saved before is lost)")
