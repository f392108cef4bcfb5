"""Depthwise convolution, and its gradients, with those kernels of PyTorch that are fast on a device.

On the CPU these are near memory speed for channels-last depthwise convolutions forward and for the gradients of 3x3
kernels, and several times slower for those of 5x5 and of dilated kernels. On a GPU (H100) all of them are fast but for
dilated kernels, which take four to thirty times as long. What is slow is written with what is fast.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.ops.precision import onednn_convolves

_HAS_FUSED_ADDITION = hasattr(torch.ops.mkldnn, "_convolution_pointwise_")


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel of x [B, C, H, W] with its own filter of weight [C, 1, k, k], k odd, "same" padding.

    Equal to `F.conv2d(x, weight, None, stride, dilation * (k - 1) // 2, dilation, groups=C)`, gradients included.
    """
    size = weight.shape[-1]
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32:
        dtype = torch.get_autocast_dtype("cpu")  # a custom function is not cast by itself
        x, weight = x.to(dtype), weight.to(dtype)
    slow = dilation == 2 or size == 5 or (stride == 2 and x.dtype == torch.bfloat16)
    if slow and size in (3, 5) and x.device.type == "cpu":
        return _DepthwiseConv2d.apply(x, weight, stride, dilation)
    return convolve(x, weight, stride, dilation)


