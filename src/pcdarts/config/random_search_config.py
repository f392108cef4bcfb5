"""What `pcdarts random search` can be told."""

from typing import ClassVar, Literal

from pcdarts.config.configs import TrainConfig
from pcdarts.config.groups.few_images_settings import Sampling
from pcdarts.config.groups.group import setting
from pcdarts.config.groups.image_settings import Crops, Cutout, Images, Splits, Workers
from pcdarts.config.groups.learning_settings import Accumulation, Epochs, LowestLearningRate, Precision, Sgd
from pcdarts.config.groups.machine_settings import Determinism, Machine, Safety, Seed
from pcdarts.config.groups.network_settings import Nodes, Size, Stem, TrainedNetwork
from pcdarts.config.groups.values import Count, Fraction
from pcdarts.config.job_config import RunConfig


class RandomSearchConfig(
    RunConfig, Images, Workers, Epochs, Stem, Size, Nodes, TrainedNetwork, Sgd, LowestLearningRate, Splits, Cutout,
    Crops, Sampling, Precision, Accumulation, Safety, Seed, Machine, Determinism,
):  # fmt: skip
    """Search a cell by drawing some at random; the defaults are those of the recipe cifar10."""

    defaults: ClassVar = {"batch_size": 128, "learning_rate": 0.025}
    extendable: ClassVar[frozenset[str]] = frozenset()  # the epochs are those of a candidate, not of the run

    job: Literal["random search"] = "random search"
    candidates: int = setting(24, "random cells that are trained and compared", ge=1, le=1000, after="workers")
    epochs: Count = setting(100, "passes over the weight split, for each of them")
    arch_fraction: Fraction | None = setting(
        None, "part of them that compares the cells (none: all that the weights leave)"
    )

    def training(self) -> TrainConfig:
        """How each candidate is trained, in the words of `pcdarts train`; which genotype is left open."""
        shared = {
            name: value
            for name, value in self.model_dump().items()
            if name in TrainConfig.model_fields and name not in ("job", "recipe")
        }
        return TrainConfig(**shared, drop_path=0.0, auxiliary=False)
