"""Stride-1 skips with dropout, forward and backward: they cannot be a weight of the bypass as others are.

On such an edge w · dropout(x) is added to the mixed channels instead, and the bypass has the weight zero for them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pcdarts.supernet.arch import Computed
from pcdarts.supernet.dropout import Dropping
from pcdarts.supernet.parameters import SupernetCell
from pcdarts.supernet.plain.groups import SKIP
from pcdarts.supernet.plain.sampling import FirstChannels, MaskedChannels


class DroppedSkips:
    """Of one cell in one pass: it keeps the masks and the weights for the backward pass."""

    def __init__(
        self, cell: SupernetCell, sampling: FirstChannels | MaskedChannels, computed: Computed, dropping: Dropping
    ) -> None:
        self.sampling, self.dropping = sampling, dropping
        strided = cell.strided_edges
        self.edges = frozenset(edge for edge, row in enumerate(computed) if row[SKIP] and edge not in strided)
        self.masks: dict[int, Tensor] = {}

    def instead_of(self, weights: Tensor) -> Tensor:
        """Take the weights [edges] of stride-1 skips, zero elsewhere; returns those that are left for the bypass."""
        self.weights = weights
        self.of_weights = torch.zeros_like(weights)
        return torch.zeros_like(weights)

    def arrive(self, edges: Sequence[int], sources: Sequence[Tensor], mixed: Sequence[Tensor]) -> None:
        """Add the skips that enter a node to the mixed channels that arrive there.

        Args:
            edges: those that enter the node, by their source.
            sources: the source nodes [B, C, H, W].
            mixed: what arrives on each edge, [B, C/k, H, W].
        """
        for source, edge in enumerate(edges):
            if edge in self.edges:
                sampled = self.sampling.sampled(sources[source], [edge])
                self.masks[edge] = self.dropping.kept(sampled)
                mixed[source].add_(sampled * self.masks[edge] * self._factor(edge, sampled))

    def leave(
        self,
        edges: Sequence[int],
        sources: Sequence[Tensor],
        of_mixed: Sequence[Tensor],
        of_sources: Sequence[Tensor],
        with_weights: bool,
    ) -> None:
        """The backward pass of `arrive`: adds to the gradients of the sources, and sets those of the weights."""
        for source, edge in enumerate(edges):
            if edge not in self.edges:
                continue
            kept = of_mixed[source] * self.masks[edge]
            self.sampling.give_back(of_sources[source], kept * self._factor(edge, kept), None, [edge])
            if with_weights:
                product = kept * self.sampling.sampled(sources[source], [edge])
                self.of_weights[edge] = product.sum(dtype=self.of_weights.dtype) * self.dropping.scale

    def _factor(self, edge: int, like: Tensor) -> Tensor:
        return (self.weights[edge] * self.dropping.scale).to(like.dtype)
