"""The subject of a report: a study, or runs that were named one by one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import InputError, shown
from pcdarts.report.history import History, SearchHistory, read_history, read_run, read_trainings
from pcdarts.run.run_folder import RunFolder
from pcdarts.study.study_outcome import CellOutcome, Row, StudyOutcome, description, read_study
from pcdarts.truth.yardstick import Judge

SEARCHES = ("search", "random search")


@dataclass(frozen=True)
class Entry:
    """A cell of a study's grid, or a run: the search, the trainings, and the genotype that they share."""

    name: str
    search: SearchHistory | None
    trainings: Sequence[History]
    genotype: Genotype | None

    @property
    def histories(self) -> list[History]:
        return [*([self.search] if self.search else []), *self.trainings]


@dataclass(frozen=True)
class Group:
    """All seeds of a method and a setting, or one run: one name and one colour in the charts."""

    name: str
    entries: Sequence[Entry]
    path: Path | None = None
    """Of a run."""

    @property
    def searches(self) -> list[SearchHistory]:
        return [entry.search for entry in self.entries if entry.search]

    @property
    def histories(self) -> list[History]:
        return [history for entry in self.entries for history in entry.histories]

    @property
    def genotypes(self) -> list[Genotype]:
        """Those of the finished entries."""
        return [entry.genotype for entry in self.entries if entry.genotype]


@dataclass(frozen=True)
class Subject:
    """A study, or all runs that were named together (then `outcome` is None)."""

    title: str
    groups: Sequence[Group]
    outcome: StudyOutcome | None = None
    whole: RunFolder | None = None
    """Of a fit or a comparison, whose phases are the runs."""

    @property
    def entries(self) -> list[Entry]:
        return [entry for group in self.groups for entry in group.entries]

    @property
    def own_cells(self) -> list[Entry]:
        """The entries with a cell of their own: all of a study; all runs except those in `trained_again`."""
        return [entry for entry in self.entries if entry.name not in self.trained_again]

    @property
    def trained_again(self) -> dict[str, str]:
        """The trainings whose cell comes from another run (its search or an earlier training), and that run's name.

        The cells of such a pair are equal because one was made from the other, not because two searches agree.
        """
        if self.outcome is not None:
            return {}
        first: dict[Genotype, str] = {}
        found = {}
        for entry in sorted(self.entries, key=lambda entry: entry.search is None):
            if entry.genotype and entry.search is None and entry.genotype in first:
                found[entry.name] = first[entry.genotype]
            elif entry.genotype:
                first.setdefault(entry.genotype, entry.name)
        return found


def read_subjects(paths: Sequence[Path], yardstick: Judge | None = None) -> list[Subject]:
    """Each study, fit and comparison among `paths`, and all other runs among them as one subject.

    `yardstick` scores the cells of studies; without it a study uses its own table, if it has one.

    Raises:
        InputError: a folder holds neither a study nor a run, or what it holds is damaged.
    """
    subjects, runs = [], []
    for path in dict.fromkeys(paths):
        try:
            if description(path).is_file():
                subjects.append(_study(read_study(path, yardstick)))
            elif RunFolder(path).plan.is_file():
                subjects.append(_fit(RunFolder(path)))
            elif RunFolder(path).config.is_file():
                runs.append(Group(_name(path), [_run(RunFolder(path), _name(path))], path))
            else:
                lack = "has neither config.yaml nor study.yaml" if path.is_dir() else "does not exist"
                raise InputError(f"{path} is neither a run nor a study: it {lack}")
        except OSError as error:
            raise InputError(f"cannot read {shown(path)}: {error.strerror}") from None
    if runs:
        groups = _with_distinct_names(runs)
        title = " and ".join(group.name for group in groups) if len(groups) < 3 else f"{len(groups)} runs"
        subjects.append(Subject(title, groups))
    return subjects


def row_name(row: Row) -> str:
    """Method and setting."""
    return row.method if row.setting is None else f"{row.method}, {row.setting}"


def _study(outcome: StudyOutcome) -> Subject:
    groups = [Group(row_name(row), [_cell(cell) for cell in row.cells]) for row in outcome.rows]
    return Subject(outcome.title or outcome.name, groups, outcome)


def _fit(run: RunFolder) -> Subject:
    """A fit or a comparison: the runs of its phases, in the order in which they were begun."""
    parts = sorted(run.path.glob("**/env.json"), key=lambda path: path.stat().st_mtime)
    runs = [path.parent for path in parts if not RunFolder(path.parent).plan.is_file()]  # a fit has a comparison inside
    groups = [Group(name, [_run(RunFolder(path), name)], path) for path in runs if (name := _below(path, run.path))]
    return Subject(_name(run.path), groups, whole=run)


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _cell(cell: CellOutcome) -> Entry:
    name = cell.name
    search = read_history(cell.search, name) if cell.search and cell.search.config.is_file() else None
    trainings = read_trainings(cell.train, name) if cell.train.config.is_file() else []
    return Entry(name, search, trainings, cell.genotype)


def _run(run: RunFolder, name: str) -> Entry:
    history = read_run(run, name)
    if history.job in SEARCHES:
        search = read_history(run, name)
        return Entry(name, search, [], search.genotype if search.result else None)
    if history.job not in ("train", "detect train"):
        raise InputError(f"{run.path} is a run of {shown(history.job or 'an unknown job')}, which no report shows")
    try:
        genotype = Genotype.from_file(run.genotype)
    except InputError:
        genotype = None
    return Entry(name, None, read_trainings(run, name), genotype)


def _name(path: Path) -> str:
    """The folder's name; of a run in a study with method, setting and seed, of one of several seeds with theirs."""
    parts = path.resolve().parts
    if "runs" in parts[:-2] and parts[-1] in ("search", "train"):
        return "/".join(parts[-parts[::-1].index("runs") :])
    return "/".join(parts[-2:]) if re.fullmatch(r"seed-[0-9]+", parts[-1]) else parts[-1]


def _with_distinct_names(groups: list[Group]) -> list[Group]:
    """Of groups that would have one name, those with as many of the folders above as tell them apart."""
    names = [group.name for group in groups]
    parts = [group.path.resolve().parts if group.path else (group.name,) for group in groups]
    for number in range(2, max(map(len, parts)) + 1):
        if len(set(names)) == len(names):
            break
        names = [
            "/".join(part[-number:]) if names.count(name) > 1 else name for name, part in zip(names, parts, strict=True)
        ]
    return [
        Group(name, [Entry(name, e.search, e.trainings, e.genotype) for e in group.entries], group.path)
        for name, group in zip(names, groups, strict=True)
    ]
