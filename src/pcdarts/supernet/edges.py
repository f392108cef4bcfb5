"""The candidate operations of a whole cell: the weights of the paper's primitives, stacked over edges; or modules.

Stacked weights carry a leading `edges` axis in the order of `CellSpace.edges`. What is computed with them, the
reference and the two paths say, each in its own way. In a space with another primitive, edges have modules of their
own.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pcdarts.cell.primitives import make_op
from pcdarts.cell.space import NASBENCH201, PRIMITIVES, CellKind, CellSpace, Macro

EPSILON, MOMENTUM = 1e-5, 0.1
"""Of BatchNorm, as PyTorch has them."""


class Statistics(NamedTuple):
    """Mean and (biased) variance of a 1x1 convolution's output, each [..., c]: those of a batch, or running ones."""

    mean: Tensor
    variance: Tensor


class EdgeNorm(nn.Module):
    """BatchNorm without affine parameters: its running statistics [edges, C], of its own for every edge."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_edges: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(num_edges, channels))
        self.register_buffer("running_var", torch.ones(num_edges, channels))

    @torch.no_grad()
    def update(self, batch: Statistics, pixels: int, edge: int | None = None) -> None:
        """Move the running statistics towards those of a batch of `pixels` values per channel.

        The batch's are [edges, C], or [C] for the one edge that is given.
        """
        mean, var = self.running_mean, self.running_var
        if edge is not None:
            mean, var = mean[edge], var[edge]
        mean.lerp_(batch.mean.to(mean.dtype), MOMENTUM)
        unbiased = batch.variance * (pixels / max(pixels - 1, 1))
        var.lerp_(unbiased.to(var.dtype), MOMENTUM)


class SeparableStage(nn.Module):
    """Depthwise k x k convolution, 1x1 convolution and BatchNorm on every edge; a separable convolution has two."""

    def __init__(self, num_edges: int, channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.depthwise = nn.Parameter(_uniform(num_edges, channels, kernel_size, kernel_size, fan_in=kernel_size**2))
        self.pointwise = nn.Parameter(_uniform(num_edges, channels, channels, fan_in=channels))
        self.norm = EdgeNorm(num_edges, channels)


class SeparableConv(nn.Module):
    """`sep_conv_kxk` on every edge: two stages, the first with the edge's stride."""

    def __init__(self, num_edges: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.first = SeparableStage(num_edges, channels, kernel_size)
        self.second = SeparableStage(num_edges, channels, kernel_size)


class ReducedSkip(nn.Module):
    """`skip_connect` on the stride-2 edges of a reduction cell: two 1x1 convolutions on shifted grids and BatchNorm.

    Only edges that leave an input node have stride 2, so the `edges` axis counts these alone.
    """

    position: Tensor

    def __init__(self, num_edges: int, strided_edges: list[int], channels: int) -> None:
        super().__init__()
        position = torch.full((num_edges,), -1)
        position[strided_edges] = torch.arange(len(strided_edges))
        self.register_buffer("position", position, persistent=False)
        # A reduction cell has twice the channels of a multiple of k, so each half of the output has as many.
        self.even = nn.Parameter(_uniform(len(strided_edges), channels // 2, channels, fan_in=channels))
        self.odd = nn.Parameter(_uniform(len(strided_edges), channels // 2, channels, fan_in=channels))
        self.norm = EdgeNorm(len(strided_edges), channels)


class CandidateOperations(nn.Module):
    """All primitives of Sec. 4.1 on all edges of one cell, for C sampled channels; `none` needs no module."""

    def __init__(self, num_edges: int, strided_edges: list[int], channels: int) -> None:
        super().__init__()
        self.channels, self.strided = channels, bool(strided_edges)
        self.max_pool_norm = EdgeNorm(num_edges, channels)
        self.avg_pool_norm = EdgeNorm(num_edges, channels)
        self.sep_conv_3x3 = SeparableConv(num_edges, channels, 3)
        self.sep_conv_5x5 = SeparableConv(num_edges, channels, 5)
        self.dil_conv_3x3 = SeparableStage(num_edges, channels, 3, dilation=2)
        self.dil_conv_5x5 = SeparableStage(num_edges, channels, 5, dilation=2)
        if strided_edges:
            self.reduced_skip = ReducedSkip(num_edges, strided_edges, channels)

    @property
    def first_stages(self) -> tuple[SeparableStage, SeparableStage]:
        """Of the two separable convolutions."""
        return self.sep_conv_3x3.first, self.sep_conv_5x5.first

    @property
    def last_stages(self) -> tuple[SeparableStage, SeparableStage, SeparableStage, SeparableStage]:
        """Of the separable and the dilated convolutions, in the order of the primitives."""
        return self.sep_conv_3x3.second, self.sep_conv_5x5.second, self.dil_conv_3x3, self.dil_conv_5x5

    @property
    def pool_norms(self) -> tuple[EdgeNorm, EdgeNorm]:
        """Of max- and average-pooling."""
        return self.max_pool_norm, self.avg_pool_norm


def are_stacked(space: CellSpace) -> bool:
    """Whether `CandidateOperations` has all primitives of a space."""
    return space.form.macro == "darts" and set(space.primitives) <= set(PRIMITIVES)


def are_dense(space: CellSpace) -> bool:
    """Whether `plain/dense.py` computes the cells of a space: those of NAS-Bench-201."""
    return space.form.macro == "nasbench201" and set(space.primitives) <= set(NASBENCH201.primitives)


class ModulesOfEdges(nn.Module):
    """The primitives of any space on all edges of one cell, as `make_op` makes them, for C sampled channels."""

    def __init__(self, space: CellSpace, kind: CellKind, channels: int) -> None:
        super().__init__()
        strides = [space.form.stride(kind, edge.source) for edge in space.edges]
        primitives = [primitive for primitive in space.primitives if primitive != "none"]
        self.edges: list[nn.ModuleDict] = nn.ModuleList(  # type: ignore[assignment]  # a list that registers its items
            nn.ModuleDict(
                {primitive: _candidate(primitive, channels, stride, space.form.macro) for primitive in primitives}
            )
            for stride in strides
        )

    def forward(self, edge: int, primitive: str, x: Tensor) -> Tensor:
        """o(x) for x [B, C, H, W]."""
        out: Tensor = self.edges[edge][primitive](x)
        return out


def _candidate(primitive: str, channels: int, stride: int, macro: Macro) -> nn.Module:
    """An operation without affine parameters; a pool is followed by a BatchNorm, as in the authors' supernet.

    NAS-Bench-201 searches with bare pools, and with BatchNorms that take the statistics of every batch.
    """
    operation = make_op(primitive, channels, stride, affine=False)
    if macro == "nasbench201":
        for name, layer in operation.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(operation, name, nn.BatchNorm2d(channels, affine=False, track_running_stats=False))
        return operation
    return nn.Sequential(operation, nn.BatchNorm2d(channels, affine=False)) if "pool" in primitive else operation


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """PyTorch's default initialisation of a convolution, which the authors' scripts use."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(*shape).uniform_(-bound, bound)
