"""Times taken by turns, and the ceilings of the machine that they are held against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from pcdarts.learn.steps import SearchStep, Setting
from pcdarts.run.device import seconds_of

PRODUCT_SIDE, PRODUCT_SIDE_ON_GPU = 1536, 8192
COPY_BYTES, COPY_BYTES_ON_GPU = 128 * 2**20, 2**30
"""A GPU needs more to be busy everywhere, and for long beside what a launch costs."""
CEILING_REPEATS = 7

Name = TypeVar("Name")


@dataclass(frozen=True)
class Times:
    """Seconds of the same thing done several times, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def named(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "median": self.median,
            "min": min(self.seconds),
            "max": max(self.seconds),
            "n": len(self.seconds),
            "seconds": list(self.seconds),
        }


def by_turns(parts: Mapping[Name, Callable[[], float]], repeats: int) -> dict[Name, Times]:
    """Call all parts in turn (A B A B ...), once to warm up and then `repeats` times; each returns its own seconds.

    What slows the machine down for a while then slows all of them.
    """
    for part in parts.values():
        part()
    rounds = [{name: part() for name, part in parts.items()} for _ in range(repeats)]
    return {name: Times(tuple(times[name] for times in rounds)) for name in parts}


def matrix_product_gflops(device: torch.device) -> float:
    """The most GFLOP/s of a square float32 matrix product: the ceiling of arithmetic as PyTorch reaches it."""
    side = PRODUCT_SIDE_ON_GPU if device.type == "cuda" else PRODUCT_SIDE
    a, b, out = (torch.randn(side, side, device=device) for _ in range(3))
    return 2 * side**3 / _fastest(lambda: torch.mm(a, b, out=out), device) / 1e9


def copy_gb_per_second(device: torch.device) -> float:
    """The most GB/s, read and written counted, of a copy too large for the caches."""
    count = COPY_BYTES_ON_GPU if device.type == "cuda" else COPY_BYTES
    source, target = (torch.zeros(count // 4, device=device) for _ in range(2))
    return 2 * count / _fastest(lambda: target.copy_(source), device) / 1e9


def _fastest(part: Callable[[], object], device: torch.device) -> float:
    return min(seconds_of(part, device) for _ in range(CEILING_REPEATS))


def forward_backward_flops(setting: Setting) -> int:
    """The arithmetic of a forward and backward pass of the yardstick: three times that of the forward pass.

    The forward pass is counted by `torch.utils.flop_counter` (convolutions and the classifier, two for a
    multiplication with its addition); a backward pass has a product for each gradient: of the input and of the weights.
    """
    count = 2
    step = SearchStep(replace(setting, kernels="per edge", batch_size=count, device="cpu"))
    images = torch.zeros(count, setting.image_channels, setting.image_size, setting.image_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        step.network(images, step.method.mixture())
    return 3 * counter.get_total_flops() * setting.batch_size // count
