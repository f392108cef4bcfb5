"""Progress of a long job: a live display on a terminal, plain lines elsewhere, and the same lines in `log.txt`."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pcdarts.run.display import live
from pcdarts.run.display.tracking import Tracker
from pcdarts.run.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Group
    from torch import Tensor

LINE_SECONDS = 30.0
STATE_SECONDS = 5.0
"""Between two versions of `state.json`."""


class Progress:
    """Shows where a run of `total_epochs` epochs of `steps_per_epoch` steps stands; both count from 1.

    Where epochs differ, it is told the work of each instead of their number: then the time left counts by it.

    A context manager, at whose end the `tracker` is finished. Losses may be tensors: they are read, which waits for the
    device, only when they are shown. A `quiet` one prints and writes nothing: that of all processes but the first.
    """

    def __init__(
        self,
        run: RunFolder,
        total_epochs: int | Sequence[float],
        steps_per_epoch: int,
        *,
        tracker: Tracker | None = None,
        quiet: bool = False,
    ) -> None:
        self.quiet = quiet
        self._run = run
        self._tracker = tracker
        self._work = () if isinstance(total_epochs, int) else total_epochs
        self.total_epochs = total_epochs if isinstance(total_epochs, int) else len(total_epochs)
        """A job may learn while it runs that it will have fewer."""
        self._steps_per_epoch = steps_per_epoch
        self._live: live.Live | None = None
        self._values: dict[str, float | Tensor] = {}
        self._pace = Pace(steps_per_epoch)
        self._measurements = 0
        self._next_display = 0.0
        self._next_state = 0.0

    def __enter__(self) -> Self:
        if live.is_possible() and not self.quiet:
            self._live = live.Live().__enter__()
        self._next_display = time.monotonic() + self._pause
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)
        if self._tracker and not self.quiet:
            self._tracker.finish()

    def begin(self, epochs_done: int, what: str, steps_done: int = 0) -> None:
        """Say where the run is kept, `what` it works on and where it goes on; nothing when all its epochs are done.

        `steps_done` are those of the epoch after `epochs_done`.

        Raises:
            RunError: the log cannot be saved.
        """
        if self.quiet or epochs_done == self.total_epochs:
            return
        place = f"epoch {epochs_done + 1}" + (f", step {steps_done + 1}" if steps_done else "")
        self.say(f"{self._run.path}: {what}" + (f", from {place} on" if epochs_done or steps_done else ""))
        self._write_state(epochs_done + 1, steps_done)

    def step(self, epoch: int, step: int, *, images: int, **values: "float | Tensor") -> None:
        """Step number `step` of epoch number `epoch` is done; `values` are losses and the like, by name."""
        if self.quiet:
            return
        now, self._measurements = time.monotonic(), 0
        self._pace.step(now, images)
        self._values = {name: _detached(value) for name, value in values.items()}
        if now >= self._next_state:
            self._write_state(epoch, step)
        if now < self._next_display:
            return
        self._next_display = now + self._pause
        if self._live:
            self._live.show(self._display(epoch, step))
        elif step < self._steps_per_epoch:
            print(self._step_line(epoch, step), flush=True)

    def measured(self) -> None:
        """A cell or mixture was measured between two steps, as some methods do with hundreds of them."""
        self._measurements += 1
        now = time.monotonic()
        if self.quiet or now < self._next_display:
            return
        self._next_display = now + self._pause
        line = f"after the last step: {self._measurements} measurements"
        if self._live:
            self._live.show(line)
        else:
            print(line, flush=True)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is done: say its `record` (which has its number, `epoch`) in one line, and track it.

        A terminal gets what fits into one of its lines, the log everything.

        Raises:
            RunError: the log cannot be saved.
        """
        if self.quiet:
            return
        left = self._time_left(record["epoch"], self._steps_per_epoch)
        place = f"epoch {record['epoch']}/{self.total_epochs}"
        rate, until_end = self._rate_words(), [f"{rough(left)} left"] if left else []
        whole = "  ".join([place, *_worded(record), *rate, *self._left_words(left)])
        watched, others = _shortened(record)
        self._next_display = time.monotonic() + self._pause
        self.say(whole, short=[place, *watched, *until_end, *others])
        self._write_state(record["epoch"], self._steps_per_epoch)
        self.track(record)

    def track(self, record: Mapping[str, Any]) -> None:
        """Send an epoch's record to the tracker alone."""
        if self._tracker and not self.quiet:
            self._tracker.log(record)

    def say(self, text: str, *, short: Sequence[str] = ()) -> None:
        """Add a line to `log.txt` and print it, above the display if there is one.

        A terminal gets instead those of the `short` parts, if there are any, that fit into a line.

        Raises:
            RunError: the log cannot be saved.
        """
        if self.quiet:
            return
        self._run.append_log(text)
        print(in_a_line(short, self._live.width) if self._live and short else text, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, and add it to `log.txt`."""
        if not self.quiet:
            self._run.warn(text)

    def _write_state(self, epoch: int, step: int) -> None:
        """Tell `pcdarts status` that `step` steps of epoch number `epoch` are done."""
        self._next_state = time.monotonic() + STATE_SECONDS
        self._run.write_state(
            "running",
            epoch=epoch,
            epochs=self.total_epochs,
            step=step,
            steps=self._steps_per_epoch,
            seconds_left=self._time_left(epoch, step),
        )

    def _steps_left(self, epoch: int, step: int) -> int:
        """Those of the run after `step` of them in epoch number `epoch`."""
        return (self.total_epochs - epoch) * self._steps_per_epoch + self._steps_per_epoch - step

    def _time_left(self, epoch: int, step: int) -> float | None:
        """Seconds that they will take, by the pace of the last steps; None before the second step."""
        left = float(self._steps_left(epoch, step))
        if later := self._work[epoch:]:
            left += self._steps_per_epoch * sum(work / self._work[epoch - 1] - 1 for work in later)
        return self._pace.time_left(left)

    @property
    def _pause(self) -> float:
        """Seconds between two displays, or two lines."""
        return live.REFRESH_SECONDS if self._live else LINE_SECONDS

    def _rate_words(self) -> list[str]:
        rate = self._pace.images_per_second
        return [f"{rate:.{0 if rate >= 10 else 1}f} images/s"] if rate else []

    def _left_words(self, left: float | None) -> list[str]:
        return [f"{duration(left)} left"] if left else []

    def _step_line(self, epoch: int, step: int) -> str:
        left = self._time_left(epoch, step)
        return "  ".join(
            [
                f"epoch {epoch}/{self.total_epochs}",
                f"step {step}/{self._steps_per_epoch}",
                *_worded(self._values),
                *self._rate_words(),
                *self._left_words(left),
            ]
        )

    def _display(self, epoch: int, step: int) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = self.total_epochs * self._steps_per_epoch
        left = self._steps_left(epoch, step)
        seconds = self._time_left(epoch, step)
        place = f"epoch {epoch}/{self.total_epochs}"
        bars = Table.grid(padding=(0, 1))
        bars.add_column(no_wrap=True, min_width=len(place))
        bars.add_column(max_width=live.BAR_COLUMNS)
        bars.add_column(no_wrap=True)
        steps = ProgressBar(total=self._steps_per_epoch, completed=step)
        bars.add_row(place, steps, f"step {step}/{self._steps_per_epoch}")
        bars.add_row(
            "run", ProgressBar(total=total, completed=total - left), f"{rough(seconds)} left" if seconds else ""
        )
        return Group(bars, *map(Text, [*_shortened(self._values)[0], *self._rate_words()]))


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

    def time_left(self, steps: float) -> float | None:
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


def rough(seconds: float) -> str:
    """`45 s`, `65 min` or `13.1 h`: a duration in one unit."""
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.{0 if seconds >= 360_000 else 1}f} h"


def in_a_line(parts: Sequence[str], width: int) -> str:
    """The first of the parts, and of the others each for which there is still room in so many columns."""
    line, *others = parts
    for part in others:
        if len(line) + 2 + len(part) <= width:
            line += f"  {part}"
    return line


def three_digits(percent: float) -> str:
    """`2.57`, `25.7` or `100`."""
    return f"{percent:.{2 if percent < 9.995 else 1 if percent < 99.95 else 0}f}"


def _shortened(values: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What people watch, loss, error and AP, in few words; and what else comes out of an epoch.

    What is known of several splits is said together: `weight/arch loss 1.234/1.456  error 12.3/33.3 %`.
    """
    numbers = {
        name: value
        for name, value in values.items()
        if value is not None and not isinstance(value, str) and name != "learning_rate"  # known beforehand
    }
    losses = {split: f"{float(numbers.pop(name)):.3f}" for name, split in _by_split(numbers, "loss").items()}
    errors = {split: three_digits(numbers.pop(name)) for name, split in _by_split(numbers, "top1_error").items()}
    watched = []
    if losses:
        watched.append(f"{'/'.join(losses)} loss {'/'.join(losses.values())}".strip())
    if errors:
        splits = "" if errors.keys() == losses.keys() else "/".join(errors)
        watched.append(f"{splits} error {'/'.join(errors.values())} %".strip())
    if "AP" in numbers:
        watched.append(f"AP {three_digits(numbers.pop('AP'))} %")
    return watched, _worded(numbers)


def _by_split(values: Mapping[str, Any], what: str) -> dict[str, str]:
    """The names `SPLIT_what` among those of the values, each with its split; a plain `what` has none."""
    ends = {name: name.removesuffix(what).removesuffix("_") for name in values if name.endswith(what)}
    return {name: split for name, split in ends.items() if "_" not in split}


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
