"""What is saved of a job and when: after every epoch, every so many minutes, and when the job is interrupted."""

import copy
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from pcdarts.config.job_config import RunConfig
from pcdarts.errors import InputError
from pcdarts.run.checkpoint import load_state, read_newest, save_checkpoint
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.interruption import Interrupted, Interruption
from pcdarts.run.processes import Processes
from pcdarts.run.run_folder import RunFolder


class Stateful(Protocol):
    """A network, an optimiser, or anything else that moves while a job goes on."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class Place:
    """Where a run stands, and the time that it took to get there."""

    def __init__(self) -> None:
        self.stage = 0
        """How many stages are finished, in a job that has several."""
        self.epoch = 0
        """How many epochs are finished, in all stages together."""
        self.step = 0
        """How many steps of the epoch at hand are finished."""
        self.seconds = 0.0
        """Spent on steps so far, and on what else is counted."""
        self.record: dict[str, Any] | None = None
        """What `metrics.jsonl` says of the last finished epoch."""
        self._since: float | None = None

    def start_clock(self) -> None:
        """From now on time counts."""
        self._since = time.perf_counter()

    def finish_step(self) -> None:
        """One more step of this epoch."""
        self.step += 1
        self.count_time()

    def count_time(self) -> None:
        """Add what has passed since the clock was started or read last."""
        if self._since is not None:
            now = time.perf_counter()
            self.seconds, self._since = self.seconds + now - self._since, now

    def finish_epoch(self, record: dict[str, Any]) -> None:
        """All steps of this epoch are done, and measured."""
        self.epoch, self.step, self.record = self.epoch + 1, 0, record

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = {"stage": 0, **state}  # of a run from before there were stages
        record = state["record"]
        counts = [state[name] for name in ("stage", "epoch", "step")]
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError("stages, epochs and steps are counted")
        if record is not None and type(record["epoch"]) is not int:
            raise ValueError("the record of an epoch says which")
        vars(self).update({name: state[name] for name in self.state_dict()})


class Saving:
    """Saves and restores the state of a run.

    Args:
        place: where the run stands.
        data: the digest of the images; a run does not go on with others.
        finite: whose modules must be finite before anything is saved.
        constants: plain values to save besides, for those who read the checkpoint.
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        place: Place,
        data: str,
        finite: FiniteCheck,
        processes: Processes,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.run, self.config, self.place = run, config, place
        self.constants = {**(constants or {}), "data": data, "epochs": config.epochs}
        self.resumed = False
        """Whether the run goes on, with a checkpoint or without."""
        self.epochs_before: int | None = None
        """After `restore`: how many epochs the run was to have until now, if it is trained on to another number."""
        self.kernels_before: Any = None
        """After `restore`: the kernels that computed the run so far; its configuration may leave that open ("auto")."""
        self._saved: dict[str, Any] | None = None
        self._parts: dict[str, Stateful] = {}
        self._plans: list[dict[str, int]] = []
        self._before: dict[str, Any] | None = None
        self.processes, self._finite = processes, finite
        self.interruption = Interruption()
        minutes = config.checkpoint_minutes
        self._interval = 60 * minutes if minutes is not None else float("inf")
        self._last = time.monotonic()
        self.keep({"numbers": finite, "place": place})

    def restore(self, warn: Callable[[str], None]) -> None:
        """Read the newest checkpoint that is not damaged, if there is one: the run goes on from there.

        Raises:
            InputError: all checkpoints are damaged, or they belong to another configuration or to other images.
        """
        self.resumed = True
        found = read_newest(self.run.checkpoint) if self.processes.is_first else None
        content = self.processes.share(found[0] if found else None)
        if found and found[1]:
            warn(found[1])
        if content is None:
            return
        self._saved = load_state(content, self.run.checkpoint, self.config.identity())
        if self._saved.get("data") != self.constants["data"]:
            raise InputError(
                f"{self.run.path} was begun with other images than those that are there now: restore the data, or "
                "start a new run"
            )
        self.keep(self._parts)
        self.kernels_before = self._saved.get("kernels")
        self._plans = list(self._saved.get("plans", []))
        if (before := self._saved.get("epochs")) != self.config.epochs and type(before) is int:
            self.epochs_before = before
            self._plans.append({"epochs": before, "done": self.place.epoch})

    def keep(self, parts: Mapping[str, Stateful]) -> None:
        """From now on save these parts too, in place of earlier ones of the same names.

        After `restore` each is first loaded from the checkpoint, unless a further stage has begun since.

        Raises:
            InputError: the checkpoint does not fit them.
        """
        self._parts |= parts
        if self._saved is None:
            return
        if missing := parts.keys() - self._saved.keys():
            raise InputError(
                f"{self.run.checkpoint} does not hold {min(missing)!r}: it was saved by another version of pcdarts; "
                "resume with that version, or start a new run"
            )
        try:
            for name, part in parts.items():
                part.load_state_dict(self._saved.pop(name))
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError):
            raise InputError(
                f"{self.run.checkpoint} does not fit the networks of its run: restore the file from a copy, or "
                "start a new run"
            ) from None

    def begin_stage(self, stage: int) -> None:
        """Begin a further stage: parts that are kept from now on are new ones."""
        self.place.stage, self._saved = stage, None

    @contextmanager
    def undivided(self) -> Iterator[None]:
        """What is done inside is done as a whole: what is saved meanwhile is the state from before it."""
        self._before = copy.deepcopy(self._state())
        try:
            yield
        finally:
            self._before = None

    def _state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}  # averages are those of all processes

    def save(self) -> None:
        """Save now.

        Raises:
            RunError: it cannot be saved, or must not be.
        """
        self._finite.check_modules()
        state = self._state() if self._before is None else self._before
        if self.processes.is_first:
            state = self.constants | {"plans": self._plans} | state
            save_checkpoint(self.run.checkpoint, state, self.config.fingerprint())
        self._last = time.monotonic()

    def said_of_plans(self) -> dict[str, Any]:
        """For the result, if the run was trained on: the earlier numbers of epochs, and how many were done by then."""
        return {"earlier_plans": self._plans} if self._plans else {}

    def if_due(self) -> None:
        """Between two steps: save if it is time to, or if the job is asked to end.

        Raises:
            Interrupted: the job is asked to end, and everything is saved.
            RunError: it cannot be saved.
        """
        received = self.interruption.received
        asked, due = self.processes.any(received is not None, time.monotonic() - self._last >= self._interval)
        if asked or due:
            self.save()
        if asked:
            epoch, step = self.place.epoch + 1, self.place.step
            if self.processes.is_first:
                self.run.write_state("interrupted", epoch=epoch if step else epoch - 1, step=step)
            where = (
                f" after step {step} of epoch {epoch}, and saved" if step else f" after epoch {epoch - 1}, and saved"
            )
            raise Interrupted(received or signal.SIGTERM, where)  # the signal may have reached another process
