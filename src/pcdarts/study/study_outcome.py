"""The results of a study so far, read from its folder."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind
from pcdarts.errors import InputError, counted, shown
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.jobs.outcome.scoring import RunScores, scores_of
from pcdarts.run.lock import is_locked
from pcdarts.run.run_folder import RunFolder
from pcdarts.score.yardstick import Score
from pcdarts.study.grid import Cell, by_row, cell_name, grid
from pcdarts.study.spec import SOURCES, StudySpec
from pcdarts.truth.yardstick import Judge, make_judge

STUDIES = Path("studies")
"""The folder of studies without a --folder."""

State = Literal["waiting", "running", "interrupted", "failed", "done"]


@dataclass(frozen=True)
class PaperFigure:
    """The paper's figures as printed: `3.00 ± 0.14 %`, `0.4 GPU-days`."""

    error: str | None
    cost: str | None


@dataclass(frozen=True)
class CellOutcome:
    """One cell of the grid; None is unknown."""

    method: str
    setting: str | None
    seed: int
    state: State
    message: str | None
    """Why it failed, if it has."""
    search: RunFolder | None
    train: RunFolder
    output: Path
    genotype: Genotype | None
    test_errors: tuple[float, ...]
    """Top-1, in %, of each training."""
    arch_error: float | None
    """Top-1, in %, of the search on the arch split."""
    search_hours: float | None
    train_hours: float | None
    """Of all trainings together."""
    search_memory_gb: float | None
    device: str | None
    params: int | None
    mult_adds: int | None
    """Of the network that was trained."""
    skip_connects: dict[CellKind, int] | None
    score: Score | None = None
    """The score by the study's table; None without a table, or if the genotype is not of its space."""

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return cell_name(self.method, self.setting, self.seed)

    @property
    def test_error(self) -> float | None:
        """The mean of its trainings."""
        return fmean(self.test_errors) if self.test_errors else None


@dataclass(frozen=True)
class Row:
    """All seeds of a method and a setting."""

    method: str
    setting: str | None
    cells: tuple[CellOutcome, ...]
    paper: PaperFigure | None
    source: str = "searched"
    """Where its cells come from, as in the study's description."""

    @property
    def errors(self) -> list[float]:
        """Test errors in %, one for each finished seed: statistics count searches."""
        return [cell.test_error for cell in self.cells if cell.test_error is not None]

    @property
    def scores(self) -> list[Score]:
        """The scores of the seeds whose genotype is known; a given cell is the same for all seeds and counts once."""
        found = [cell.score for cell in self.cells if cell.score is not None]
        return found if self.source in SOURCES else found[:1]

    @property
    def scored_genotypes(self) -> list[Genotype]:
        """Those of `scores`."""
        found = [cell.genotype for cell in self.cells if cell.genotype is not None and cell.score is not None]
        return found if self.source in SOURCES else found[:1]

    @property
    def accuracies(self) -> list[float]:
        """Of `scores`, in %: listed or predicted."""
        return [score.accuracy for score in self.scores]

    @property
    def percentiles(self) -> list[float]:
        """Of `scores`: how many random cells are worse, in %; 50 is chance."""
        return [score.percentile for score in self.scores]


@dataclass(frozen=True)
class StudyOutcome:
    """A study, finished or not."""

    name: str
    title: str
    scale: str
    folder: Path
    note: str
    """A note for readers, such as how small it is."""
    rows: tuple[Row, ...]
    trains: bool = True
    """Whether cells are trained; otherwise they are only scored."""
    table: Path | None = None
    """The table of cells with known accuracy; it may be missing now."""
    yardstick: Judge | None = None
    """Of the table; None without a table, or if it cannot be used."""
    remarks: tuple[str, ...] = ()
    """Lines about missing scores."""

    def run_scores(self, cell: CellOutcome) -> RunScores | None:
        """The score of a cell, and those after every epoch of its search so far; None without a yardstick.

        It takes some milliseconds for each epoch, every time.
        """
        if self.yardstick is None:
            return None
        if cell.search is not None:
            try:
                return replace(scores_of(cell.search, self.yardstick), final=cell.score)
            except InputError:  # damaged, or of another space: the remarks say so
                pass
        return RunScores(cell.score, ())

    @property
    def cells(self) -> list[CellOutcome]:
        return [cell for row in self.rows for cell in row.cells]

    @property
    def device(self) -> str | None:
        """Where its trainings ran, several in one text; None if none is done."""
        devices = dict.fromkeys(cell.device for cell in self.cells if cell.device)
        return ", ".join(devices) or None


def description(folder: Path) -> Path:
    """Where the description of a study is kept."""
    return folder / "study.yaml"


