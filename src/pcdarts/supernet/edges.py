"""The candidate operations of a whole cell, stacked: one call serves all edges that leave one source node.

Weights carry a leading `edges` axis in the order of `CellSpace.edges`; activations of n edges lie side by side as
[B, n·C, H, W], where C is the number of sampled channels. An input of C channels instead of n·C is one tensor that
all n edges share.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.depthwise import depthwise_conv2d

MOMENTUM, EPSILON = 0.1, 1e-5


class EdgeNorm(nn.Module):
    """BatchNorm without affine parameters, with running statistics [edges, C] of its own for every edge."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_edges: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(num_edges, channels))
        self.register_buffer("running_var", torch.ones(num_edges, channels))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Normalise x [B, n·C, H, W], or [B, C, H, W] shared by the n edges; evaluation always returns n·C channels.

        The batch statistics of a shared input are the same for all edges, their running statistics need not be.
        """
        shared = x.shape[1] == self.running_mean.shape[1]
        if not self.training:
            mean, var = self.running_mean[edges].flatten(), self.running_var[edges].flatten()
            x = x.repeat(1, len(edges), 1, 1) if shared else x
            return F.batch_norm(x, mean, var, training=False, eps=EPSILON)
        mean, var = x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1])
        x = F.batch_norm(x, mean, var, training=True, momentum=1.0, eps=EPSILON)
        with torch.no_grad():
            batch_shape = (1 if shared else len(edges), -1)
            self.running_mean[edges] = self.running_mean[edges].lerp(mean.view(batch_shape), MOMENTUM)
            self.running_var[edges] = self.running_var[edges].lerp(var.view(batch_shape), MOMENTUM)
        return x


class SeparableStage(nn.Module):
    """Depthwise k x k convolution, 1x1 convolution and BatchNorm on every edge; a separable convolution has two."""

    def __init__(self, num_edges: int, channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.depthwise = nn.Parameter(_uniform(num_edges, channels, kernel_size, kernel_size, fan_in=kernel_size**2))
        self.pointwise = nn.Parameter(_uniform(num_edges, channels, channels, fan_in=channels))
        self.norm = EdgeNorm(num_edges, channels)

    def forward(self, x: Tensor, edges: Tensor, stride: int) -> Tensor:
        """Map x [B, n·C, H, W], already rectified, to [B, n·C, H/stride, W/stride]."""
        depthwise = self.depthwise[edges].flatten(0, 1).unsqueeze(1)
        pointwise = self.pointwise[edges].flatten(0, 1)[:, :, None, None]
        x = depthwise_conv2d(x, depthwise, stride, self.dilation)
        return self.norm(F.conv2d(x, pointwise, groups=len(edges)), edges)


class SeparableConv(nn.Module):
    """`sep_conv_kxk` on every edge: two stages, the first with the edge's stride."""

    def __init__(self, num_edges: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.first = SeparableStage(num_edges, channels, kernel_size)
        self.second = SeparableStage(num_edges, channels, kernel_size)

    def forward(self, x: Tensor, edges: Tensor, stride: int) -> Tensor:
        """As `SeparableStage.forward`."""
        return self.second(self.first(x, edges, stride).relu(), edges, 1)


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

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Map x [B, C or n·C, H, W], already rectified, to [B, n·C, ⌈H/2⌉, ⌈W/2⌉]."""
        positions = self.position[edges]
        shared = x.shape[1] == self.even.shape[2]
        height, width = x.shape[2:]
        shifted = F.pad(x, (0, width % 2, 0, height % 2))[:, :, 1::2, 1::2]
        halves = []
        for grid, weight in ((x[:, :, ::2, ::2], self.even), (shifted, self.odd)):
            kernel = weight[positions].flatten(0, 1)[:, :, None, None]
            half = F.conv2d(grid, kernel, groups=1 if shared else len(edges))
            halves.append(half.unflatten(1, (len(edges), -1)))
        return self.norm(torch.cat(halves, dim=2).flatten(1, 2), positions)


class CandidateOperations(nn.Module):
    """All primitives of Sec. 4.1 on all edges of one cell, for C sampled channels; `none` needs no module."""

    def __init__(self, num_edges: int, strided_edges: list[int], channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.max_pool_norm = EdgeNorm(num_edges, channels)
        self.avg_pool_norm = EdgeNorm(num_edges, channels)
        self.sep_conv_3x3 = SeparableConv(num_edges, channels, 3)
        self.sep_conv_5x5 = SeparableConv(num_edges, channels, 5)
        self.dil_conv_3x3 = SeparableStage(num_edges, channels, 3, dilation=2)
        self.dil_conv_5x5 = SeparableStage(num_edges, channels, 5, dilation=2)
        if strided_edges:
            self.reduced_skip = ReducedSkip(num_edges, strided_edges, channels)

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor, stride: int) -> Tensor:
        """The weighted sum over primitives in Eq. (1), on n edges at once.

        Args:
            x: the sampled channels of the source node, [B, C, H, W] when all edges share them, else [B, n·C, H, W].
            edges: the n edges, by index.
            weights: [n, primitives], the softmaxed α of each edge (times its edge weight).
            stride: 1 or 2.

        Returns:
            [B, n, C, H/stride, W/stride].
        """
        rectified = x.relu()
        repeats = len(edges) * self.channels // x.shape[1]
        stacked = rectified.repeat(1, repeats, 1, 1)
        outputs = (
            self.max_pool_norm(F.max_pool2d(x, 3, stride, padding=1), edges),
            self.avg_pool_norm(F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False), edges),
            x if stride == 1 else self.reduced_skip(rectified, edges),
            self.sep_conv_3x3(stacked, edges, stride),
            self.sep_conv_5x5(stacked, edges, stride),
            self.dil_conv_3x3(stacked, edges, stride),
            self.dil_conv_5x5(stacked, edges, stride),
        )
        mixed: Tensor | None = None
        for output, weight in zip(outputs, weights.t()[1:], strict=True):
            term = output.unflatten(1, (-1, self.channels))
            scale = weight[:, None, None, None]
            mixed = term * scale if mixed is None else torch.addcmul(mixed, term, scale)
        assert mixed is not None
        return mixed


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """PyTorch's default initialisation of a convolution, which the authors' scripts use."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(*shape).uniform_(-bound, bound)
