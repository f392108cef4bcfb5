"""The cells of NAS-Bench-201 with PyTorch alone: the convolutions of all edges that leave a node are one each.

Autograd makes the gradients. An operation's weight in the mixture is the scale of its BatchNorm, whose gradient is then
that of the weight. Where edges share their sampled channels, their convolutions are one with more channels, and the
pool is computed once; where each has a mask, they are one with groups.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.ops.compiling import never_compiled
from pcdarts.supernet.arch import Computed, Mixture
from pcdarts.supernet.dropout import Dropping, dropping_of
from pcdarts.supernet.edges import EPSILON
from pcdarts.supernet.masks import selected_channels
from pcdarts.supernet.parameters import SupernetCell, SupernetParts
from pcdarts.supernet.plain.sampling import shuffle

CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")


def logits(network: SupernetParts, images: Tensor, mixture: Mixture, masks: list[Tensor] | None) -> Tensor:
    """The logits [B, num_classes] of a supernet, for checked images, mixture and masks."""
    _, x = network.stem(images.contiguous(memory_format=torch.channels_last))
    dropping = dropping_of(mixture.skip_dropout, images, network.training)
    computed = mixture.computed("normal")
    for position, cell in enumerate(network.cells):
        selected = None
        if masks is not None:
            selected = selected_channels(masks[position], cell.plan.channels // cell.k)
        (read,) = cell.preprocessing
        weights = mixture.op_weights["normal"], mixture.edge_weights["normal"]
        x = DensePass(cell, *weights, selected, computed, dropping).output(read(x))
    return network.classifier(network.closing(x).mean(dim=(2, 3)))


class DensePass:
    """Eqs. (1) and (2) for one cell on one batch.

    Args:
        op_weights, edge_weights: [edges, primitives] and [edges].
        selected: the channels [edges, C/k] that go through the operations of each edge; None for the first C/k of all
            edges and a shuffle of each node.
        computed: the operations that are computed.
        dropping: the dropout of this pass behind skips.
    """

    def __init__(
        self,
        cell: SupernetCell,
        op_weights: Tensor,
        edge_weights: Tensor,
        selected: Tensor | None,
        computed: Computed,
        dropping: Dropping | None,
    ) -> None:
        self.cell, self.space, self.width = cell, cell.space, cell.plan.channels // cell.k
        self.mixture, self.edge_weights = op_weights * edge_weights.unsqueeze(1), edge_weights
        self.selected, self.computed, self.dropping = selected, computed, dropping
        self.columns = {primitive: column for column, primitive in enumerate(self.space.primitives)}

    @never_compiled
    def output(self, x: Tensor) -> Tensor:
        """The last node [B, C, H, W] of the cell that reads x [B, C, H, W]."""
        nodes, convolved, pooled = [x], dict[int, Tensor](), dict[int, Tensor]()
        for target in self.space.intermediate:
            self._leave(target - 1, nodes[-1], convolved, pooled)
            edges = self.space.edges_into(target)
            node = self._passed(edges[0], nodes[0], convolved, pooled)
            for source, edge in enumerate(edges[1:], start=1):
                node = node + self._passed(edge, nodes[source], convolved, pooled)
            nodes.append(shuffle(node, self.cell.k) if self.selected is None else node)
        return nodes[-1]

    def _has(self, edge: int, primitive: str) -> bool:
        column = self.columns.get(primitive)
        return column is not None and self.computed[edge][column]

    def _sampled(self, edge: int, node: Tensor) -> Tensor:
        """The channels [B, C/k, H, W] of a node that go through the operations of an edge."""
        return node[:, : self.width] if self.selected is None else node.index_select(1, self.selected[edge])

    def _leave(self, source: int, node: Tensor, convolved: dict[int, Tensor], pooled: dict[int, Tensor]) -> None:
        """Compute what leaves a node: of each edge the weighted sum of its convolutions, and its pool."""
        edges = self.space.edges_from(source)
        shared = self._sampled(edges[0], node) if self.selected is None else None
        rectified = None if shared is None else shared.relu()
        for primitive in CONVOLUTIONS:
            own = [edge for edge in edges if self._has(edge, primitive)]
            if not own:
                continue
            x = torch.cat([self._sampled(edge, node) for edge in own], dim=1).relu() if rectified is None else rectified
            weight = torch.cat([self._convolution(edge, primitive).weight for edge in own])
            z = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(own) if shared is None else 1)
            column = self.mixture[own[0] : own[-1] + 1, self.columns[primitive]]
            scales = torch.stack([column[edge - own[0]] for edge in own]).to(_norm_dtype(z))
            scale = scales.repeat_interleave(self.width)
            z = F.batch_norm(z, None, None, scale, torch.zeros_like(scale), training=True, eps=EPSILON)
            for edge, part in zip(own, z.split(self.width, dim=1), strict=True):
                convolved[edge] = convolved[edge] + part if edge in convolved else part
        pools = [edge for edge in edges if self._has(edge, "avg_pool_3x3")]
        if shared is not None and pools:
            pooled.update(dict.fromkeys(pools, _pool(shared)))
        elif pools:
            pooled.update((edge, _pool(self._sampled(edge, node))) for edge in pools)

    def _convolution(self, edge: int, primitive: str) -> nn.Conv2d:
        modules = self.cell.modules_of_edges
        assert modules is not None
        layers: Any = modules.edges[edge][primitive]
        convolution: nn.Conv2d = layers[1]
        return convolution

    def _passed(self, edge: int, node: Tensor, convolved: dict[int, Tensor], pooled: dict[int, Tensor]) -> Tensor:
        """What an edge sends [B, C, H, W]: the mixed channels, and the others as they are."""
        weights, sampled = self.mixture[edge].to(node.dtype), self._sampled(edge, node)
        terms = [convolved[edge]] if edge in convolved else []
        if edge in pooled:
            terms.append(pooled[edge] * weights[self.columns["avg_pool_3x3"]])
        if self._has(edge, "skip_connect"):
            skip = sampled
            if self.dropping is not None:
                skip = sampled * self.dropping.kept(sampled) * self.dropping.scale
            terms.append(skip * weights[self.columns["skip_connect"]])
        mixed = sum(terms[1:], terms[0]) if terms else torch.zeros_like(sampled)
        edge_weight = self.edge_weights[edge].to(node.dtype)
        if self.selected is None:
            rest = node[:, self.width :]
            return torch.cat([mixed.to(node.dtype), rest * edge_weight], dim=1) if rest.shape[1] else mixed
        return (node * edge_weight).index_copy(1, self.selected[edge], mixed.to(node.dtype))


def _pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)


def _norm_dtype(x: Tensor) -> torch.dtype:
    """Of the scale of a BatchNorm: float32 for maps of fewer bits."""
    return torch.promote_types(x.dtype, torch.float32)
