"""Metrics for TensorBoard or a service with wandb's interface; whatever goes wrong there, the run goes on."""

import os
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from pcdarts.errors import InputError, shown
from pcdarts.run.run_folder import RunFolder

Track = Literal["none", "tensorboard", "wandb", "trackio"]
PROJECT = "pcdarts"


class Sink(Protocol):
    """Where numbers go."""

    def log(self, numbers: dict[str, float], epoch: int) -> None: ...
    def finish(self) -> None: ...


class Tracker:
    """Sends the numbers of epoch records to a sink, which is opened for the first of them.

    So a job that is refused leaves nothing there. After the first failure there is one warning, and silence.
    """

    def __init__(self, run: RunFolder, open_sink: Callable[[int], Sink]) -> None:
        self._run = run
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._failed = False

    def log(self, record: Mapping[str, Any]) -> None:
        """Send the numbers of a record, which has its `epoch`."""
        if self._failed:
            return
        numbers = {name: value for name, value in record.items() if name != "epoch" and _is_number(value)}
        try:
            if self._sink is None:
                self._sink = self._open_sink(record["epoch"])
            self._sink.log(numbers, record["epoch"])
        except Exception as error:  # the code of others, which may fail in any way
            self._stop(error)

    def finish(self) -> None:
        """All is sent; a second time does nothing."""
        sink, self._sink = self._sink, None
        if sink is None or self._failed:
            return
        try:
            sink.finish()
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self._failed = True
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self._run.warn(f"tracking stopped: {shown(reason, 200)}; the run goes on")


def make_tracker(track: Track, run: RunFolder, config: Mapping[str, Any]) -> Tracker | None:
    """The tracker of a run, new or resumed; None for "none".

    Raises:
        InputError: the package that it needs cannot be imported.
    """
    match track:
        case "none":
            return None
        case "tensorboard":
            _import("tensorboard.summary.writer.record_writer", "tensorboard")
            _import("tensorboard.compat.proto.event_pb2", "tensorboard")
            return Tracker(run, lambda epoch: _EventFile(run.path / "tensorboard", epoch))
    service, resumed = _import(track, track), run.metrics.exists()
    return Tracker(run, lambda epoch: _Service(service, {**_place(track, run, resumed), "config": dict(config)}))


class _EventFile:
    """A new file of TensorBoard's events, which supersede those of earlier files from `epoch` on.

    Written here and not by `torch.utils.tensorboard`, because that writes in a thread, whose errors nobody can catch.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._proto = import_module("tensorboard.compat.proto.event_pb2")
        self._records = import_module("tensorboard.summary.writer.record_writer")
        self._path = folder / f"events.out.tfevents.{time.time_ns():020d}.{os.getpid()}"
        folder.mkdir(exist_ok=True)
        self._add(file_version="brain.Event:2")
        self._add(step=epoch, session_log=self._proto.SessionLog(status=self._proto.SessionLog.START))

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        values = [{"tag": name, "simple_value": value} for name, value in numbers.items()]
        self._add(step=epoch, summary={"value": values})

    def finish(self) -> None:
        """Nothing is open between two events."""

    def _add(self, **content: Any) -> None:
        with self._path.open("ab") as file:
            event = self._proto.Event(wall_time=time.time(), **content)
            self._records.RecordWriter(file).write(event.SerializeToString())


class _Service:
    """A run of wandb, or of a module with its interface."""

    def __init__(self, module: Any, settings: Mapping[str, Any]) -> None:
        self._module = module
        module.init(**settings)

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        self._module.log(numbers, step=epoch)

    def finish(self) -> None:
        self._module.finish()


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except Exception as error:  # missing, or broken
        reason = shown(" ".join(str(error).split()), 200)
        raise InputError(
            f"--track {package} needs the package {package} ({reason}): pip install {package}, or drop --track"
        ) from None


def _place(track: Track, run: RunFolder, resumed: bool) -> dict[str, Any]:
    """Where a service keeps a run. It finds a resumed one by its name or, wandb, by an identity of our choice.

    The identity is made of when and how the run was begun (`env.json`, above the folder of a seed) and of its name.
    """
    folder = run.path.resolve()
    of_seed = folder.name.startswith("seed-")
    name = f"{folder.parent.name}-{folder.name}" if of_seed else folder.name
    place = {"project": PROJECT, "name": name, "resume": "allow" if resumed else "never"}
    if track == "wandb":
        env = folder.parent / run.env.name if of_seed else run.env
        place["id"] = sha256(env.read_bytes() + name.encode(errors="replace")).hexdigest()[:16]
    return place


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
