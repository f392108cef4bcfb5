"""How many epochs a training has: as many as planned, or as its time allows on the machine that it runs on."""

import time
from collections.abc import Callable
from typing import Any

from pcdarts.run.processes import ALONE, Processes


class Horizon:
    """The epochs over which the schedules of a training run.

    With a limit they are planned anew after each epoch, from the mean time of those that are done: never more than
    `most`, and at least those that are done. What is planned is saved, so that a resumed epoch has the schedules that
    it began with. The part of the schedules that is done is then the part of the time that has passed, so a learning
    rate that falls never rises again, but for what rounding to whole epochs does.

    Args:
        epochs: wanted at first.
        minutes: all of the training may take, measurements included; None for no limit.
        most: on a machine that is faster than planned; None for no more than were wanted.
        processes: they follow the clock of the first one.
        clock: gives the time in seconds, from any moment on.
    """

    def __init__(
        self,
        epochs: int,
        minutes: float | None = None,
        most: int | None = None,
        processes: Processes = ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wanted, self.epochs, self.minutes = epochs, epochs, minutes
        self.most = most or epochs
        self._processes, self._clock = processes, clock
        self._before, self._since = 0.0, clock()

    @property
    def seconds(self) -> float:
        """Spent so far, also before the training was resumed."""
        return self._before + self._clock() - self._since

    def plan_after(self, done: int) -> int:
        """How many epochs there will be, with so many done: what `epochs` becomes once the epoch is measured."""
        if self.minutes is None:
            return self.epochs
        seconds = self.seconds
        left = max(0, int((60 * self.minutes - seconds) * done / seconds))
        return int(self._processes.share(str(min(self.most, done + left)).encode()) or b"")

    def is_over(self, done: int) -> bool:
        """Whether so many epochs are all."""
        return done >= self.epochs

    def end_line(self) -> str | None:
        """In words, why there are other epochs than were wanted; None if there are not."""
        if self.epochs == self.wanted:
            return None
        said = f"{self.epochs} of {self.wanted} epochs: more would not have fitted"
        if self.epochs > self.wanted:
            said = f"{self.epochs} epochs instead of {self.wanted}: they have fitted"
        return (
            f"{said} into its {self.minutes:.3g} minutes on this machine (--max-minutes); the schedules ended with them"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if type(state["epochs"]) is not int or not isinstance(state["seconds"], float):
            raise ValueError("epochs and seconds are numbers")
        self.epochs, self._before, self._since = min(self.most, state["epochs"]), state["seconds"], self._clock()
