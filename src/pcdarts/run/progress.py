"""Progress of a long job: a live display on a terminal, plain lines elsewhere, and the same lines in `log.txt`."""

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pcdarts.run.folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from torch import Tensor

REFRESH_SECONDS = 0.2
LINE_SECONDS = 30.0


class Progress:
    """Shows where a run of `total_epochs` epochs of `steps_per_epoch` steps stands; both count from 1.

    A context manager. Losses may be tensors: they are read, which waits for the device, only when they are shown.
    """

    def __init__(self, run: RunFolder, total_epochs: int, steps_per_epoch: int) -> None:
        self._run = run
        self._total_epochs = total_epochs
        self._steps_per_epoch = steps_per_epoch
        self._live: Live | None = None
        self._values: dict[str, float | Tensor] = {}
        self._last_record = ""
        self._pace = Pace(steps_per_epoch)
        self._next_display = 0.0

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()
        self._next_display = time.monotonic() + (REFRESH_SECONDS if self._live else LINE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def begin(self, epochs_done: int, what: str) -> None:
        """Say where the run is kept and `what` it works on; nothing when all its epochs are done.

        Raises:
            RunError: the log cannot be saved.
        """
        if epochs_done < self._total_epochs:
            resumed = f", from epoch {epochs_done + 1} on" if epochs_done else ""
            self.say(f"{self._run.path}: {what}{resumed}")

    def step(self, epoch: int, step: int, *, images: int, **values: "float | Tensor") -> None:
        """Step number `step` of epoch number `epoch` is done; `values` are losses and the like, by name."""
        now = time.monotonic()
        self._pace.step(now, images)
        self._values = {name: _detached(value) for name, value in values.items()}
        if now < self._next_display:
            return
        self._next_display = now + (REFRESH_SECONDS if self._live else LINE_SECONDS)
        if self._live:
            self._live.update(self._display(epoch, step), refresh=True)
        elif step < self._steps_per_epoch:
            print(self._step_line(epoch, step), flush=True)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is done: say its `record` (which has its number, `epoch`) in one line.

        Raises:
            RunError: the log cannot be saved.
        """
        left = self._pace.time_left((self._total_epochs - record["epoch"]) * self._steps_per_epoch)
        parts = [f"epoch {record['epoch']}/{self._total_epochs}", *_worded(record), *self._pace_parts(left)]
        self._next_display = time.monotonic() + (REFRESH_SECONDS if self._live else LINE_SECONDS)
        self.say("  ".join(parts))

    def say(self, text: str) -> None:
        """Add a line to `log.txt` and print it, above the display if there is one.

        Raises:
            RunError: the log cannot be saved.
        """
        self._run.append_log(text)
        if self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

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


def duration(seconds: float) -> str:
    """`1 h 05 min`, `3 min 20 s` or `45 s`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _worded(values: Mapping[str, Any]) -> list[str]:
    """`name value` of every number; names lose their underscores, numbers all but four digits, errors are in %."""
    parts = []
    for name, value in values.items():
        if name != "epoch" and not isinstance(value, str | bool | Mapping | list | tuple) and value is not None:
            words = name.replace("_", " ").replace("top1", "top-1")
            if name.endswith("error"):
                number = f"{float(value):.2f} %"
            else:
                number = str(value) if isinstance(value, int) else f"{float(value):.4g}"
            parts.append(f"{words} {number}")
    return parts


def _detached(value: "float | Tensor") -> "float | Tensor":
    """Without its graph, which would keep the step's activations in memory."""
    return value if isinstance(value, int | float) else value.detach()
