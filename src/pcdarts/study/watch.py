"""The progress of a study: a display of its runs on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pcdarts.errors import counted
from pcdarts.jobs.status import Status
from pcdarts.run.display import live
from pcdarts.run.display.progress import duration, in_a_line, rough, three_digits
from pcdarts.run.lock import is_locked
from pcdarts.study.grid import Cell
from pcdarts.study.study_outcome import CellOutcome, read_cell
from pcdarts.study.study_status import in_words, run_status, seconds_left

if TYPE_CHECKING:
    from rich.console import Group

LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 300.0
"""Between two lines about the state of the study, without a display."""
_SHARE = 0.05
"""The largest share of one core's time for reading files: a shared file system may be slow."""


class Watch:
    """Looks at the folders of all cells of a study; a context manager.

    On a terminal it shows every active run with its progress. Elsewhere it prints a line when a run begins, and
    regularly the state of all runs.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self._known: dict[str, CellOutcome] = {}
        """Cells by name, as they were read last."""
        runs = [run for cell in cells for _, run in cell.steps()]
        self._told = {run.path for run in runs if run.is_finished}
        """Runs whose beginning needs no line any more."""
        self._from_before = {run.path for run in runs if run.config.is_file()}
        self._live: live.Live | None = None
        self._next_look = 0.0
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def __enter__(self) -> Self:
        if live.is_possible():
            self._live = live.Live().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def say(self, line: str) -> None:
        """Print a line, above the display if there is one."""
        print(line, flush=True)

    def look(self, failed: int = 0) -> None:
        """Read the cells, of which `failed` were given up, and show or print news, if it is time for that."""
        start = time.monotonic()
        if start < self._next_look:
            return
        found = [self._outcome(cell) for cell in self._cells]
        if self._live:
            self._live.show(self._display(found, failed))
        else:
            for cell in self._cells:
                self.tell_beginning(cell)
            if start >= self._next_heartbeat:
                self._next_heartbeat = start + HEARTBEAT_SECONDS
                self.say("\n".join(self._heartbeat(found, failed)))
        end = time.monotonic()
        self._next_look = end + max(LOOK_SECONDS, (end - start) / _SHARE)

    def tell_beginning(self, cell: Cell, *, has_ended: bool = False) -> None:
        """Without a display, print the runs of a cell that have begun since the last call."""
        if self._live:
            return
        for config, run in cell.steps():
            if run.path in self._told or not run.config.is_file():
                continue
            is_old = run.path in self._from_before
            if not is_old or has_ended or is_locked(run):
                self._told.add(run.path)
                self.say(f"{cell.name}: {config.job} {'continues' if is_old else 'begins'}")

    def _outcome(self, cell: Cell) -> CellOutcome:
        """The state of a cell, read again only if it may have changed."""
        known = self._known.get(cell.name)
        if known and (known.state == "done" or not any(run.path.is_dir() for _, run in cell.steps())):
            return known
        found = self._known[cell.name] = read_cell(cell)
        return found

    def _counts(self, found: Sequence[CellOutcome], failed: int) -> list[str]:
        done, running = (sum(cell.state == state for cell in found) for state in ("done", "running"))
        counts = {"running": running, "waiting": len(found) - done - running - failed, "failed": failed}
        return [
            f"{done} of {counted(len(found), 'cell')} done",
            *(f"{n} {state}" for state, n in counts.items() if n > 0),
        ]

    def _heartbeat(self, found: Sequence[CellOutcome], failed: int) -> list[str]:
        left = seconds_left(found)
        summary = ", ".join(self._counts(found, failed)) + (f"; about {duration(left)} left" if left else "")
        return [summary, *(f"  {cell.name}{in_words(cell)}" for cell in found if cell.state == "running")]

    def _display(self, found: Sequence[CellOutcome], failed: int) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        assert self._live is not None
        lines = [", ".join(self._counts(found, failed))]
        running = [cell for cell in found if cell.state == "running"]
        room = max(0, self._live.rows - 4)  # without an empty line, the summary and the bar
        if 2 * len(running) > room:
            room -= 1
        at_most = max(0, room // 2)
        for cell in running[:at_most]:
            lines += _two_lines(cell)
        if len(running) > at_most:
            lines.append(f"and {len(running) - at_most} more")
        done, left = sum(cell.state == "done" for cell in found), seconds_left(found)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=len(found), completed=done, width=28), f"{rough(left)} left" if left else "")
        first, *others = map(Text, lines)
        return Group(first, bar, *others)


def _two_lines(cell: CellOutcome) -> list[str]:
    """An active run in the width of a display: its name and its progress."""
    status = run_status(cell)
    if status is None or status.epochs is None:
        return [_cut(cell.name, live.COLUMNS), "  begins"]
    name = _cut(cell.name, live.COLUMNS - len(f"{status.job}: "))
    return [f"{status.job}: {name}", in_a_line(_figures(status), live.COLUMNS)]


def _figures(status: Status) -> list[str]:
    measured, left = status.error, status.seconds_left
    return [
        f"  epoch {status.epoch}/{status.epochs}",
        *([] if measured is None else [f"error {three_digits(measured)} %"]),
        *([] if left is None else [f"{rough(left)} left"]),
    ]


def _cut(name: str, length: int) -> str:
    """A name, shortened in its middle: cells of one method differ at the end."""
    kept = length - 1
    return name if len(name) <= length else f"{name[: kept - kept // 2]}…{name[-(kept // 2) :]}"
