"""Depthwise convolution, and its gradients, with those kernels of PyTorch that are fast on a device.

On the CPU these are near memory speed for channels-last depthwise convolutions forward and for the gradients of 3x3
kernels, and several times slower for those of 5x5 and of dilated kernels. On a GPU (H100) all of them are fast but for
dilated kernels, which take four to thirty times as long. What is slow is written with what is fast.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.precision import onednn_convolves

_HAS_FUSED_ADDITION = hasattr(torch.ops.mkldnn, "_convolution_pointwise_")

_NUMBERS_AT_ONCE = 2**19
"""Of an input that is laid out anew: larger copies leave the cache, and fresh pages cost more than the work on them."""


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel of x [B, C, H, W] with its own filter of weight [C, 1, k, k], k odd, "same" padding.

    Equal to `F.conv2d(x, weight, None, stride, dilation * (k - 1) // 2, dilation, groups=C)`, gradients included.
    """
    size = weight.shape[-1]
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32:
        dtype = torch.get_autocast_dtype("cpu")  # a custom function is not cast by itself
        x, weight = x.to(dtype), weight.to(dtype)
    slow = dilation == 2 or (dilation, stride, size) == (1, 1, 5) or (stride == 2 and x.dtype == torch.bfloat16)
    if slow and size in (3, 5) and x.device.type == "cpu":
        return _DepthwiseConv2d.apply(x, weight, stride, dilation)
    return convolve(x, weight, stride, dilation)


def convolve(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """As `depthwise_conv2d`, with PyTorch's own gradients."""
    if (dilation, stride) == (2, 1) and x.device.type != "cpu":
        return convolve_phases(x, weight)
    padding = dilation * (weight.shape[-1] - 1) // 2
    return F.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


def convolve_phases(x: Tensor, weight: Tensor) -> Tensor:
    """As `convolve(x, weight, 1, 2)`, without gaps: rows and columns of one parity meet only their like."""
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
        if ctx.stride > 1:
            # A strided convolution is an unstrided one of which some pixels are read: the others have no gradient.
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
    """Whether `add_convolution` can be had for x."""
    return _HAS_FUSED_ADDITION and onednn_convolves(x)


def add_convolution(out: Tensor, x: Tensor, weight: Tensor, padding: int, dilation: int, groups: int) -> Tensor:
    """Add `F.conv2d(x, weight, None, 1, padding, dilation, groups)` to `out` in place; return `out`. No gradients.

    It needs no room for a result of its own: a pass over memory less, and no fresh pages, which are dearer still.
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
        images = max(1, _NUMBERS_AT_ONCE // x[0].numel())
        parts = [_strided_5x5_gradient(*part) for part in zip(x.split(images), grad.split(images), strict=True)]
        grad_weight = torch.stack(parts).sum(dim=0)
    return grad_x, grad_weight


def _strided_5x5_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """The gradient [C, 1, 5, 5] of a kernel at stride 2.

    The tap at offset 2p + q reads the phase image of parity q at offset p, which is -1, 0 or 1: a 3x3 kernel on the
    four phase images side by side.
    """
    channels = x.shape[1]
    phases = _phases(x).permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)
    weight = x.new_empty(4 * channels, 1, 3, 3)  # only its shape is read
    four = torch.cat([grad] * 4, dim=1).contiguous(memory_format=torch.channels_last)
    taps = torch.ops.aten.convolution_backward(
        four, phases, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 4 * channels, [False, True, False]
    )[1]
    window = taps.view(2, 2, channels, 3, 3).permute(2, 3, 0, 4, 1).reshape(channels, 1, 6, 6)
    return window[:, :, :5, :5]


def kernel_gradients(x: Tensor, dilation: int = 1) -> "KernelGradients | PlainKernelGradients":
    """What gives the gradients of kernels that read x, as suits its device."""
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
        weight = grad.new_empty(grad.shape[1], 1, kernel_size, kernel_size)  # only its shape is read
        padding = [(kernel_size - 1) // 2] * 2
        kernel: Tensor = torch.ops.aten.convolution_backward(
            grad, self.x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], len(weight), [False, True, False]
        )[1]
        return kernel if self.dilation == 1 else kernel.unflatten(0, (2, -1)).sum(dim=0)


class KernelGradients:
    """The gradients of 3x3 and 5x5 depthwise kernels, stride 1, that read one input: it is laid out once for all.

    Two tricks need no copy of a gradient's window. A 5x5 gradient is put together from four 3x3 ones on shifted
    inputs; the input lies in a buffer with two columns of zeros after every row and two rows of zeros after (and
    before) every image, so that a shifted window is a view: what it reads past an edge are the zeros of the row
    before or after. With dilation 2, rows and columns of one parity meet only their like and see an undilated kernel:
    rows are parted by parity along the batch, and a pair of neighbouring columns is read as one of twice the channels.

    Args:
        x: [B, C, H, W], channels-last.
        dilation: 1 or 2.
    """

    def __init__(self, x: Tensor, dilation: int = 1) -> None:
        self.channels, self.dilation = x.shape[1], dilation
        pixels = x.permute(0, 2, 3, 1) if dilation == 1 else _phases(x)
        *images, height, width, channels = pixels.shape
        self.size = (pixels.numel() // (height * width * channels), channels, height + 2, width + 2)
        self.strides = ((height + 2) * (width + 2) * channels, 1, (width + 2) * channels, channels)
        self.origin = 2 * self.strides[2] + 2 * channels
        self.buffer = x.new_empty(self.origin + self.size[0] * self.strides[0])
        self.buffer[: self.origin].zero_()
        images_and_margins = self.buffer[self.origin :].view(*images, height + 2, width + 2, channels)
        images_and_margins[..., height:, :, :].zero_()
        images_and_margins[..., :height, width:, :].zero_()
        images_and_margins[..., :height, :width, :] = pixels

    def __call__(self, grad: Tensor, kernel_size: int) -> Tensor:
        """The gradient [C, 1, k, k] of a kernel whose output has the gradient `grad` [B, C, H, W], channels-last."""
        if self.dilation == 2:
            grad = _phases(grad).flatten(0, 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if kernel_size == 3:
            kernel = self._window(grad, -1, -1)
        else:
            rows = []
            for top in (-2, 0):
                left, right = self._window(grad, top, -2), self._window(grad, top, 0)
                rows.append(torch.cat([left, right[..., 1:]], dim=3))
            kernel = torch.cat([rows[0], rows[1][:, :, 1:]], dim=2)
        return kernel if self.dilation == 1 else kernel.unflatten(0, (2, self.channels)).sum(dim=0)

    def _window(self, grad: Tensor, top: int, left: int) -> Tensor:
        """The gradient of the 3x3 taps whose first is `top` rows below and `left` columns right of the centre."""
        offset = self.origin + top * self.strides[2] + left * self.strides[3]
        window = self.buffer.as_strided(self.size, self.strides, offset)
        weight = self.buffer.new_empty(self.size[1], 1, 3, 3)  # only its shape is read
        return torch.ops.aten.convolution_backward(
            grad, window, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], self.size[1], [False, True, False]
        )[1]


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
