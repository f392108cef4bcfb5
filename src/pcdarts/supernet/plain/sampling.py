"""Which channels of a node go through the operations, and how a node is put together from what arrives (Eqs. 1, 2).

Two ways, one interface: the first C/k channels of every node with a shuffle (Sec. 4.1), or a mask for every edge.
Nodes are channels-last maps [B, C, H, W]. The bypass of an edge is the source node times a row of C weights: the edge
weight for the channels that bypass the operations and, for the sampled ones, the weight of a stride-1 skip.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pcdarts.supernet.plain.channels_last import channels_last
from pcdarts.supernet.plain.pointwise import GroupedWeight, add_product, multiply

MOVED_BY_PRODUCT = 32
"""Channels of a node up to which a product with a matrix of zeros and ones is faster than moving single numbers."""


class FirstChannels:
    """The first C/k channels of every node; the node that they arrive at is shuffled in k groups."""

    sums_mixed = True
    """Whether edges out of one node share sampled channels, and edges into one node the places of mixed ones."""

    def __init__(self, channels: int, k: int) -> None:
        self.channels, self.k, self.width = channels, k, channels // k

    def sampled(self, node: Tensor, edges: Sequence[int]) -> Tensor:
        """The sampled channels that the edges share, [B, C/k, H, W]."""
        return channels_last(node[:, : self.width])

    def rectified(self, sampled: Tensor, edges: Sequence[int]) -> Tensor:
        """Their ReLU once for every edge, [B, n·C/k, H, W]."""
        n = len(edges)
        if n == 1:
            return sampled.relu()
        if self.channels > MOVED_BY_PRODUCT:
            return channels_last(torch.cat([sampled.relu()] * n, dim=1))
        return multiply(sampled, GroupedWeight(_eye(self.width, sampled).repeat(n, 1), 1)).relu_()

    def give_back(
        self, grad: Tensor, of_sampled: Tensor | None, of_rectified: Tensor | None, edges: Sequence[int]
    ) -> None:
        """Add to the node's gradient those of `sampled` and, before the ReLU, of `rectified`, where there are any."""
        n = len(edges)
        if of_rectified is not None and n > 1 and self.channels <= MOVED_BY_PRODUCT:
            add_product(grad, of_rectified, GroupedWeight(_eye(self.channels, grad)[:, : self.width].repeat(1, n), 1))
        elif of_rectified is not None:
            for part in of_rectified.split(self.width, dim=1):
                of_sampled = part if of_sampled is None else of_sampled + part
        if of_sampled is not None:
            grad[:, : self.width] += of_sampled

    def bypass_weights(self, skip: Tensor, edge_weights: Tensor) -> Tensor:
        """[edges, C] from the weights of stride-1 skips and of the edges, [edges] each."""
        parts = [skip.unsqueeze(1).expand(-1, self.width)]
        parts.append(edge_weights.unsqueeze(1).expand(-1, self.channels - self.width))
        return torch.cat(parts, dim=1)

    def bypass_gradients(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of `bypass_weights`' arguments."""
        return grad[:, : self.width].sum(dim=1), grad[:, self.width :].sum(dim=1)

    def spread_shift(self, shift: Tensor, edges: Sequence[int]) -> Tensor:
        """The constants [edges, C/k] that arrive at one node as a row [C]."""
        row = shift.new_zeros(self.channels)
        row[: self.width] = shift.sum(dim=0)
        return row

    def assemble(self, passed: Tensor, mixed: list[Tensor], edges: Sequence[int]) -> Tensor:
        """The node from the sum of bypasses [B, C, H, W], overwritten, and the one sum of mixed channels."""
        passed[:, : self.width] += mixed[0]
        return shuffle(passed, self.k)

    def disassemble(self, grad: Tensor, parts: list[Tensor], edges: Sequence[int]) -> Tensor:
        """The gradient of `passed` from that of the node; writes those of `mixed` into `parts`."""
        grad = shuffle(grad, self.width)
        parts[0].copy_(grad[:, : self.width])
        return grad


class MaskedChannels:
    """C/k channels of every edge, `selected` [edges, C/k] by index; no shuffle."""

    sums_mixed = False

    def __init__(self, channels: int, selected: Tensor) -> None:
        self.channels, self.selected, self.width = channels, selected, selected.shape[1]

    def sampled(self, node: Tensor, edges: Sequence[int]) -> Tensor:
        """The sampled channels of every edge, [B, n·C/k, H, W]."""
        return channels_last(node.index_select(1, self._channels(edges)))

    def rectified(self, sampled: Tensor, edges: Sequence[int]) -> Tensor:
        """Their ReLU."""
        return sampled.relu()

    def give_back(
        self, grad: Tensor, of_sampled: Tensor | None, of_rectified: Tensor | None, edges: Sequence[int]
    ) -> None:
        """As `FirstChannels.give_back`."""
        parts = [part for part in (of_sampled, of_rectified) if part is not None]
        grad.index_add_(1, self._channels(edges), parts[0] if len(parts) == 1 else parts[0] + parts[1])

    def bypass_weights(self, skip: Tensor, edge_weights: Tensor) -> Tensor:
        """As `FirstChannels.bypass_weights`."""
        weights = edge_weights.unsqueeze(1).repeat(1, self.channels)
        return weights.scatter_(1, self.selected, skip.unsqueeze(1).expand(-1, self.width))

    def bypass_gradients(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of `bypass_weights`' arguments."""
        sampled = grad.gather(1, self.selected).sum(dim=1)
        return sampled, grad.sum(dim=1) - sampled

    def spread_shift(self, shift: Tensor, edges: Sequence[int]) -> Tensor:
        """As `FirstChannels.spread_shift`."""
        return shift.new_zeros(self.channels).index_add_(0, self._channels(edges), shift.flatten())

    def assemble(self, passed: Tensor, mixed: list[Tensor], edges: Sequence[int]) -> Tensor:
        """The node from the sum of bypasses [B, C, H, W], overwritten, and each edge's mixed channels."""
        for edge, part in zip(edges, mixed, strict=True):
            passed.index_add_(1, self.selected[edge], part)
        return passed

    def disassemble(self, grad: Tensor, parts: list[Tensor], edges: Sequence[int]) -> Tensor:
        """As `FirstChannels.disassemble`."""
        for edge, part in zip(edges, parts, strict=True):
            part.copy_(grad.index_select(1, self.selected[edge]))
        return grad

    def _channels(self, edges: Sequence[int]) -> Tensor:
        return torch.cat([self.selected[edge] for edge in edges])


def shuffle(x: Tensor, k: int) -> Tensor:
    """Shuffle the channels of x [B, C, H, W] in k groups: [k, C/k] becomes [C/k, k], as in ShuffleNet (Sec. 4.1).

    A shuffle of the node equals one on each edge (authors' code): a permutation commutes with the weighted sum.
    """
    channels = x.shape[1]
    if k in (1, channels):
        return x
    if channels <= MOVED_BY_PRODUCT:
        order = torch.arange(channels, device=x.device).view(k, -1).t().flatten()
        return multiply(x, GroupedWeight(_eye(channels, x)[order], 1))
    pixels = x.permute(0, 2, 3, 1).unflatten(3, (k, -1)).transpose(3, 4)
    return pixels.flatten(3).permute(0, 3, 1, 2)


def _eye(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
