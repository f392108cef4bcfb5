"""The grid of a study: each cell with its folder and the configurations of its runs, checked beforehand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.zoo import PUBLISHED
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.config.job_config import JobConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.recipes import DEFAULT, resolve, training_recipe
from pcdarts.errors import InputError, shown
from pcdarts.run.run_folder import RunFolder
from pcdarts.study.spec import SEEDS_BELOW, SOURCES, Method, Part, Settings, StudySpec, folder_name, merged

Config = TypeVar("Config", bound=JobConfig)
Search = SearchConfig | RandomSearchConfig

WHERE_AND_HOW_FAST = {
    "checkpoint_minutes",
    "compile",
    "deterministic",
    "device",
    "kernels",
    "max_skipped_batches",
    "on_bad_image",
    "table",
    "threads",
    "track",
    "workers",
}
"""Settings of a run that may change while a study goes on."""


@dataclass(frozen=True)
class Cell:
    """A search (none for a given or random cell) and the training of its cell, if the study trains."""

    method: str
    setting: str | None
    seed: int
    folder: Path
    search_config: Search | None
    train_config: TrainConfig
    """Its genotype is the folder of the search, if there is one."""
    trains: bool = True
    """Whether the study trains it; otherwise it is done after its search, or at once without a search."""

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return cell_name(self.method, self.setting, self.seed)

    @property
    def search(self) -> RunFolder | None:
        return RunFolder(self.folder / "search") if self.search_config else None

    @property
    def train(self) -> RunFolder:
        return RunFolder(self.folder / "train")

    @property
    def output(self) -> Path:
        """What its processes printed."""
        return self.folder / "output.txt"

    @property
    def failure(self) -> Path:
        """The reason why it was given up, if it was."""
        return self.folder / "failure.txt"

    def steps(self) -> list[tuple[JobConfig, RunFolder]]:
        """Its runs, in order."""
        return self.runs() if self.trains else self.runs()[:-1]

    def runs(self) -> list[tuple[JobConfig, RunFolder]]:
        """Its runs with the training, which may exist even if the study does not train now."""
        search = [(self.search_config, self.search)] if self.search_config and self.search else []
        return [*search, (self.train_config, self.train)]

    @property
    def is_finished(self) -> bool:
        """Whether all its runs have ended well."""
        return all(run.is_finished for _, run in self.steps())


def cell_name(method: str, setting: str | None, seed: int) -> str:
    """As a cell of the grid is called in messages."""
    return ", ".join([method, *([setting] if setting else []), f"seed {seed}"])


def grid(spec: StudySpec, folder: Path) -> list[Cell]:
    """The cells of a study in the order of work: all cells of one seed first.

    Raises:
        ConfigError: the settings of some runs are wrong, and which.
    """
    columns: list[tuple[str | None, Part]] = [*spec.settings.items()] or [(None, Part())]
    cells, problems = [], []
    for seed in spec.seeds:
        for column, (setting, part) in enumerate(columns):
            for name, method in spec.methods.items():
                place = Path(folder_name(name), *([folder_name(setting)] if setting else []), f"seed-{seed}")
                try:
                    cells.append(_cell(spec, (name, setting, column), (method, part), seed, folder / "runs" / place))
                except (ConfigError, InputError) as error:
                    where = ", ".join(filter(None, [shown(name), setting and shown(setting)]))
                    lines = error.problems if isinstance(error, ConfigError) else [str(error)]
                    problems += [f"{where}: {line}" for line in lines]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return cells


def _cell(
    spec: StudySpec, place: tuple[str, str | None, int], parts: tuple[Method, Part], seed: int, folder: Path
) -> Cell:
    """`place` is method, setting and the number of the setting; `parts` are those of method and setting."""

    def settings(job: str) -> Settings:
        return merged(*(getattr(part, job) for part in (spec, *parts)))

    method, setting, column = place
    problems: list[str] = []

    def resolved(config_class: type[Config], fields: Settings) -> Config | None:
        try:
            # The recipe of a study does not depend on its data: its methods are compared by the settings that it names.
            return resolve(config_class, flags={"recipe": DEFAULT, **fields})
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    search: Search | None = None
    genotype = parts[0].cells
    if genotype == "searched":
        search = resolved(SearchConfig, {**settings("search"), "seed": seed})
    elif genotype == "random search":
        search = resolved(RandomSearchConfig, {**settings("random_search"), "seed": seed})
    elif genotype == "random" and (like := resolved(SearchConfig, settings("search"))):
        # Each cell of the grid has its own.
        genotype = random_genotype(like.cell_space, SEEDS_BELOW * column + seed).to_text()
    if genotype in SOURCES:
        genotype = str(folder / "search")
    elif genotype in PUBLISHED:  # as text, like in a training's settings, so that both are equal
        genotype = PUBLISHED[genotype].to_text()
    own = {"genotype": genotype, "seed": seed * spec.train_seeds, "seeds": spec.train_seeds}
    train = resolved(TrainConfig, {**settings("train"), **own})
    if problems or train is None:
        raise ConfigError(problems)
    if search and (settings("train") or not spec.no_train):
        search = _with_network_of(search, train)
    return Cell(method, setting, seed, folder, search, train, trains=not spec.no_train)


def _with_network_of(search: Search, train: TrainConfig) -> Search:
    """The search with the sizes of the network that will be trained, where they are not the usual ones."""
    usual = training_recipe(search)
    sizes = {"network_channels": (train.channels, usual.channels), "network_cells": (train.num_cells, usual.num_cells)}
    other = {name: ours for name, (ours, theirs) in sizes.items() if ours != theirs and getattr(search, name) is None}
    return search.model_copy(update=other)


def check_begun(cells: list[Cell]) -> None:
    """Make sure that existing runs were started with the settings that they would get now.

    Raises:
        InputError: names the first run with another setting.
    """
    for cell in cells:
        for config, run in cell.runs():
            if not run.config.is_file():
                continue
            wanted = deciding(config, cell)
            begun = deciding(resolve(type(config), file=run.config), cell)
            for name, value in wanted.items():
                if value != begun[name]:
                    again = cell.trains or run.path != cell.train.path
                    remedy = "as it was" if again else "its train: section as it was, beside --no-train"
                    raise InputError(
                        f"{run.path} was begun with {name} {shown(begun[name])}, not {shown(value)}: choose another "
                        f"--folder, or give the study {remedy}"
                    )
        if cell.search and cell.train.config.is_file() and not cell.search.is_finished:
            raise InputError(
                f"{cell.train.path} was trained without the search that now belongs to it: choose another --folder"
            )


def deciding(config: JobConfig, cell: Cell) -> dict[str, Any]:
    """The settings that decide the result of a run, including its data and its budget.

    The sizes of the network that will be trained matter only with a budget. The genotype of a training after a search
    is left out.
    """
    found: dict[str, Any] = yaml.safe_load(config.to_yaml())
    omitted = WHERE_AND_HOW_FAST | ({"genotype"} if cell.search_config is not None else set())
    if all(found.get(name) is None for name in ("max_mult_adds", "max_params", "max_latency", "latency_table")):
        found |= {"network_channels": None, "network_cells": None, "network_image_size": None}
    return {name: value for name, value in found.items() if name not in omitted}


def by_row(cells: list[Cell]) -> Iterator[tuple[str, str | None, list[Cell]]]:
    """Method, setting and all their cells, in the order of the description."""
    rows: dict[tuple[str, str | None], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.method, cell.setting), []).append(cell)
    for (method, setting), of_row in rows.items():
        yield method, setting, of_row
