"""The evaluation networks of the paper, and how large a genotype makes them."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace, NetworkKind
from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.network.complexity import Complexity, complexity
from pcdarts.network.costs import network_costs
from pcdarts.network.network import Network
from pcdarts.random_search_config import RandomSearchConfig
from pcdarts.recipes import DEFAULT, RECIPES, recipe


@dataclass(frozen=True)
class EvaluationNetwork:
    """Everything that decides how large a network is, but its genotype."""

    kind: NetworkKind
    channels: int
    num_cells: int
    num_classes: int
    image_channels: int
    image_size: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.image_channels, self.image_size, self.image_size

    def network(self, genotype: Genotype) -> Network:
        """The network with this genotype, without data (on the `meta` device).

        Raises:
            InputError: there is no such network.
        """
        with torch.device("meta"):
            return Network(
                genotype,
                kind=self.kind,
                channels=self.channels,
                num_cells=self.num_cells,
                num_classes=self.num_classes,
                image_channels=self.image_channels,
                auxiliary=False,
            )

    def complexity(self, genotype: Genotype) -> Complexity:
        """Parameters and mult-adds with this genotype.

        Raises:
            InputError: there is no such network, or the images are too small for it.
        """
        return complexity(self.network(genotype), self.input_shape)

    def costs(self, space: CellSpace) -> NetworkCosts:
        """The same for all genotypes of `space`, as a sum over their edges.

        Raises:
            InputError: there is no such network, or the images are too small for it.
        """
        return network_costs(space, **asdict(self))

    def described(self, genotype: Genotype) -> dict[str, Any]:
        """Setting, parameters and mult-adds, for `result.json`."""
        return asdict(self) | asdict(self.complexity(genotype))


EVALUATION_NETWORKS: dict[NetworkKind, EvaluationNetwork] = {
    "cifar": EvaluationNetwork("cifar", 36, 20, num_classes=10, image_channels=3, image_size=32),
    "imagenet": EvaluationNetwork("imagenet", 48, 14, num_classes=1000, image_channels=3, image_size=224),
}
"""Those of Secs. 4.2 and 4.3."""


def size_text(size: dict[str, Any]) -> str:
    """One line about what `described` returns: how large the network is, and at which setting."""
    return (
        f"{size['params'] / 1e6:.2f} M parameters, {size['mult_adds'] / 1e6:.0f} M mult-adds "
        f"({size['num_cells']} cells, {size['channels']} channels, {size['image_size']}x{size['image_size']} images, "
        f"{size['num_classes']} classes)"
    )


def training_command(genotype: Path, config: SearchConfig | RandomSearchConfig) -> str:
    """The command that trains the network of a cell that a search has found, on the same data."""
    name = config.recipe if config.recipe in RECIPES[TrainConfig] else ("cifar10" if config.data == "cifar10" else None)
    command = ["pcdarts", "train", "--genotype", str(genotype)]
    if name is not None and name != DEFAULT:
        command += ["--recipe", name]
    base = recipe(TrainConfig, name or DEFAULT)
    same = ("data", "data_root", "hub_name", "image_size", "loading", "crop", "crop_padding", "color_jitter", "kind")
    for field in same:
        value = getattr(config, field)
        if value != getattr(base, field):
            command += [f"--{field.replace('_', '-')}", str(value)]
    return shlex.join(command)
