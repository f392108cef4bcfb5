"""The channel masks S of Eq. (1): drawn ones, whether given ones fit a supernet, and the channels that they select."""

from collections.abc import Sequence

import torch
from torch import Tensor


def selected_channels(mask: Tensor, width: int) -> Tensor:
    """The indices [edges, width] of the channels that a boolean mask [edges, C] selects, in their order."""
    # A stable sort: counting what a mask holds would make a GPU wait.
    return mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]


class DrawnMasks(list[Tensor]):
    """Masks that `Supernet.draw_masks` drew: they fit, so that what they select need not be counted on a GPU."""


def fitting_masks(masks: Sequence[Tensor], channels: Sequence[int], edges: int, k: int) -> list[bool]:
    """Which of the masks, one for each cell, are [edges, C] and select C/k channels of every edge.

    On a GPU only the shapes of drawn masks are checked: counting what they select would wait for the GPU in every pass.
    """
    if isinstance(masks, DrawnMasks) and any(mask.device.type != "cpu" for mask in masks):
        return [mask.shape == (edges, width) for mask, width in zip(masks, channels, strict=True)]
    fits = [
        (mask.count_nonzero(dim=1) == width // k).all()
        if mask.shape == (edges, width)
        else torch.tensor(False, device=mask.device)
        for mask, width in zip(masks, channels, strict=True)
    ]
    found: list[bool] = torch.stack(fits).tolist()  # a GPU waits once, not for every mask
    return found
