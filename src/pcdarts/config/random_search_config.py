"""What `pcdarts random search` can be told."""

from typing import Any, ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.configs import TrainConfig
from pcdarts.config.groups.few_images_settings import Sampling
from pcdarts.config.groups.group import setting
from pcdarts.config.groups.image_settings import Crops, Cutout, Images, Splits, Workers
from pcdarts.config.groups.learning_settings import Accumulation, Epochs, LowestLearningRate, Precision, Sgd
from pcdarts.config.groups.machine_settings import Determinism, Machine, Safety, Seed
from pcdarts.config.groups.network_settings import Size, Space, Stem, TrainedNetwork, Truth
from pcdarts.config.groups.values import Count, Fraction, Probability
from pcdarts.config.job_config import RunConfig


class RandomSearchConfig(
    RunConfig, Images, Workers, Epochs, Stem, Size, Space, Truth, TrainedNetwork, Sgd, LowestLearningRate, Splits,
    Cutout, Crops, Sampling, Precision, Accumulation, Safety, Seed, Machine, Determinism,
):  # fmt: skip
    """Search a cell by training some, drawn at random or evolved; the defaults are those of the recipe cifar10."""

    defaults: ClassVar = {"batch_size": 128, "learning_rate": 0.025}
    extendable: ClassVar[frozenset[str]] = frozenset()  # the epochs are those of a candidate, not of the run

    job: Literal["random search"] = "random search"
    candidates: int = setting(24, "cells that are trained and compared", ge=1, le=1000, after="workers")
    strategy: Literal["random", "evolution"] = setting(
        "random",
        "random: at random; evolution: first at random, then mutations of good ones (regularised evolution)",
    )
    population: int | None = setting(
        None,
        "strategy evolution: so many cells are alive, at first random ones; each child takes the place of the oldest "
        "(none: half of the candidates, at most 10)",
        ge=2,
    )
    sample: int | None = setting(
        None,
        "strategy evolution: cells drawn from the population, the best of which is mutated (none: 3, or all of 2)",
        ge=1,
    )
    unchanged: Probability | None = setting(
        None, "strategy evolution: probability that a child is not mutated, but trained anew (none: 0.05)"
    )
    epochs: Count = setting(100, "passes over the weight split, for each of them")
    arch_fraction: Fraction | None = setting(
        None, "part of them that compares the cells (none: all that the weights leave)"
    )

    @field_validator("population", "sample", "unchanged")
    @classmethod
    def _only_an_evolution_has_them(cls, number: Any, info: ValidationInfo) -> Any:
        if number is not None and info.data.get("strategy") == "random":
            raise ValueError(
                f"{info.field_name} is {number:g}, but it is for --strategy evolution: drop it, or choose that"
            )
        return number

    @field_validator("unchanged")  # the last of them, so that the others are known
    @classmethod
    def _numbers_fit(cls, unchanged: float | None, info: ValidationInfo) -> float | None:
        known = info.data
        if known.get("strategy") == "evolution" and {"candidates", "population", "sample"} <= known.keys():
            candidates, sample = known["candidates"], known["sample"]
            population = _population(known["population"], candidates)
            if population >= candidates:
                raise ValueError(
                    f"candidates is {candidates}, but it must be more than population ({population}), whose cells are "
                    "random: only those after them evolve"
                )
            if sample is not None and sample > population:
                raise ValueError(f"sample is {sample}, but it must be at most population ({population})")
        return unchanged

    def evolution(self) -> tuple[int, int, float]:
        """Of an evolution: population, sample and the probability `unchanged`."""
        population = _population(self.population, self.candidates)
        sample = min(3, population) if self.sample is None else self.sample
        return population, sample, 0.05 if self.unchanged is None else self.unchanged

    def training(self) -> TrainConfig:
        """How each candidate is trained, in the words of `pcdarts train`; which genotype is left open."""
        shared = {
            name: value
            for name, value in self.model_dump().items()
            if name in TrainConfig.model_fields and name not in ("job", "recipe")
        }
        return TrainConfig(**shared, drop_path=0.0, auxiliary=False)


def _population(named: int | None, candidates: int) -> int:
    return max(2, min(10, candidates // 2)) if named is None else named
