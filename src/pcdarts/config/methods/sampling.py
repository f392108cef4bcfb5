"""What methods can be told that draw whole cells over shared weights."""

from typing import ClassVar

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import Count, Probability
from pcdarts.config.methods.settings import ArchAdam


class WholeCellSettings(ArchAdam):
    """Of a method that compares whole cells by their errors under the shared weights; Adam is that of beta."""

    has_budgets: ClassVar[bool] = False
    beside_steps: ClassVar[str] = "comparing candidate cells"

    candidate_batches: Count = setting(
        10, "batches of the arch split on which a cell is measured", after="latency_table"
    )
    finalists: Count = setting(10, "how many of the best cells are compared on the whole arch split at the end")


class RandomWSSettings(WholeCellSettings):
    """random cells while the weights learn, then the best of many (random search with weight sharing)"""

    candidates: Count = setting(1000, "random cells that are compared at the end", after="latency_table")


class EvolutionSettings(WholeCellSettings):
    """a population of cells that ages, its best ones mutated, over shared weights (regularised evolution)"""

    beside_steps: ClassVar[str] = "measuring the cells that join the population"

    population: int = setting(100, "cells in the population", ge=2, le=10000, after="latency_table")
    sample: int = setting(25, "cells drawn from the population, the best of which is mutated", ge=1)
    children: Count = setting(100, "mutated cells that take the places of the oldest, in each epoch")
    unchanged: Probability = setting(0.05, "probability that a child is not mutated, but measured anew")

    @field_validator("sample")
    @classmethod
    def _the_sample_is_of_the_population(cls, sample: int, info: ValidationInfo) -> int:
        population = info.data.get("population")
        if population is not None and sample > population:
            raise ValueError(f"sample is {sample}, but it must be at most population ({population})")
        return sample
