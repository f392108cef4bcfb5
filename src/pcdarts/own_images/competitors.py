"""Which networks a trained one is compared with: stock networks and random cells, of about as many mult-adds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import space_of
from pcdarts.config.compare_config import CompareConfig
from pcdarts.config.configs import TrainConfig
from pcdarts.errors import InputError, shown
from pcdarts.jobs.outcome.sizes import millions
from pcdarts.jobs.random_search import random_cells
from pcdarts.jobs.stock_training import OF_CELLS
from pcdarts.jobs.test import Learnt
from pcdarts.network.complexity import complexity
from pcdarts.network.network import Network, network_without_data
from pcdarts.network.pretrained import find_weights
from pcdarts.network.stock import check_stock, has_width, without_data

_WIDEST = 1600
"""Of a stock network, in hundredths of its own width."""
_MOST_CHANNELS = 4096


@dataclass(frozen=True)
class Competitor:
    """A network that is trained as the run was."""

    name: str
    folder: str
    """Of its training, below that of the comparison."""
    settings: dict[str, Any]
    """What differs from the run's configuration."""
    said: str
    """How large it is beside the run's network, and why."""


def competitors(config: CompareConfig, trained: TrainConfig, learnt: Learnt) -> list[Competitor]:
    """All networks that `config` asks for, beside one that was trained by `trained`.

    Raises:
        InputError: there is no such network, it cannot take the images, its weights are missing, or none is asked for.
    """
    if not config.names and not config.random:
        raise InputError("there is nothing to compare with: name stock networks in --with, or ask for --random cells")
    shape = (len(learnt.mean), learnt.image_size, learnt.image_size)
    sizes = {"num_classes": len(learnt.classes), "image_channels": shape[0], "image_size": shape[1]}
    target = complexity(learnt.network, shape).mult_adds
    found: list[Competitor] = []
    for name in config.names:
        check_stock(name)
        found.append(scaled(name, sizes, shape, target))
        if config.pretrained:
            size = complexity(without_data(name, **sizes), shape).mult_adds
            found.append(
                Competitor(
                    f"{name} (pretrained)",
                    f"{_as_folder(name)}-pretrained",
                    {**_STOCK, "stock": name, "pretrained": True, "pretrained_file": find_weights(name)},
                    f"its own width, which its weights have: {_beside(size, target)}",
                )
            )
    if config.random:
        found += _random(config.random, trained, learnt, shape, target)
    return found


_STOCK = OF_CELLS | {
    "compile": False,
    "synchronize_batch_norm": False,
    "stock_width": None,
    "pretrained": False,
    "pretrained_file": None,
}
"""What is the same for every stock network, whatever the run has."""


def scaled(name: str, sizes: dict[str, Any], shape: tuple[int, int, int], target: int) -> Competitor:
    """A stock network of about `target` mult-adds, or of its own if it has no width multiplier."""
    settings: dict[str, Any] = {**_STOCK, "stock": name}
    if not has_width(name):
        size = complexity(without_data(name, **sizes), shape).mult_adds
        return Competitor(
            name, _as_folder(name), settings, f"it has no width multiplier: {_beside(size, target)}, not scaled"
        )

    @cache
    def cost(hundredths: int) -> int:
        return complexity(without_data(name, width=hundredths / 100, **sizes), shape).mult_adds

    width = nearest(cost, target, start=100, most=_WIDEST)
    settings["stock_width"] = width / 100
    how = "as narrow as it can be, " if cost(width) == cost(1) else ""
    said = f"{how}{width / 100:g} times its own width: {_beside(cost(width), target)}"
    return Competitor(name, _as_folder(name), settings, said)


def _random(
    number: int, trained: TrainConfig, learnt: Learnt, shape: tuple[int, int, int], target: int
) -> list[Competitor]:
    """Random cells, other ones than the run's, in networks of its stem and depth."""
    if not isinstance(learnt.network, Network):
        raise InputError(
            f"random cells take stem and depth from the run, but it trained the stock network {trained.stock}: "
            "drop --random, or compare the training of a genotype"
        )
    own = learnt.network.genotype
    drawn = random_cells(space_of(own.form.macro, own.num_nodes("normal")), number + 1, trained.seed)
    step, found = 2 if trained.kind == "imagenet" else 1, []
    for place, cell in enumerate([cell for cell in drawn if cell != own][:number], 1):
        cost = _cost_by_channels(cell, trained, len(learnt.classes), shape, step)
        channels = step * nearest(cost, target, start=max(1, trained.channels // step), most=_MOST_CHANNELS // step)
        settings = {"genotype": cell.to_text(), "init": None, "channels": channels}
        said = f"{channels} channels, not {trained.channels}: {_beside(cost(channels // step), target)}"
        found.append(Competitor(f"random cell {place}", f"random-{place}", settings, said))
    return found


def _cost_by_channels(
    cell: Genotype, trained: TrainConfig, num_classes: int, shape: tuple[int, int, int], step: int
) -> Callable[[int], int]:
    @cache
    def cost(channels: int) -> int:
        network = network_without_data(
            cell,
            kind=trained.kind,
            channels=step * channels,
            num_cells=trained.num_cells,
            num_classes=num_classes,
            image_channels=shape[0],
        )
        return complexity(network, shape).mult_adds

    return cost


def nearest(cost: Callable[[int], int], target: int, *, start: int, most: int) -> int:
    """The number from 1 to `most` whose cost, which never falls, is nearest to `target`; the largest of equals."""
    target = max(target, cost(1))
    high = min(max(start, 2), most)
    while cost(high) <= target and high < most:
        high = min(2 * high, most)
    if cost(high) <= target:
        return high
    low = 1  # cost(low) <= target < cost(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= target else (low, middle)
    return low if target - cost(low) <= cost(high) - target else high


def _beside(size: int, target: int) -> str:
    return f"{millions(size)} mult-adds beside {millions(target)} of the run"


def _as_folder(name: str) -> str:
    return shown(name.replace("/", "-"), 100)
