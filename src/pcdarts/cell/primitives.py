"""The operations behind the primitives' names: what an edge applies to the node it starts from.

Layers, orders and paddings are those of DARTS. At stride 2 every operation makes ceil(H / 2) x ceil(W / 2) maps of
H x W maps, so images of any size can be used; at even sizes all of them equal the authors' operations.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.errors import InputError, did_you_mean
from pcdarts.ops.depthwise import DepthwiseConv2d


def make_op(primitive: str, channels: int, stride: int, affine: bool) -> nn.Module:
    """Make the operation named `primitive`: `[B, channels, H, W]` to the same shape, or to half of H and W at stride 2.

    `affine` says whether its BatchNorms learn a scale and a shift: they do in a derived network, not in a supernet.

    Raises:
        InputError: an unknown primitive, no channels, or a stride other than 1 and 2.
    """
    if channels < 1 or stride not in (1, 2):
        raise InputError(
            f"{primitive} with {channels} channels and stride {stride}: use 1 channel or more and stride 1 or 2"
        )
    if primitive not in MAKERS:
        raise InputError(f"unknown primitive {primitive!r}: {did_you_mean(primitive, MAKERS)}")
    return MAKERS[primitive](channels, stride, affine)


class ReluFirst(nn.Sequential):
    """Layers of which the first is a ReLU, which those who read the same map may share."""

    def after_relu(self, rectified: Tensor) -> Tensor:
        """What `self(x)` is, from `relu(x)`."""
        x = rectified
        for layer in islice(self, 1, None):
            x = layer(x)
        return x


def sep_conv(channels: int, kernel_size: int, stride: int, affine: bool) -> ReluFirst:
    """Depthwise separable convolution, applied twice; only the first one strides."""

    def once(relu: nn.ReLU, stride: int) -> tuple[nn.Module, ...]:
        return (
            relu,
            DepthwiseConv2d(channels, kernel_size, stride),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )

    # Nothing else reads what the second ReLU works on.
    return ReluFirst(*once(nn.ReLU(), stride), *once(nn.ReLU(inplace=True), 1))


def dil_conv(channels: int, kernel_size: int, stride: int, affine: bool) -> ReluFirst:
    """Depthwise separable convolution with dilation 2, applied once."""
    return ReluFirst(
        nn.ReLU(),
        DepthwiseConv2d(channels, kernel_size, stride, dilation=2),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def conv_7x1_1x7(channels: int, stride: int, affine: bool) -> ReluFirst:
    """A full 7x7 convolution factorised into a row and a column (AmoebaNet-A)."""
    return ReluFirst(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def conv_1x1(channels: int, stride: int, affine: bool) -> ReluFirst:
    """A full 1x1 convolution (AmoebaNet-B)."""
    return ReluFirst(
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, stride, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def nor_conv(channels: int, kernel_size: int, stride: int, affine: bool, out_channels: int | None = None) -> ReluFirst:
    """A full convolution (NAS-Bench-201), to as many channels unless others are given."""
    out_channels = out_channels or channels
    return ReluFirst(
        nn.ReLU(),
        nn.Conv2d(channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels, affine=affine),
    )


def bottleneck_3x3(channels: int, stride: int, affine: bool) -> ReluFirst:
    """A full 3x3 convolution of a quarter of the channels, between two 1x1 convolutions (AmoebaNet-B)."""

    def once(relu: nn.ReLU, inputs: int, outputs: int, size: int, stride: int = 1) -> tuple[nn.Module, ...]:
        convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        return relu, convolution, nn.BatchNorm2d(outputs, affine=affine)

    narrow = max(channels // 4, 1)
    return ReluFirst(
        *once(nn.ReLU(), channels, narrow, 1),
        *once(nn.ReLU(inplace=True), narrow, narrow, 3, stride),
        *once(nn.ReLU(inplace=True), narrow, channels, 1),
    )


class MaxPool2x2(nn.Module):
    """The largest of each pixel, its right neighbour and the two below; those beyond the map do not count."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def padding(self, side: int) -> int:
        """Columns (or rows) that are missing on the right (or below) of a map that has so many."""
        return 1 if self.stride == 1 else side % 2

    def forward(self, x: Tensor) -> Tensor:
        below, right = (self.padding(side) for side in x.shape[2:])
        padded = F.pad(x, (0, right, 0, below), value=-torch.inf) if below or right else x
        return F.max_pool2d(padded, 2, self.stride)


