"""What methods can be told that draw whole cells over shared weights."""

from typing import ClassVar

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import at_most, setting
from pcdarts.config.groups.values import Count, NotNegative, Positive, Probability
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

    def remarks(self, epochs: int, frozen: int) -> list[str]:
        if epochs - frozen > 1:
            return []
        return [f"nothing evolves: the population is there after epoch {frozen + 1}, and there are {epochs} (--epochs)"]

    @field_validator("sample")
    @classmethod
    def _the_sample_is_of_the_population(cls, sample: int, info: ValidationInfo) -> int:
        return at_most(sample, info, "population")


class EnasSettings(WholeCellSettings):
    """an LSTM that draws cells and learns by REINFORCE from their accuracy, over shared weights (ENAS)"""

    beside_steps: ClassVar[str] = "the steps of the controller, and comparing cells that it draws"

    controller_size: int = setting(64, "units of the controller's LSTM", ge=2, le=4096, after="latency_table")
    controller_steps: Count = setting(30, "steps of the controller in each epoch")
    controller_samples: int = setting(
        10, "cells drawn for each of these steps; the baseline of the first one is their mean reward", ge=2
    )
    controller_learning_rate: Positive = setting(3.5e-3, "learning rate of Adam on the controller")
    entropy_weight: NotNegative = setting(1e-4, "weight of the controller's entropy in the reward")
    baseline_decay: Probability = setting(0.99, "how much of the baseline is left after each step")
    candidates: Count = setting(10, "cells drawn at the end, of which the best is kept")


class PnasSettings(WholeCellSettings):
    """cells that grow node by node, chosen by a predictor, over shared weights (PNAS)"""

    beside_steps: ClassVar[str] = "measuring the cells of each stage, and the predictor"

    beam: Count = setting(256, "cells that are kept for each stage after the first", after="latency_table")
    predictor_size: int = setting(100, "units of each LSTM of the predictor", ge=1, le=4096)
    predictor_members: int = setting(5, "LSTMs of the predictor", ge=1, le=100)
    predictor_steps: Count = setting(100, "steps of each of them at the end of a stage")


class NaoSettings(ArchAdam):
    """cells as codes, which move along the gradient of a predicted accuracy, over shared weights (NAO)"""

    has_budgets: ClassVar[bool] = False
    beside_steps: ClassVar[str] = "measuring the population, and learning its codes"

    population: int = setting(600, "cells in the population", ge=2, le=10000, after="latency_table")
    children: Count = setting(300, "at most so many new cells take the places of the worst ones in each round")
    parents: Count = setting(100, "cells, the best ones, whose codes are moved to find these")
    round_epochs: Count = setting(30, "epochs of a round")
    code_size: int = setting(96, "units of the LSTMs that encode and decode cells", ge=2, le=4096)
    predictor_size: int = setting(200, "units of each hidden layer of the predictor", ge=1, le=4096)
    predictor_dropout: Probability = setting(0.1, "dropout of the predictor while it learns")
    code_epochs: Count = setting(1000, "epochs in which they learn from the population, in each round")
    code_batch_size: Count = setting(100, "cells in a batch of these epochs")
    finalists: Count = setting(5, "how many of the best cells are compared on the whole arch split at the end")

    def remarks(self, epochs: int, frozen: int) -> list[str]:
        if any(epoch % self.round_epochs == 0 for epoch in range(frozen + 1, epochs)):
            return []
        return [
            f"nothing is learnt about cells, and the best random one is kept: no round of {self.round_epochs} epochs "
            f"(--round-epochs) ends before the last of {epochs} (--epochs)"
        ]

    @field_validator("children", "parents")
    @classmethod
    def _of_the_population(cls, number: int, info: ValidationInfo) -> int:
        return at_most(number, info, "population")
