"""What is saved of a job and when: after every epoch, every so many minutes, and when the job is interrupted."""

import signal
import time
from collections.abc import Mapping
from typing import Any, Protocol

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.errors import InputError
from pcdarts.run.checkpoint import load_state, read_newest, save_checkpoint
from pcdarts.run.finite import Numbers
from pcdarts.run.interruption import Interrupted, Interruption
from pcdarts.run.processes import Processes
from pcdarts.run.progress import Progress
from pcdarts.run.run_folder import RunFolder


class Stateful(Protocol):
    """A network, an optimiser, or anything else that moves while a job goes on."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class Data(Protocol):
    """Images of any kind."""

    def digest(self) -> str: ...


class Place:
    """Where a run stands, and the time that it took to get there."""

    def __init__(self) -> None:
        self.epoch = 0
        """Epochs that are finished."""
        self.step = 0
        """Steps of the next epoch that are finished."""
        self.arch_batches = 0
        """Batches of the arch split that these steps have used."""
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
        self.epoch, self.step, self.arch_batches, self.record = self.epoch + 1, 0, 0, record

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        record = state["record"]
        if record is not None and type(record["epoch"]) is not int:
            raise ValueError("the record of an epoch says which")
        vars(self).update({name: state[name] for name in self.state_dict()})


class Saving:
    """Saves and restores the state of a run.

    Args:
        place: where the run stands.
        parts: what else moves while the job goes on, by name; the numbers' count is added.
        data: the images; a run does not go on with others.
        numbers: whose modules must be finite before anything is saved.
        constants: plain values to save besides, for whoever reads the checkpoint.
    """

    def __init__(
        self,
        config: SearchConfig | RandomSearchConfig | TrainConfig | DetectTrainConfig,
        run: RunFolder,
        place: Place,
        parts: Mapping[str, Stateful],
        *,
        data: Data,
        numbers: Numbers,
        processes: Processes,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.run, self.config, self.place = run, config, place
        self.parts: dict[str, Stateful] = {**parts, "numbers": numbers, "place": place}
        self.constants = {**(constants or {}), "data": data.digest(), "epochs": config.epochs}
        self.epochs_before: int | None = None
        """After `restore` those that the run was to have until now, if it is trained on to another number."""
        self.kernels_before: Any = None
        """After `restore` those that the run was computed with, whatever its configuration leaves open."""
        self._plans: list[dict[str, int]] = []
        self.processes, self._numbers = processes, numbers
        self.interruption = Interruption()
        minutes = config.checkpoint_minutes
        self._interval = 60 * minutes if minutes is not None else float("inf")
        self._last = time.monotonic()

    def restore(self, progress: Progress) -> None:
        """Go on from the newest checkpoint that is not damaged, if there is one.

        Raises:
            InputError: all checkpoints are damaged, or they belong to another configuration or to other images.
        """
        found = read_newest(self.run.checkpoint) if self.processes.is_first else None
        content = self.processes.share(found[0] if found else None)
        if found and found[1]:
            progress.warn(found[1])
        if content is not None:
            state = load_state(content, self.run.checkpoint, self.config.identity())
            if state.get("data") != self.constants["data"]:
                raise InputError(
                    f"{self.run.path} was begun with other images than those that are there now: restore the data, or "
                    "start a new run"
                )
            try:
                for name, part in self.parts.items():
                    part.load_state_dict(state[name])
            except (LookupError, TypeError, ValueError, RuntimeError, AttributeError):
                raise InputError(
                    f"{self.run.checkpoint} does not fit the networks of its run: restore the file from a copy, or "
                    "start a new run"
                ) from None
            self.kernels_before = state.get("kernels")
            self._plans = list(state.get("plans", []))
            if (before := state.get("epochs")) != self.config.epochs and type(before) is int:
                self.epochs_before = before
                self._plans.append({"epochs": before, "done": self.place.epoch})
        if self.processes.is_first:
            self.run.resume_metrics(self.place.record)
        if self.place.record is not None:
            progress.track(self.place.record)  # a kill may have come between saving it and tracking it

    def save(self) -> None:
        """Save now.

        Raises:
            RunError: it cannot be saved, or must not be.
        """
        self._numbers.check_modules()
        state = {name: part.state_dict() for name, part in self.parts.items()}  # averages are those of all processes
        if self.processes.is_first:
            state = self.constants | {"plans": self._plans} | state
            save_checkpoint(self.run.checkpoint, state, self.config.fingerprint())
        self._last = time.monotonic()

    def said_of_plans(self) -> dict[str, Any]:
        """For the result of a run that was trained on: how many epochs it was to have before, and had done by then."""
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