def skip_connect(channels: int, stride: int, affine: bool) -> nn.Module:
    """The identity, or at stride 2 a `FactorizedReduce`."""
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)


class Zero(nn.Module):
    """The primitive "none": no information flows."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class ReluConvBN(ReluFirst):
    """ReLU, 1x1 convolution, BatchNorm: `[B, in_channels, H, W]` to `[B, out_channels, H, W]`."""

    def __init__(self, in_channels: int, out_channels: int, affine: bool) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels, affine=affine),
        )


class FactorizedReduce(nn.Module):
    """Halve a map without losing half of its pixels: `[B, in_channels, H, W]` to `[B, out_channels, H/2, W/2]`, ceiled.

    The first half of the output channels sees the pixels at even rows and columns, the second half those at odd ones.
    An odd size has one odd row or column fewer: zeros stand in for it. With an odd number of output channels the first
    half is the larger one; a single channel leaves the second half empty.
    """

    def __init__(self, in_channels: int, out_channels: int, affine: bool) -> None:
        super().__init__()
        second_half = out_channels // 2
        self.conv_1 = nn.Conv2d(in_channels, out_channels - second_half, 1, bias=False)
        self.conv_2 = nn.Conv2d(in_channels, second_half, 1, bias=False) if second_half else None
        self.bn = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return self._reduce(*(F.relu(pixels) for pixels in alternate_pixels(x)))

    def after_relu(self, rectified: Tensor) -> Tensor:
        """What `self(x)` is, from `relu(x)`."""
        return self._reduce(*alternate_pixels(rectified))

    def _reduce(self, even: Tensor, odd: Tensor) -> Tensor:
        # Picking the pixels first costs a quarter of the work of the authors' stride-2 convolutions of shifted maps.
        out = self.conv_1(even)
        if self.conv_2 is not None:
            out = torch.cat([out, self.conv_2(odd)], dim=1)
        normalized: Tensor = self.bn(out)
        return normalized


def alternate_pixels(x: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels of x [B, C, H, W] at even rows and columns and those at odd ones, both [B, C, ⌈H/2⌉, ⌈W/2⌉].

    Zeros stand in for the last odd row or column where there is none. The gradient is channels-last: that of a slice
    is not, and everything behind it pays.
    """
    pixels: tuple[Tensor, Tensor] = _AlternatePixels.apply(x)
    return pixels


class _AlternatePixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape = x.shape
        height, width = x.shape[2:]
        even, odd = x[:, :, ::2, ::2], F.pad(x[:, :, 1::2, 1::2], (0, width % 2, 0, height % 2))
        return even.clone(memory_format=torch.channels_last), odd.clone(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        even, odd = grads
        height, width = ctx.shape[2:]
        grad = torch.empty(ctx.shape, dtype=even.dtype, device=even.device, memory_format=torch.channels_last).zero_()
        grad[:, :, ::2, ::2] = even
        grad[:, :, 1::2, 1::2] = odd[:, :, : height // 2, : width // 2]
        return grad


MAKERS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": lambda channels, stride, affine: Zero(stride),
    "max_pool_3x3": lambda channels, stride, affine: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda channels, stride, affine: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
    "skip_connect": skip_connect,
    "sep_conv_3x3": lambda channels, stride, affine: sep_conv(channels, 3, stride, affine),
    "sep_conv_5x5": lambda channels, stride, affine: sep_conv(channels, 5, stride, affine),
    "sep_conv_7x7": lambda channels, stride, affine: sep_conv(channels, 7, stride, affine),
    "dil_conv_3x3": lambda channels, stride, affine: dil_conv(channels, 3, stride, affine),
    "dil_conv_5x5": lambda channels, stride, affine: dil_conv(channels, 5, stride, affine),
    "conv_7x1_1x7": conv_7x1_1x7,
    "conv_1x1": conv_1x1,
    "bottleneck_3x3": bottleneck_3x3,
    "max_pool_2x2": lambda channels, stride, affine: MaxPool2x2(stride),
    "nor_conv_1x1": lambda channels, stride, affine: nor_conv(channels, 1, stride, affine),
    "nor_conv_3x3": lambda channels, stride, affine: nor_conv(channels, 3, stride, affine),
}
"""What makes the operation of each primitive from its channels, its stride and whether its BatchNorms learn."""