def convolve(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """As `depthwise_conv2d`, with PyTorch's own gradients."""
    # Not on `meta`, where operations are counted: odd maps have more in phases.
    if (dilation, stride) == (2, 1) and x.device.type == "cuda":
        return convolve_phases(x, weight)
    padding = dilation * (weight.shape[-1] - 1) // 2
    return F.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


def convolve_phases(x: Tensor, weight: Tensor) -> Tensor:
    """As `convolve(x, weight, 1, 2)`, without gaps: rows and columns only meet those of the same parity."""
    batch, channels, height, width = x.shape
    found = convolve(_phase_images(x), torch.cat([weight, weight])).permute(0, 2, 3, 1)
    parted = found.unflatten(0, (2, batch)).permute(1, 2, 0, 3, 4)  # [B, rows, 2, columns, 2C]
    pixels = parted.reshape(batch, 2 * found.shape[1], 2 * found.shape[2], channels)[:, :height, :width]
    return pixels.contiguous().permute(0, 3, 1, 2)


class _DepthwiseConv2d(torch.autograd.Function):
    """The backward pass is made of differentiable operations, so second derivatives work too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        return convolve(x, weight, stride, dilation)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        # The gradient may arrive as an expanded or strided view, which the fast kernels do not take.
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        if ctx.stride > 1 and ctx.dilation == 1 and x.dtype != torch.bfloat16:
            return *strided_gradients(x, weight, grad, ctx.stride, ctx.needs_input_grad[1]), None, None
        if ctx.stride > 1:
            # A strided convolution is an unstrided one of which only some pixels are read: the others have no gradient.
            spread = torch.zeros_like(x, memory_format=torch.channels_last)
            spread[:, :, :: ctx.stride, :: ctx.stride] = grad
            grad = spread
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = depthwise_conv2d(grad, weight.flip(2, 3), dilation=ctx.dilation)
        if ctx.needs_input_grad[1]:
            grad_weight = KernelGradients(x, ctx.dilation)(grad, weight.shape[-1])
        return grad_x, grad_weight, None, None


def add_convolved(out: Tensor, x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """Add `convolve(x, weight, 1, dilation)` to `out` [B, C, H, W] in place; return `out`. No gradients."""
    if fuses_addition(x):
        return add_convolution(out, x, weight, dilation * (weight.shape[-1] - 1) // 2, dilation, weight.shape[0])
    return out.add_(convolve(x, weight, 1, dilation))


def fuses_addition(x: Tensor) -> bool:
    """Whether `add_convolution` can compute with x."""
    return _HAS_FUSED_ADDITION and onednn_convolves(x)


def add_convolution(out: Tensor, x: Tensor, weight: Tensor, padding: int, dilation: int, groups: int) -> Tensor:
    """Add `F.conv2d(x, weight, None, 1, padding, dilation, groups)` to `out` in place; return `out`. No gradients.

    It needs no memory for a result of its own: one pass over memory fewer, and no new pages, which cost even more.
    """
    added: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
        out, x, weight, None, [padding] * 2, [1, 1], [dilation] * 2, groups, "add", None, None, [], None
    )
    return added


def strided_gradients(
    x: Tensor, weight: Tensor, grad: Tensor, stride: int, with_weight: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients of `convolve(x, weight, stride)`, stride > 1; the second only if asked for."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":  # for which PyTorch has no fast kernel: 5 to 15x slower
        of_x, of_weight = strided_gradients(x.float(), weight.float(), grad.float(), stride, with_weight)
        return of_x.to(x.dtype), of_weight
    padding = (weight.shape[-1] - 1) // 2
    slow = weight.shape[-1] == 5 and stride == 2 and x.device.type == "cpu"
    mask = [True, with_weight and not slow, False]
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], weight.shape[0], mask
    )
    if slow and with_weight:
        grad_weight = KernelGradients(x)(grad, 5, stride)
    return grad_x, grad_weight


def kernel_gradients(x: Tensor, dilation: int = 1) -> "KernelGradients | PlainKernelGradients":
    """Computes the gradients of kernels that read x, in the way that is fast on its device."""
    return KernelGradients(x, dilation) if x.device.type == "cpu" else PlainKernelGradients(x, dilation)


class PlainKernelGradients:
    """As `KernelGradients`, with one call of PyTorch's for each kernel: for a GPU."""

    def __init__(self, x: Tensor, dilation: int = 1) -> None:
        self.dilation = dilation
        self.x = x if dilation == 1 else _phase_images(x)

    def __call__(self, grad: Tensor, kernel_size: int) -> Tensor:
        """The gradient [C, 1, k, k] of a kernel whose output has the gradient `grad` [B, C, H, W]."""
        if self.dilation == 2:
            grad = _phase_images(grad)
        padding = (kernel_size - 1) // 2
        kernel = _kernel_gradient(grad, self.x, (kernel_size, kernel_size), (padding, padding), 1)
        return kernel if self.dilation == 1 else kernel.unflatten(0, (2, -1)).sum(dim=0)


class KernelGradients:
    """The gradients of 3x3 and 5x5 depthwise kernels that read one input: it is laid out at most once for all.

    PyTorch's kernels are fast for any number of rows of taps, but for three columns at most. So a 5x5 gradient is put
    together from two of 5x3; the input lies in a buffer with two columns of zeros after (and before) every row, so that
    a shifted window is a view: what it reads past an edge are the zeros of the row before. Maps of fewer rows than the
    kernel, for which PyTorch is slow, get rows of zeros too. With dilation 2, rows and columns of one parity only meet
    those of the same parity and see an undilated kernel: rows are divided by parity along the batch, and a pair of
    neighbouring columns is read as one of twice the channels.

    Args:
        x: [B, C, H, W], channels-last.
        dilation: 1 or 2.
    """

    def __init__(self, x: Tensor, dilation: int = 1) -> None:
        self.x, self.dilation, self.margin = x, dilation, 0
        self._padded: Tensor | None = None

    def __call__(self, grad: Tensor, kernel_size: int, stride: int = 1) -> Tensor:
        """The gradient [C, 1, k, k] of a kernel whose output has the gradient `grad`, channels-last.

        `grad` is [B, C, H, W], or [B, C, ⌈H/2⌉, ⌈W/2⌉] at stride 2, which is for undilated kernels alone.
        """
        if self.dilation == 2:
            grad = _phase_images(grad).contiguous(memory_format=torch.channels_last)
        if kernel_size == 3 and self.dilation == 1:
            return _kernel_gradient(grad, self.x, (3, 3), (1, 1), stride)
        if self._padded is None:
            self._padded = self._laid_out()
        if kernel_size == 3:
            kernel = self._columns(self._padded, grad, 3, -1, stride)
        else:
            left, right = (self._columns(self._padded, grad, 5, first, stride) for first in (-2, 0))
            kernel = torch.cat([left, right[..., 1:]], dim=3)
        return kernel if self.dilation == 1 else kernel.unflatten(0, (2, -1)).sum(dim=0)

    def _columns(self, padded: Tensor, grad: Tensor, rows: int, first: int, stride: int) -> Tensor:
        """The gradients of three columns of taps, of which the first is `first` right of the centre."""
        images, height, width, channels = padded.shape
        size, strides = (images, channels, height, width), (height * width * channels, 1, width * channels, channels)
        window = padded.as_strided(size, strides, (2 + first) * channels)
        if self.margin == 0:
            return _kernel_gradient(grad, window, (rows, 3), (rows // 2, 0), stride)
        above = (5 - rows) // 2
        return _kernel_gradient(grad, window, (5, 3), (0, 0), stride)[:, :, above : above + rows]

    def _laid_out(self) -> Tensor:
        """The input with its margins, [images, H or H + 4, W + 2, C]; two columns of zeros more lie before it."""
        pixels = self.x.permute(0, 2, 3, 1) if self.dilation == 1 else _phases(self.x)
        *images, height, width, channels = pixels.shape
        top = self.margin = 2 if height < 5 else 0
        shape = (*images, height + 2 * top, width + 2, channels)
        buffer = self.x.new_empty(2 * channels + math.prod(shape))
        buffer[: 2 * channels].zero_()
        padded = buffer[2 * channels :].view(shape)
        if top:
            padded[..., :top, :, :].zero_()
            padded[..., top + height :, :, :].zero_()
        padded[..., width:, :].zero_()
        padded[..., top : top + height, :width, :] = pixels
        return padded.view(-1, *shape[-3:])


def _kernel_gradient(grad: Tensor, x: Tensor, size: tuple[int, int], padding: tuple[int, int], stride: int) -> Tensor:
    """PyTorch's gradient of depthwise kernels of this size."""
    weight = x.new_empty(x.shape[1], 1, *size)  # only its shape is read
    found: Tensor = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [stride] * 2, padding, [1, 1], False, [0, 0], len(weight), [False, True, False]
    )[1]
    return found


def _phases(x: Tensor) -> Tensor:
    """[B, C, H, W] to a view [2, B, ⌈H/2⌉, ⌈W/2⌉, 2C]: row parity, column parity as channels, zeros for odd sizes."""
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2))
    pixels = x.permute(0, 2, 3, 1)
    batch, height, width, channels = pixels.shape
    return pixels.reshape(batch, height // 2, 2, width // 2, 2 * channels).permute(2, 0, 1, 3, 4)


def _phase_images(x: Tensor) -> Tensor:
    """`_phases` as images [2B, 2C, ⌈H/2⌉, ⌈W/2⌉], channels-last."""
    return _phases(x).flatten(0, 1).permute(0, 3, 1, 2)


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one filter per channel, "same" padding and no bias, computed by `depthwise_conv2d`."""

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel_size - 1) // 2
        super().__init__(channels, channels, kernel_size, stride, padding, dilation, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_conv2d(x, self.weight, self.stride[0], self.dilation[0])
