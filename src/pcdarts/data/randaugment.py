"""RandAugment (Cubuk et al., 2020), by torchvision, on batches: images with the same change are changed together."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from pcdarts.ops.sending import send

CHANGES = 2
"""How many random changes each image gets, one after the other, as in the paper."""
DRAWS = 16
"""So often each of these is drawn for a batch; every image gets one of the draws. Calls for single images would cost
several times as much."""


def draw_changes(count: int, draw: torch.Generator) -> Tensor:
    """For each of so many images the seeds of its changes, int64 `[CHANGES, count]`."""
    seeds = torch.randint(2**31, (CHANGES, DRAWS), generator=draw)
    return seeds.gather(1, torch.randint(DRAWS, (CHANGES, count), generator=draw))


def rand_augment(images: Tensor, seeds: Tensor, magnitude: int) -> Tensor:
    """The images, uint8 `[B, C, H, W]`, each changed as its `seeds` `[CHANGES, B]` say, which are on the CPU.

    The magnitude runs from 0 to 30. What comes in from outside of an image is black.
    """
    with torch.random.fork_rng(devices=[]):
        for seeds_of_change in seeds:
            images = images.clone()
            for seed in seeds_of_change.unique().tolist():
                same = send((seeds_of_change == seed).nonzero().flatten(), images.device)
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
                images[same] = _one_change(magnitude)(images[same])
    return images


@cache
def _one_change(magnitude: int) -> Any:
    from torchvision.transforms import v2  # type: ignore[import-untyped]  # slow to import

    return v2.RandAugment(num_ops=1, magnitude=magnitude)
