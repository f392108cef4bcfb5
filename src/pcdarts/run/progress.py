"""Progress of a long job: a live display on a terminal, plain lines elsewhere, and the same lines in `log.txt`."""

import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pcdarts.errors import RunError
from pcdarts.run.folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from torch import Tensor

    from pcdarts.run.tracking import Tracker

REFRESH_SECONDS = 0.2
LINE_SECONDS = 30.0
STATE_SECONDS = 5.0
"""Between two versions of `state.json`."""


class Progress:
    """Shows where a run of `total_epochs` epochs of `steps_per_epoch` steps stands; both count from 1.

    A context manager, at whose end the `tracker` is finished. Losses may be tensors: they are read, which waits for the
    device, only when they are shown. A `quiet` one prints and writes nothing: that of all processes but the first.
    """

    def __init__(
        self,
        run: RunFolder,
        total_epochs: int,
        steps_per_epoch: int,
        *,
        tracker: "Tracker | None" = None,
        quiet: bool = False,
    ) -> None:
        self.quiet = quiet
        self._run = run
        self._tracker = tracker
        self._total_epochs = total_epochs
        self._steps_per_epoch = steps_per_epoch
        self._live: Live | None = None
        self._values: dict[str, float | Tensor] = {}
        self._pace = Pace(steps_per_epoch)
        self._next_display = 0.0
        self._next_state = 0.0

    def __enter__(self) -> Self:
        if sys.stdout.isatty() and not self.quiet:
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=True, redirect_stderr=sys.stderr.isatty())
            self._live.start()
        self._next_display = time.monotonic() + (REFRESH_SECONDS if self._live else LINE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if self._tracker and not self.quiet:
            self._tracker.finish()

    def begin(self, epochs_done: int, what: str, steps_done: int = 0) -> None:
        """Say where the run is kept, `what` it works on and where it goes on; nothing when all its epochs are done.

        `steps_done` are those of the epoch after `epochs_done`.

        Raises:
            RunError: the log cannot be saved.
        """
        if self.quiet or epochs_done == self._total_epochs:
            return
        place = f"epoch {epochs_done + 1}" + (f", step {steps_done + 1}" if steps_done else "")
        self.say(f"{self._run.path}: {what}" + (f", from {place} on" if epochs_done or steps_done else ""))
        self._write_state(epochs_done + 1, steps_done)

    def step(self, epoch: int, step: int, *, images: int, **values: "float | Tensor") -> None:
        """Step number `step` of epoch number `epoch` is done; `values` are losses and the like, by name."""
        if self.quiet:
            return
        now = time.monotonic()
        self._pace.step(now, images)
        self._values = {name: _detached(value) for name, value in values.items()}
        if now >= self._next_state:
            self._write_state(epoch, step)
        if now < self._next_display:
            return
        self._next_display = now + (REFRESH_SECONDS if self._live else LINE_SECONDS)
        if self._live:
            self._live.update(self._display(epoch, step), refresh=True)
        elif step < self._steps_per_epoch:
            print(self._step_line(epoch, step), flush=True)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is done: say its `record` (which has its number, `epoch`) in one line, and track it.

        Raises:
            RunError: the log cannot be saved.
        """
        if self.quiet:
            return
        left = self._pace.time_left((self._total_epochs - record["epoch"]) * self._steps_per_epoch)
        parts = [f"epoch {record['epoch']}/{self._total_epochs}", *_worded(record), *self._pace_parts(left)]
        self._next_display = time.monotonic() + (REFRESH_SECONDS if self._live else LINE_SECONDS)
        self.say("  ".join(parts))
        self._write_state(record["epoch"], self._steps_per_epoch)
        self.track(record)

    def track(self, record: Mapping[str, Any]) -> None:
        """Send an epoch's record to the tracker alone."""
        if self._tracker and not self.quiet:
            self._tracker.log(record)

    def say(self, text: str) -> None:
        """Add a line to `log.txt` and print it, above the display if there is one.

        Raises:
            RunError: the log cannot be saved.
        """
        if self.quiet:
            return
        self._run.append_log(text)
        if self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, and add it to `log.txt`."""
        if not self.quiet:
            warn(self._run, text)

    def _write_state(self, epoch: int, step: int) -> None:
        """Tell `pcdarts status` that `step` steps of epoch number `epoch` are done."""
        self._next_state = time.monotonic() + STATE_SECONDS
        self._run.write_state(
            "running",
            epoch=epoch,
            epochs=self._total_epochs,
            step=step,
            steps=self._steps_per_epoch,
            seconds_left=self._pace.time_left(self._steps_left(epoch, step)),
        )

    def _steps_left(self, epoch: int, step: int) -> int:
        return (self._total_epochs - epoch) * self._steps_per_epoch + self._steps_per_epoch - step

    def _pace_parts(self, left: float | None) -> list[str]:
        rate = self._pace.images_per_second
        return [
            *([f"{rate:.0f} images/s"] if rate else []),
            *([f"{duration(left)} left"] if left else []),
        ]

    def _step_line(self, epoch: int, step: int) -> str:
        left = self._pace.time_left(self._steps_left(epoch, step))
        return "  ".join(
            [
                f"epoch {epoch}/{self._total_epochs}",
                f"step {step}/{self._steps_per_epoch}",
                *_worded(self._values),
                *self._pace_parts(left),
            ]
        )

    def _display(self, epoch: int, step: int) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = self._total_epochs * self._steps_per_epoch
        bars = Table.grid(padding=(0, 1))
        bars.add_row(
            f"epoch {epoch}/{self._total_epochs}",
            ProgressBar(total=self._steps_per_epoch, completed=step, width=30),
            f"step {step}/{self._steps_per_epoch}",
        )
        left = self._pace.time_left(self._steps_left(epoch, step))
        bars.add_row(
            "run",
            ProgressBar(total=total, completed=total - self._steps_left(epoch, step), width=30),
            "  ".join(self._pace_parts(left)),
        )
        return Group(bars, Text("  ".join(_worded(self._values))))


class Pace:
    """How fast steps follow one another, over the last `window` of them (an epoch: what is done once in it counts)."""

    def __init__(self, window: int) -> None:
        self._steps: deque[tuple[float, int]] = deque(maxlen=window + 1)

    def step(self, now: float, images: int) -> None:
        """A step on so many images ended at `now`, in seconds."""
        self._steps.append((now, images))

    @property
    def images_per_second(self) -> float | None:
        """None before the second step."""
        seconds = self._seconds()
        return sum(images for _, images in list(self._steps)[1:]) / seconds if seconds else None

    def time_left(self, steps: int) -> float | None:
        """Seconds that so many steps will take; None before the second step."""
        seconds = self._seconds()
        return steps * seconds / (len(self._steps) - 1) if seconds else None

    def _seconds(self) -> float:
        return self._steps[-1][0] - self._steps[0][0] if self._steps else 0.0


def warn(run: RunFolder, text: str) -> None:
    """Print a warning on stderr and add it to the log of `run`, if that can be saved."""
    print(f"pcdarts: warning: {text}", file=sys.stderr, flush=True)
    with suppress(RunError):
        run.append_log(f"warning: {text}")


def duration(seconds: float) -> str:
    """`1 h 05 min`, `3 min 20 s` or `45 s`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _worded(values: Mapping[str, Any]) -> list[str]:
    """`name value` of every number: names without underscores, numbers of four digits, errors and AP in %."""
    parts = []
    for name, value in values.items():
        if name != "epoch" and not isinstance(value, str | bool | Mapping | list | tuple) and value is not None:
            words = name.replace("_", " ").replace("top1", "top-1").replace("top5", "top-5")
            if name.endswith("error") or name.startswith("AP"):
                number = f"{float(value):.2f} %"
            else:
                number = str(value) if isinstance(value, int) else f"{float(value):.4g}"
            parts.append(f"{words} {number}")
    return parts


def _detached(value: "float | Tensor") -> "float | Tensor":
    """Without its graph, which would keep the step's activations in memory."""
    return value if isinstance(value, int | float) else value.detach()