def read_study(
    folder: Path,
    yardstick: Judge | None = None,
    make: Callable[[Path, str | None, str | None], Judge] = make_judge,
) -> StudyOutcome:
    """The results of the study in `folder`.

    Args:
        yardstick: scores its cells (default: that of the study's own table, if it has a usable one).
        make: makes the yardstick from table, kind and column; it takes half a minute to fit a new regressor.

    Raises:
        InputError: there is no study, or its description is damaged.
    """
    if not description(folder).is_file():
        lack = "has no study.yaml" if folder.is_dir() else "does not exist"
        raise InputError(f"{folder} is not the folder of a study: it {lack}")
    spec = StudySpec.from_file(description(folder))
    rows = []
    for method, setting, cells in by_row(grid(spec, folder)):
        printed = spec.methods[method]
        paper = None
        if printed.paper or printed.paper_cost:
            column = list(spec.settings).index(setting) if setting is not None else 0
            paper = PaperFigure(printed.paper[column] if printed.paper else None, printed.paper_cost)
        rows.append(Row(method, setting, tuple(map(read_cell, cells)), paper, printed.cells))
    table, remarks = spec.table if yardstick is None else yardstick.table.path, []
    if yardstick is None and spec.table is not None:
        try:
            yardstick = make(spec.table, spec.kind, spec.column)
        except InputError as error:
            moved = f"{spec.table} is not there: put it back, or say with --table (of study run or report) where it is"
            remarks.append(f"no cell is scored: {error if os.path.exists(spec.table) else moved}")
    if yardstick is not None:
        rows, problems = _scored(rows, yardstick)
        remarks += problems
    return StudyOutcome(
        folder.resolve().name,
        spec.title,
        spec.scale,
        folder,
        spec.note,
        tuple(rows),
        trains=not spec.no_train,
        table=table,
        yardstick=yardstick,
        remarks=tuple(remarks),
    )


def score_of(cell: CellOutcome, yardstick: Judge) -> Score | None:
    """The score of a cell; None if its genotype is not known yet.

    Raises:
        InputError: its genotype is not of the table's space.
    """
    return yardstick.scores([cell.genotype])[0] if cell.genotype else None


def _scored(rows: Iterable[Row], yardstick: Judge) -> tuple[list[Row], list[str]]:
    """The rows with scores, and a line about cells with a known genotype but no score."""
    problems: list[str] = []

    def scored(cell: CellOutcome) -> CellOutcome:
        try:
            return replace(cell, score=score_of(cell, yardstick))
        except InputError as error:
            problems.append(f"{cell.name}: {error}")
            return cell

    found = [replace(row, cells=tuple(map(scored, row.cells))) for row in rows]
    if not problems:
        return found, []
    return found, [f"without a score: {counted(len(problems), 'cell')}; {shown(problems[0], 500)}"]


def read_cell(cell: Cell) -> CellOutcome:
    """The results of one cell of the grid; damaged results count as missing."""
    found = _result(cell.search) if cell.search else {}
    trained = _result(cell.train)
    errors = trained.get("test_top1_errors") or [trained.get("test_top1_error")]
    test_errors = tuple(error for error in map(_number, _list(errors)) if error is not None)
    seconds = _number(trained.get("train_seconds"))
    cost = found.get("search_cost")
    cost = cost if isinstance(cost, dict) else {}
    genotype = _genotype(trained.get("genotype") or found.get("genotype"))
    if not cell.trains and not cell.search:
        genotype = _given(cell)
    state = _state(cell, bool(test_errors) if cell.trains else genotype is not None)
    return CellOutcome(
        method=cell.method,
        setting=cell.setting,
        seed=cell.seed,
        state=state,
        message=_message(cell) if state == "failed" else None,
        search=cell.search,
        train=cell.train,
        output=cell.output,
        genotype=genotype,
        test_errors=test_errors,
        arch_error=_number(found.get("arch_top1_error")),
        search_hours=_number(cost.get("hours")),
        train_hours=None if seconds is None else seconds / 3600,
        search_memory_gb=_number(cost.get("peak_memory_gb")),
        device=shown(trained["device"]) if "device" in trained else None,
        params=_count(trained.get("params")),
        mult_adds=_count(trained.get("mult_adds")),
        skip_connects={kind: genotype.skip_connects(kind) for kind in genotype.kinds} if genotype else None,
    )


def _result(run: RunFolder) -> dict[str, Any]:
    try:
        return run.read_result()
    except InputError:
        return {}


def _genotype(text: Any) -> Genotype | None:
    try:
        return Genotype.from_text(text) if isinstance(text, str) else None
    except InputError:
        return None


def _given(cell: Cell) -> Genotype | None:
    """The genotype of a cell that is published, named or drawn."""
    try:
        return find_genotype(cell.train_config.genotype, say=lambda remark: None)
    except InputError:
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> float | None:
    """A finite number; None if it is something else."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _state(cell: Cell, known: bool) -> State:
    """`known`: whether its results can be read."""
    last = _last_run(cell)
    if last is None or last.is_finished:
        return "done" if known else "failed"
    begun = [run for _, run in cell.steps() if run.path.is_dir() and not run.is_finished]
    if any(is_locked(run) for run in begun):
        return "running"
    if cell.failure.is_file():
        return "failed"
    return "interrupted" if begun else "waiting"


def _last_run(cell: Cell) -> RunFolder | None:
    """Its last run; None if it needs none."""
    return next((run for _, run in reversed(cell.steps())), None)


def _message(cell: Cell) -> str | None:
    """Why a cell has failed."""
    last = _last_run(cell)
    if last is not None and last.is_finished and not cell.failure.is_file():
        again = "train" if cell.trains else "search"
        return f"{last.result} is damaged: restore it, or remove {last.path} and {again} again"
    try:
        return shown(cell.failure.read_text("utf-8", errors="replace").strip(), 500) or None
    except OSError:
        return None
