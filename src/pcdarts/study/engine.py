"""The loop of a study: workers do the cells, and failed cells are tried again."""

import time
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from pcdarts.errors import InputError, RunError, shown
from pcdarts.run.display.progress import duration
from pcdarts.run.interruption import Interrupted
from pcdarts.run.lock import is_locked
from pcdarts.run.whole_files import write_text
from pcdarts.study.cluster import Cluster
from pcdarts.study.grid import Cell
from pcdarts.study.reuse import copy_runs, twins_of
from pcdarts.study.study_outcome import read_cell, score_of
from pcdarts.study.watch import Watch
from pcdarts.study.worker import END_SECONDS, WATCH_SECONDS, Ended, Task, work
from pcdarts.truth.yardstick import Judge

LOOK_SECONDS = 1.0
"""Between two looks for cells that have ended, at most."""


class Engine:
    """Does cells of the grid on a cluster.

    Args:
        total: number of cells of the study, including those done before.
        retries: how often a failed cell is tried again.
        watch: shows the state of the runs, and prints the lines.
        stop: file that makes all runs save and end when it exists.
        yardstick: scores the cells found, if there is one.
    """

    def __init__(
        self, cluster: Cluster, total: int, retries: int, watch: Watch, stop: Path, yardstick: Judge | None = None
    ) -> None:
        self.cluster, self.total, self.retries, self.watch, self.stop = cluster, total, retries, watch, stop
        self.yardstick = yardstick
        self.failed: dict[str, str] = {}
        """Why cells were given up, by their names."""
        self._attempts: Counter[str] = Counter()
        self._futures: dict[Any, Cell] = {}
        self._submitted = 0

    def work_through(self, cells: list[Cell]) -> None:
        """Do all cells, of those with the same settings one, which is copied; return when each is done or given up.

        Raises:
            RunError: the scheduler is gone, a folder cannot be made, or a run cannot be copied.
            Interrupted: the process was asked to end; the runs have saved and ended, unless they took too long.
        """
        done, twins = self.total - len(cells), twins_of(cells)
        later = {twin.name for some in twins.values() for twin in some}
        try:
            for cell in cells:
                if cell.name not in later:
                    self._submit(cell)
            while self._futures:
                self.watch.look(len(self.failed))
                for future in self._finished():
                    cell = self._futures.pop(future)
                    self.watch.tell_beginning(cell, has_ended=True)
                    if self._settled(cell, self._ended(future)):
                        done += 1
                        self.watch.say(f"[{done}/{self.total}] {cell.name}: {self._figures(cell)}")
                        for twin in twins.pop(cell.name, ()):
                            copy_runs([run for _, run in cell.steps()], twin)
                            done += 1
                            self.watch.say(f"[{done}/{self.total}] {twin.name}: copied, the settings are the same")
                    elif cell.name in self.failed:
                        for twin in twins.pop(cell.name, ()):
                            self._submit(twin)
        except Interrupted:
            self.stop.touch()
            self.watch.say("interrupted: the runs save what they have and end")
            self._let_runs_end()
            raise

    def _let_runs_end(self) -> None:
        """Wait until no run of these cells is active, at most `END_SECONDS`."""
        end = time.monotonic() + END_SECONDS
        runs = [run for cell in self._futures.values() for _, run in cell.steps()]
        time.sleep(2 * WATCH_SECONDS)  # until workers have checked the stop file
        while any(map(is_locked, runs)) and time.monotonic() < end:
            self.watch.look(len(self.failed))
            time.sleep(WATCH_SECONDS)

    def _finished(self) -> set[Any]:
        """The futures that have ended; waits a moment for the first one."""
        distributed: Any = import_module("distributed")
        try:
            distributed.wait(list(self._futures), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            pass
        except (distributed.client.FuturesCancelledError, OSError):
            raise RunError("the Dask scheduler is gone: start it again, then the study with the same command") from None
        return {future for future in self._futures if future.done()}

    def _submit(self, cell: Cell) -> None:
        try:
            cell.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make {cell.folder}: {error.strerror}") from error
        task = Task(
            str(cell.folder),
            tuple((config.job, config.to_yaml()) for config, _ in cell.steps()),
            self.cluster.flags,
            str(self.stop),
        )
        self._submitted += 1
        future = self.cluster.client.submit(work, task, self.cluster.gpus, pure=False, priority=-self._submitted)
        self._futures[future] = cell

    def _ended(self, future: Any) -> Ended:
        try:
            ended: Ended = future.result()
        except Exception as error:  # for example if one worker after the other is lost
            return Ended("failed", shown(f"{type(error).__name__}: {error}", 300))
        return ended

    def _settled(self, cell: Cell, ended: Ended) -> bool:
        """Whether the cell is done; a failed cell is tried again or given up."""
        if ended.state == "done":
            cell.failure.unlink(missing_ok=True)
            return True
        if ended.state == "interrupted":  # not by us: a cluster may take back a machine, for instance
            self.watch.say(f"{cell.name}: {ended.message or 'interrupted'}; it continues elsewhere")
            self._submit(cell)
            return False
        self._attempts[cell.name] += 1
        tried = self._attempts[cell.name]
        if tried <= self.retries:
            self.watch.say(f"{cell.name}: failed ({ended.message}); trying again, {tried} of {self.retries}")
            self._submit(cell)
        else:
            self.failed[cell.name] = f"{ended.message}; log: {cell.output}"
            write_text(cell.failure, f"{ended.message}\n")
            self.watch.say(f"{cell.name}: given up after {tried} tries ({ended.message})")
        return False

    def _figures(self, cell: Cell) -> str:
        """The results of a cell in one line."""
        found = read_cell(cell)
        figures = [] if found.test_error is None else [f"{found.test_error:.2f} % test error"]
        if self.yardstick is not None:
            with suppress(InputError):  # another space than the table's: the final table says so
                if score := score_of(found, self.yardstick):
                    how = "listed" if score.listed else "predicted"
                    figures += [f"accuracy {score.accuracy:.2f} % {how}", f"percentile {score.percentile:.1f}"]
        times = (("search", found.search_hours), ("training", found.train_hours))
        took = ", ".join(f"{what} {duration(3600 * hours)}" for what, hours in times if hours)
        return (", ".join(figures) or "done") + (f" ({took})" if took else "")
