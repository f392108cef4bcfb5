"""3x3 pooling of channels-last maps of few channels, much faster on the CPU than PyTorch's; and its gradient.

PyTorch's channels-last pooling works there on vectors of channels, of which a supernet samples as few as four. Here
rows are pooled by elementwise operations and columns as maps of one column whose channels are all values of a row.
Elsewhere PyTorch's pooling is taken, one kernel each way (`plain`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.ops.depthwise import convolve

# A step of vertical pooling, for PyTorch: kernel size, stride, padding.
_KERNEL, _PADDING = (3, 1), (1, 0)


def plain(x: Tensor) -> bool:
    """Whether x is on a device whose pooling is PyTorch's own."""
    return x.device.type != "cpu"


def max_pool(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """`F.max_pool2d(x, 3, stride, padding=1)` of x [B, C, H, W], and what won, for the gradient."""
    if plain(x):
        return plain_max_pool(x, stride)
    rows = _row_maxima(x, stride)[1]
    pooled, winners = torch.ops.aten.max_pool2d_with_indices(_one_column(rows), _KERNEL, (stride, 1), _PADDING)
    return _many_columns(pooled, rows), winners


def max_pool_gradient(x: Tensor, winners: Tensor, grad: Tensor, stride: int) -> Tensor:
    """The gradient of x from that of `max_pool(x, stride)`; of equal values the first one takes it, as in PyTorch."""
    if plain(x):
        return plain_max_pool_gradient(x, winners, grad, stride)
    values, rows = _row_maxima(x, stride)
    column = torch.ops.aten.max_pool2d_with_indices_backward(
        _one_column(grad), _one_column(rows), _KERNEL, (stride, 1), _PADDING, (1, 1), False, winners
    )
    left_over = _many_columns(column, rows)
    batch, channels, height, width = x.shape
    padded = x.new_zeros(batch, height, width + 2, channels).permute(0, 3, 1, 2)
    for place, value in enumerate(values[:2]):
        taken = torch.eq(rows, value, out=torch.empty_like(rows)).mul_(left_over)  # as numbers: much faster than bool
        _shifted(padded, place, stride, x.shape[3]).add_(taken)
        left_over = left_over - taken
    _shifted(padded, 2, stride, x.shape[3]).add_(left_over)
    return padded[:, :, :, 1:-1]


def avg_pool(x: Tensor, stride: int) -> Tensor:
    """`F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)` of x [B, C, H, W]."""
    if plain(x):
        return F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
    return convolve(x, x.new_ones(x.shape[1], 1, 3, 3), stride) * _shares(x, stride)


def avg_pool_gradient(x: Tensor, grad: Tensor, stride: int) -> Tensor:
    """The gradient of x from that of `avg_pool(x, stride)`."""
    if plain(x):
        return plain_avg_pool_gradient(x, grad, stride)
    grad = grad * _shares(x, stride)
    if stride > 1:
        spread = torch.zeros_like(x)
        spread[:, :, ::stride, ::stride] = grad
        grad = spread
    return convolve(grad, x.new_ones(x.shape[1], 1, 3, 3))


def plain_max_pool(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """`max_pool` as PyTorch has it, with the pixels that won."""
    pooled, winners = torch.ops.aten.max_pool2d_with_indices(x, (3, 3), (stride, stride), (1, 1))
    return pooled, winners


def plain_max_pool_gradient(x: Tensor, winners: Tensor, grad: Tensor, stride: int) -> Tensor:
    """`max_pool_gradient` of what `plain_max_pool` found."""
    gradient: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        grad, x, (3, 3), (stride, stride), (1, 1), (1, 1), False, winners
    )
    return gradient


def plain_avg_pool_gradient(x: Tensor, grad: Tensor, stride: int) -> Tensor:
    """`avg_pool_gradient` as PyTorch has it."""
    gradient: Tensor = torch.ops.aten.avg_pool2d_backward(grad, x, (3, 3), (stride, stride), (1, 1), False, False, None)
    return gradient


def _shares(x: Tensor, stride: int) -> Tensor:
    """One over the number of pixels in each window, [1, C, H/stride, W/stride]."""
    ones = x.new_ones(1, 1, *x.shape[2:])
    share = F.avg_pool2d(ones, 3, stride, padding=1, count_include_pad=True).mul_(9).reciprocal_()
    return share.expand(1, x.shape[1], -1, -1).contiguous(memory_format=torch.channels_last)


def _row_maxima(x: Tensor, stride: int) -> tuple[list[Tensor], Tensor]:
    """The three values that meet at each place of a row, and the largest of them: [B, C, H, ⌈W/stride⌉]."""
    padded = _padded_columns(x, -torch.inf)
    values = [_shifted(padded, place, stride, x.shape[3]) for place in range(3)]
    return values, torch.maximum(torch.maximum(values[0], values[1]), values[2])


def _padded_columns(x: Tensor, value: float) -> Tensor:
    return F.pad(x, (1, 1), value=value)


def _shifted(padded: Tensor, place: int, stride: int, width: int) -> Tensor:
    return padded[:, :, :, place : place + width : stride]


def _one_column(x: Tensor) -> Tensor:
    """[B, C, H, W] to [B, W·C, H, 1], channels-last."""
    return x.permute(0, 2, 3, 1).flatten(2).unsqueeze(2).permute(0, 3, 1, 2)


def _many_columns(x: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_one_column`; the height may have changed."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], like.shape[3], like.shape[1]).permute(0, 3, 1, 2)
