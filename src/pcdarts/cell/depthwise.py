"""Depthwise convolution with a fast backward pass on the CPU.

PyTorch's CPU kernels are near memory speed for channels-last depthwise convolutions forward and for the gradients of
3x3 kernels, and several times slower for those of 5x5 and of dilated kernels. These are written with the fast ones.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel of x [B, C, H, W] with its own filter of weight [C, 1, k, k], k odd, "same" padding.

    Equal to `F.conv2d(x, weight, None, stride, dilation * (k - 1) // 2, dilation, groups=C)`, gradients included.
    """
    size = weight.shape[-1]
    slow = size in (3, 5) and (dilation == 2 or (dilation, stride, size) == (1, 1, 5))
    if slow and x.device.type == "cpu":
        return _DepthwiseConv2d.apply(x, weight, stride, dilation)
    return _convolve(x, weight, stride, dilation)


def _convolve(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] - 1) // 2
    return F.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


class _DepthwiseConv2d(torch.autograd.Function):
    """The backward pass is made of differentiable operations, so second derivatives work too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        return _convolve(x, weight, stride, dilation)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        # The gradient may arrive as an expanded or strided view, which the fast kernels do not take.
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        if ctx.stride > 1:
            # A strided convolution is an unstrided one of which some pixels are read: the others have no gradient.
            spread = torch.zeros_like(x, memory_format=torch.channels_last)
            spread[:, :, :: ctx.stride, :: ctx.stride] = grad
            grad = spread
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = depthwise_conv2d(grad, weight.flip(2, 3), dilation=ctx.dilation)
        if ctx.needs_input_grad[1]:
            grad_weight = weight_gradient(x, grad, weight.shape[-1], ctx.dilation)
        return grad_x, grad_weight, None, None


def weight_gradient(x: Tensor, grad: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """The gradient [C, 1, k, k] of a stride-1 depthwise convolution of x [B, C, H, W] whose output has gradient grad.

    With dilation 2, rows and columns of one parity meet only their like: the four phase images, stacked along the
    batch, see an undilated kernel. A 5x5 gradient is put together from four 3x3 windows on shifted inputs.
    """
    if dilation == 2:
        return weight_gradient(_phases(x), _phases(grad), kernel_size, 1)
    if kernel_size == 3:
        return _weight_gradient_3x3(x, grad, padding=1)
    padded = F.pad(x, (2, 2, 2, 2))
    height, width = x.shape[2] + 2, x.shape[3] + 2
    rows = []
    for top in (0, 2):
        windows = (padded[:, :, top : top + height, left : left + width] for left in (0, 2))
        left, right = (
            _weight_gradient_3x3(window.contiguous(memory_format=torch.channels_last), grad, padding=0)
            for window in windows
        )
        rows.append(torch.cat([left, right[..., 1:]], dim=3))
    return torch.cat([rows[0], rows[1][:, :, 1:]], dim=2)


def _weight_gradient_3x3(x: Tensor, grad: Tensor, padding: int) -> Tensor:
    channels = x.shape[1]
    weight = x.new_empty(channels, 1, 3, 3)  # only its shape is read
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], channels, [False, True, False]
    )[1]


def _phases(x: Tensor) -> Tensor:
    """[B, C, H, W] to [4B, C, ⌈H/2⌉, ⌈W/2⌉]: the pixels of even and odd rows and columns, zeros for missing ones."""
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2))
    pixels = x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
    return pixels.permute(2, 4, 0, 1, 3, 5).flatten(0, 2).permute(0, 3, 1, 2)


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one filter per channel, "same" padding and no bias, computed by `depthwise_conv2d`."""

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel_size - 1) // 2
        super().__init__(channels, channels, kernel_size, stride, padding, dilation, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_conv2d(x, self.weight, self.stride[0], self.dilation[0])
