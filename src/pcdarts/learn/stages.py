"""The stages of a search: which configuration each has, and its learning rates."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.errors import InputError, listed
from pcdarts.methods.method import Stage
from pcdarts.run.schedule import cosine


@dataclass(frozen=True)
class SearchStage:
    """A stage of a search; epochs count from 0 over the whole search."""

    config: SearchConfig
    """Of this stage: that of the search, changed where the method says something else."""
    first_epoch: int
    keeps_weights: bool
    """Whether the supernet goes on with the weights of the stage before."""
    schedule: tuple[int, int]
    """The epochs between which one cosine leads from the learning rate to the lowest one."""

    @property
    def end(self) -> int:
        """The epoch that is the first one after this stage."""
        return self.first_epoch + self.config.epochs

    @property
    def first_arch_epoch(self) -> int:
        """The first epoch in which the method takes steps."""
        return self.first_epoch + self.config.arch_frozen_epochs

    def learning_rate(self, epoch: int) -> float:
        """Of the weights, in an epoch of this stage."""
        start, end = self.schedule
        return cosine(epoch - start, end - start, self.config.learning_rate, self.config.learning_rate_min)


def stages_of(config: SearchConfig, stages: Sequence[Stage]) -> list[SearchStage]:
    """The stages of the search that `config` describes, by what its method says; most methods have one stage.

    Raises:
        InputError: a stage and the rest of the configuration do not fit.
    """
    found: list[SearchStage] = []
    for number, stage in enumerate(stages, 1):
        with _named(f"stage {number} of {config.method}" if len(stages) > 1 else ""):
            own = _in_stage(config, stage)
        first = found[-1].end if found else 0
        if stage.keeps_weights and found and own.num_cells != found[-1].config.num_cells:
            raise InputError("a stage that keeps the weights of the one before has as many cells as that: num_cells")
        schedule = (first, first + own.epochs)
        if stage.keeps_schedule and found:
            schedule = (found[-1].schedule[0], schedule[1])
            joined = found[-1].schedule
            found = [replace(each, schedule=schedule) if each.schedule == joined else each for each in found]
        found.append(SearchStage(own, first, stage.keeps_weights and bool(found), schedule))
    return found


@contextmanager
def _named(stage: str) -> Iterator[None]:
    """What is wrong inside is wrong with this stage."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError([f"{stage}: {problem}" if stage else problem for problem in error.problems]) from None


def told(config: SearchConfig, stages: Sequence[SearchStage]) -> list[dict[str, Any]]:
    """What `stages.json` says of each stage; nothing if there is only that of the configuration."""
    if [stage.config for stage in stages] == [config]:
        return []
    names = ("epochs", "arch_frozen_epochs", "num_cells", "k")
    return [
        {name: getattr(stage.config, name) for name in names} | {"keeps_weights": stage.keeps_weights}
        for stage in stages
    ]


def in_words(stages: Sequence[SearchStage]) -> list[str]:
    """What a search with several stages says of them before it begins: there are more epochs than `epochs`."""
    if len(stages) == 1:
        return []
    epochs = [str(stage.config.epochs) for stage in stages]
    return [f"{stages[-1].end} epochs in {len(stages)} stages: {listed(epochs, 'and')} (stages.json has cells and K)"]


def _in_stage(config: SearchConfig, stage: Stage) -> SearchConfig:
    """The configuration of a stage: `config`, changed where the stage says something else."""
    said = {name: value for name, value in asdict(stage).items() if not name.startswith("keeps")}
    added, share = said.pop("added_cells"), said.pop("learning_rate_share")
    changes = {name: value for name, value in said.items() if value is not None}
    if added:
        changes["num_cells"] = changes.get("num_cells", config.num_cells) + added
    if share != 1:
        rate = share * changes.get("learning_rate", config.learning_rate)
        lowest = changes.get("learning_rate_min", config.learning_rate_min)
        changes |= {"learning_rate": rate, "learning_rate_min": min(rate, lowest)}
    return SearchConfig(**config.model_dump() | changes) if changes else config
