"""What has come out of a study so far, read from its folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellKind
from pcdarts.errors import InputError, shown
from pcdarts.run.folder import RunFolder
from pcdarts.run.lock import is_locked
from pcdarts.study.grid import Cell, by_row, cell_name, grid
from pcdarts.study.spec import StudySpec

STUDIES = Path("studies")
"""Where studies go that are given no folder of their own."""

State = Literal["waiting", "running", "interrupted", "failed", "done"]


@dataclass(frozen=True)
class PaperFigure:
    """What the paper says, as printed: `3.00 ± 0.14 %`, `0.4 GPU-days`."""

    error: str | None
    cost: str | None


@dataclass(frozen=True)
class CellOutcome:
    """One cell of the grid; what is not known yet is None."""

    method: str
    setting: str | None
    seed: int
    state: State
    message: str | None
    """Why it failed."""
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
        """Test errors in %, one for each finished seed: a search is the unit of every statistic."""
        return [cell.test_error for cell in self.cells if cell.test_error is not None]


@dataclass(frozen=True)
class StudyOutcome:
    """A study, finished or not."""

    name: str
    title: str
    scale: str
    folder: Path
    note: str
    """What a reader has to know, such as how small it is."""
    rows: tuple[Row, ...]

    @property
    def cells(self) -> list[CellOutcome]:
        return [cell for row in self.rows for cell in row.cells]

    @property
    def device(self) -> str | None:
        """Where its trainings ran; None if none is done, several in one text."""
        devices = dict.fromkeys(cell.device for cell in self.cells if cell.device)
        return ", ".join(devices) or None


def description(folder: Path) -> Path:
    """Where the description of a study is kept."""
    return folder / "study.yaml"


def read_study(folder: Path) -> StudyOutcome:
    """What the study in `folder` has come to.

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
    return StudyOutcome(folder.resolve().name, spec.title, spec.scale, folder, spec.note, tuple(rows))


def read_cell(cell: Cell) -> CellOutcome:
    """What one cell of the grid has come to; damaged results are as if they were not there."""
    found = _result(cell.search) if cell.search else {}
    trained = _result(cell.train)
    errors = trained.get("test_top1_errors") or [trained.get("test_top1_error")]
    test_errors = tuple(error for error in map(_number, _list(errors)) if error is not None)
    seconds = _number(trained.get("train_seconds"))
    cost = found.get("search_cost")
    cost = cost if isinstance(cost, dict) else {}
    genotype = _genotype(trained.get("genotype") or found.get("genotype"))
    return CellOutcome(
        method=cell.method,
        setting=cell.setting,
        seed=cell.seed,
        state=_state(cell, bool(test_errors)),
        message=_message(cell),
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
        skip_connects={kind: genotype.skip_connects(kind) for kind in CELL_KINDS} if genotype else None,
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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> float | None:
    """A finite number; None if it is something else."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _state(cell: Cell, measured: bool) -> State:
    if cell.train.is_finished:
        return "done" if measured else "failed"
    begun = [run for _, run in cell.steps() if run.path.is_dir() and not run.is_finished]
    if any(is_locked(run) for run in begun):
        return "running"
    if cell.failure.is_file():
        return "failed"
    return "interrupted" if begun else "waiting"


def _message(cell: Cell) -> str | None:
    if cell.train.is_finished and not cell.failure.is_file():
        return f"{cell.train.result} is damaged: restore it, or remove {cell.train.path} and train again"
    try:
        return shown(cell.failure.read_text("utf-8", errors="replace").strip(), 500) or None
    except OSError:
        return None
