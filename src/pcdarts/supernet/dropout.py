"""Dropout behind the skips of stride 1 while a supernet trains (P-DARTS, Sec. 3.3): the masks of one pass."""

import torch
from torch import Tensor

from pcdarts.ops.compiling import never_compiled
from pcdarts.ops.synchronize import process_count, process_number
from pcdarts.supernet.arch import SkipDropout


class Dropping:
    """Draws a mask for one edge of one cell after the other, in the order of cells and edges.

    A pass takes a number for each process from the mixture's generator and draws from a generator on the images' own
    device, so that parts of a batch and processes have masks of their own.
    """

    def __init__(self, dropout: SkipDropout, device: torch.device) -> None:
        self.rate = dropout.rate
        seeds = torch.randint(2**31, (process_count(),), generator=dropout.chance)
        self._generator = torch.Generator(device).manual_seed(int(seeds[process_number()]))

    @property
    def scale(self) -> float:
        """What the numbers that are kept are multiplied by."""
        return 1 / (1 - self.rate)

    def kept(self, x: Tensor) -> Tensor:
        """Which numbers of x [B, C, H, W] are kept: a boolean of that shape, channels last."""
        batch, channels, height, width = x.shape
        noise = torch.rand(batch, height, width, channels, generator=self._generator, device=x.device)
        return (noise >= self.rate).permute(0, 3, 1, 2)


@never_compiled
def dropping_of(dropout: SkipDropout | None, x: Tensor, training: bool) -> Dropping | None:
    """What is dropped in a pass over x; None where that is nothing."""
    return Dropping(dropout, x.device) if dropout is not None and dropout.rate > 0 and training else None
