"""The network that will be trained with a cell: its size with a genotype, and the command that trains it."""

import shlex
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace, NetworkKind
from pcdarts.cell.stem import check_images
from pcdarts.config.configs import SearchConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.recipes import DEFAULT, OWN_DATA, has_limits, recipe, training_recipe
from pcdarts.jobs.outcome.sizes import setting_text
from pcdarts.network.complexity import Complexity, complexity
from pcdarts.network.costs import network_costs
from pcdarts.network.latency.parts import Sizes
from pcdarts.network.latency.table import LatencyTable


@dataclass(frozen=True)
class EvaluationNetwork(Sizes):
    """A network that is or will be trained, whatever its genotype: what it costs, and how it is described."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.image_channels, self.image_size, self.image_size

    @property
    def sizes(self) -> Sizes:
        """The same for a table of latencies, whose sizes it is compared with."""
        return Sizes(**asdict(self))

    def check(self, space: CellSpace) -> None:
        """Make sure that such a network exists and takes such images, for every genotype of `space`.

        Raises:
            InputError: says why not.
        """
        network = self.network(random_genotype(replace(space, num_nodes=space.num_inputs + 1), 0))  # quickly made
        check_images(torch.empty(1, *self.input_shape, device="meta"), self.image_channels, network.smallest_image_side)

    def complexity(self, genotype: Genotype) -> Complexity:
        """Parameters and mult-adds with this genotype.

        Raises:
            InputError: there is no such network, or the images are too small for it.
        """
        return _complexity(self, genotype)

    def costs(self, space: CellSpace, latencies: LatencyTable | None = None) -> NetworkCosts:
        """Parameters and mult-adds for all genotypes of `space`, as a sum over their edges; with a table also latency.

        Raises:
            InputError: there is no such network, or the images are too small for it.
        """
        return _costs(self, space, latencies)

    def described(self, genotype: Genotype) -> dict[str, Any]:
        """Setting, parameters and mult-adds, for `result.json`."""
        return asdict(self) | asdict(self.complexity(genotype))

    def __str__(self) -> str:
        """`5 cells, 8 channels, cifar stem, 28x28 images, 10 classes`."""
        return setting_text(asdict(self))


# A process may ask often, and an answer takes a tenth of a second to a second.
@lru_cache(maxsize=256)
def _complexity(network: EvaluationNetwork, genotype: Genotype) -> Complexity:
    return complexity(network.network(genotype), network.input_shape)


@lru_cache(maxsize=16)
def _costs(network: EvaluationNetwork, space: CellSpace, latencies: LatencyTable | None) -> NetworkCosts:
    return network_costs(space, **asdict(network), latencies=latencies)


EVALUATION_NETWORKS: dict[NetworkKind, EvaluationNetwork] = {
    "cifar": EvaluationNetwork("cifar", 36, 20, num_classes=10, image_channels=3, image_size=32),
    "imagenet": EvaluationNetwork("imagenet", 48, 14, num_classes=1000, image_channels=3, image_size=224),
}
"""Those of the paper (Secs. 4.2 and 4.3)."""

NASBENCH201_NETWORK = EvaluationNetwork("cifar", 16, 15, num_classes=10, image_channels=3, image_size=32)
"""That of NAS-Bench-201 for CIFAR-10."""

SAME_DATA = (
    *("data", "data_root", "hub_name", "train_set", "test_set", "validation_set", "validation_fraction"),
    *("image_size", "pixel_range", "loading", "on_bad_image"),
    *("crop", "crop_padding", "color_jitter", "flip"),
)
"""Settings that a training takes from the search: its images and their augmentation."""


class ImagesLike(Protocol):
    """What decides a network's input and output: a data set has it, and so does the setting of a plan."""

    @property
    def num_classes(self) -> int: ...
    @property
    def image_channels(self) -> int: ...
    @property
    def image_size(self) -> int: ...


def network_of(config: SearchConfig | RandomSearchConfig, images: ImagesLike) -> EvaluationNetwork:
    """The network that will be trained with the cell of a search on such images; a budget limits this network."""
    base = training_recipe(config)
    return EvaluationNetwork(
        config.kind,
        config.network_channels or base.channels,
        config.network_cells or base.num_cells,
        images.num_classes,
        images.image_channels,
        config.network_image_size or images.image_size,
    )


def training_command(
    genotype: Path, config: SearchConfig | RandomSearchConfig, network: EvaluationNetwork, same_data: bool = True
) -> str:
    """The command that trains `network` with a cell that the search of `config` has found.

    On the data of the search, with its `train_images` if they are not the recipe's; without `same_data` on other
    data, which the user adds.
    """
    base = training_recipe(config)
    own = None if config.recipe is None else recipe(type(config), config.recipe)
    if own is not None and not has_limits(own.model_dump(), config.data):
        own = None  # other images than the recipe's
    command = ["pcdarts", "train", "--genotype", str(genotype)]
    if base.recipe != DEFAULT or config.data in OWN_DATA:
        command += ["--recipe", str(base.recipe)]
    wanted: dict[str, Any] = {"kind": network.kind, "channels": network.channels, "num_cells": network.num_cells}
    if same_data:
        wanted = {name: getattr(config, name) for name in SAME_DATA} | wanted
        if (side := config.network_image_size) is not None:
            as_they_are = own is not None and side == own.network_image_size
            wanted["image_size"] = base.image_size if as_they_are else side
    else:
        wanted["image_size"] = network.image_size
    for name, value in wanted.items():
        if value != getattr(base, name):
            command += as_flag(name, value)
    if same_data and own is None and config.train_images is not None:  # the recipe's number is for its own images
        command += as_flag("train_images", config.train_images)
    return shlex.join(command)


def as_flag(name: str, value: Any) -> list[str]:
    """A setting as it is typed."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{dashed}", *("none" if one is None else str(one) for one in values)]
