"""What a configuration describes: the method of a search, its supernet, and the network of a training."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS, settings_of_method
from pcdarts.config.methods.robust import RobustSettings
from pcdarts.config.methods.selection import SELECTION
from pcdarts.methods.method import Method
from pcdarts.methods.methods import METHODS
from pcdarts.methods.robust.switches import made_robust
from pcdarts.methods.selection.darts_pt import PerturbationSelection
from pcdarts.network.network import Network
from pcdarts.network.stock import AnyNetwork, StockNetwork
from pcdarts.supernet.supernet import Supernet


def make_method(
    config: SearchConfig,
    space: CellSpace,
    device: torch.device | str = "cpu",
    costs: Callable[[], NetworkCosts] | None = None,
) -> Method:
    """The search method, at its start; the noise of its first α and β comes from PyTorch's global generator.

    `costs` gives what the network costs that will be trained; a method that learns about costs is not trained without.
    """
    settings = settings_of_method(config)
    if METHOD_SETTINGS[config.method].needs_costs and costs is not None:
        settings["costs"] = costs()
    return method_with(config.method, space, config.edge_normalization, device, settings)


def method_with(
    name: str,
    space: CellSpace,
    edge_normalization: bool,
    device: torch.device | str,
    settings: Mapping[str, Any],
) -> Method:
    """A method at its start; among its settings may be the switches of `methods/robust/` and `methods/selection/`."""
    switches = {key: value for key, value in settings.items() if key in RobustSettings.model_fields}
    selecting = {key: value for key, value in settings.items() if key in SELECTION}
    own = {key: value for key, value in settings.items() if key not in {**switches, **selecting}}
    method = made_robust(METHODS[name](space, edge_normalization, device, **own), switches)
    by_perturbation = selecting.pop("selection", None) == "perturbation"
    return PerturbationSelection(method, edge_normalization, **selecting) if by_perturbation else method


def make_supernet(config: SearchConfig, space: CellSpace, num_classes: int, image_channels: int) -> Supernet:
    """The supernet that is searched."""
    return Supernet(
        space,
        kind=config.kind,
        channels=config.channels,
        num_cells=config.num_cells,
        num_classes=num_classes,
        k=config.k,
        channel_sampling=config.channel_sampling,
        image_channels=image_channels,
        kernels=config.kernels,
        amp=config.amp,
        synchronize=config.synchronize_batch_norm,
    )


def make_network(
    config: TrainConfig, genotype: Genotype | None, num_classes: int, image_channels: int, image_size: int
) -> AnyNetwork:
    """The network that is trained: that of the genotype, or the stock network that `config` names.

    Raises:
        InputError: there is no such network, or it cannot take images of this size.
    """
    if genotype is None:
        return StockNetwork(
            str(config.stock),
            num_classes=num_classes,
            image_channels=image_channels,
            image_size=image_size,
            width=config.stock_width,
            amp=config.amp,
        )
    return Network(
        genotype,
        kind=config.kind,
        channels=config.channels,
        num_cells=config.num_cells,
        num_classes=num_classes,
        auxiliary=config.auxiliary,
        image_channels=image_channels,
        amp=config.amp,
        synchronize=config.synchronize_batch_norm,
    )
