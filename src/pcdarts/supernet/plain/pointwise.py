"""1x1 convolutions of n edges at once: activations [B, n·c, H, W], one small matrix per edge [n, c, c'].

An input of c' channels instead of n·c' is one that all n edges share.

On the CPU products run in groups of at least `GROUP` channels. Smaller matrices are joined to one with zeros beside
them, although most of its factors are zeros. A single group is a convolution: for as few channels as there are here,
PyTorch's are up to four times faster than its matrix products. Elsewhere all of them are joined to one matrix, which
costs a GPU far less than a batch of small ones, and products are matrix products, never silently rounded to fewer bits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.ops.depthwise import add_convolution, fuses_addition
from pcdarts.ops.precision import onednn_convolves

GROUP = 16
"""Channels of a group: below, a product with zeros beside the small matrices is as fast."""

FUSED_UP_TO = 32
"""Channels of a map up to which a product is best added to it by a convolution."""


class GroupedWeight(NamedTuple):
    """The weight of a grouped 1x1 convolution."""

    weight: Tensor
    """[out channels, in channels / groups]."""
    groups: int


def grouped_weights(
    matrices: Tensor, n: int, shared: bool, dtype: torch.dtype, in_groups: bool | None = None
) -> list[GroupedWeight]:
    """For matrices [operations · n, c, c'], what computes M x on every edge, for each operation.

    `in_groups` is whether there may be more than one group; by default, whether the device is a CPU.
    """
    matrices = matrices.to(dtype)
    _, rows, columns = matrices.shape
    groups = 1 if shared else _groups(n, rows, columns, matrices, in_groups)
    if shared or groups == n:
        return [GroupedWeight(weight, groups) for weight in matrices.reshape(-1, n * rows, columns).unbind()]
    edges = n // groups
    small = matrices.view(-1, groups, edges, rows, columns)
    dense = matrices.new_zeros(len(small), groups, edges, rows, edges, columns)
    dense.diagonal(dim1=2, dim2=4).copy_(small.permute(0, 1, 3, 4, 2))
    return [GroupedWeight(weight, groups) for weight in dense.view(-1, n * rows, edges * columns).unbind()]


def transposed_weights(matrices: Tensor, n: int, shared: bool, dtype: torch.dtype) -> list[GroupedWeight]:
    """What computes Mᵀ x on every edge; for a shared input, summed over the edges."""
    if not shared:
        return grouped_weights(matrices.mT.contiguous(), n, shared, dtype)
    weights = matrices.to(dtype).view(-1, n * matrices.shape[1], matrices.shape[2]).mT
    return [GroupedWeight(weight, 1) for weight in weights.unbind()]


def multiply(x: Tensor, by: GroupedWeight, shift: Tensor | None = None) -> Tensor:
    """M x + shift at every pixel of x [B, channels, H, W]; shift has a number for every channel of the result."""
    shift = None if shift is None else shift.to(x.dtype)
    weight, groups = by
    if groups == 1 and onednn_convolves(x):
        return F.conv2d(x, weight[:, :, None, None], shift)
    matrix = as_matrix(x)
    if groups == 1:
        result = torch.mm(matrix, weight.t())
    else:
        result = matrix.new_empty(len(matrix), len(weight))
        torch.bmm(_by_group(matrix, groups), weight.unflatten(0, (groups, -1)).mT, out=_by_group(result, groups))
    return as_image(result if shift is None else result.add_(shift), x)


def add_product(out: Tensor, x: Tensor, by: GroupedWeight) -> Tensor:
    """Add M x in place to the last channels of `out` [B, channels, H, W], which may have more channels than M rows."""
    weight, groups = by
    more = out.shape[1] - len(weight)
    if groups == 1 and out.shape[1] <= FUSED_UP_TO and fuses_addition(x):
        weight = F.pad(weight, (0, 0, more, 0))  # zeros cost less than a view of some channels
        return add_convolution(out, x, weight[:, :, None, None], 0, 1, 1)
    matrix = out.permute(0, 2, 3, 1).view(-1, out.shape[1])[:, more:]
    if groups == 1:
        matrix.addmm_(as_matrix(x), weight.t())
    else:
        _by_group(matrix, groups).baddbmm_(_by_group(as_matrix(x), groups), weight.unflatten(0, (groups, -1)).mT)
    return out


def products_over_pixels(
    xs: Sequence[Tensor], ys: Sequence[Tensor], n: int, shared: bool, in_groups: bool | None = None
) -> Tensor:
    """Σ x yᵀ over the pixels on every edge, [operations, n, c, c'].

    Args:
        xs: per operation [B, n·c, H, W].
        ys: per operation [B, n·c', H, W], or [B, c', H, W] if the edges share it.
        in_groups: as for `grouped_weights`.

    Summed in float32 at least: these products become statistics.
    """
    rows, columns = xs[0].shape[1] // n, ys[0].shape[1] // (1 if shared else n)
    groups = 1 if shared else _groups(n, rows, columns, xs[0], in_groups)
    products = torch.stack([_product(x, y, groups) for x, y in zip(xs, ys, strict=True)])
    if shared:
        return products.view(-1, n, rows, columns)
    edges = n // groups
    of_edges = products.view(-1, groups, edges, rows, edges, columns).diagonal(dim1=2, dim2=4)
    return of_edges.permute(0, 1, 4, 2, 3).flatten(1, 2)


def _product(x: Tensor, y: Tensor, groups: int) -> Tensor:
    """Σ x yᵀ over the pixels: [channels of x, channels of y / groups]."""
    x, y = _at_least_float32(x), _at_least_float32(y)
    if groups == 1 and onednn_convolves(x):
        weight = x.new_empty(x.shape[1], y.shape[1], 1, 1)  # only its shape is read
        return torch.ops.aten.convolution_backward(
            x, y, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
        )[1].flatten(1)
    if groups == 1:
        return torch.mm(as_matrix(x).t(), as_matrix(y))
    return torch.bmm(_by_group(as_matrix(x), groups).mT, _by_group(as_matrix(y), groups)).flatten(0, 1)


def sums_over_pixels(x: Tensor) -> Tensor:
    """The sum of every channel of x [B, channels, H, W], in float32 at least."""
    return as_matrix(_at_least_float32(x)).sum(dim=0)


def as_matrix(image: Tensor) -> Tensor:
    """[B, C, H, W] to [B·H·W, C], a view if `image` is channels-last."""
    return image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


def as_image(matrix: Tensor, like: Tensor) -> Tensor:
    """[B·H·W, C'] to [B, C', H, W], a view; `like` [B, C, H, W] gives the sizes."""
    batch, _, height, width = like.shape
    return matrix.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _by_group(x: Tensor, n: int) -> Tensor:
    """[pixels, n·c] as [n, pixels, c]."""
    return x.unflatten(1, (n, -1)).transpose(0, 1)


def _groups(n: int, rows: int, columns: int, like: Tensor, in_groups: bool | None) -> int:
    """Into how many groups the n edges go, with a matrix [rows, columns] each; 1 if not all would be alike."""
    if not (like.device.type == "cpu" if in_groups is None else in_groups):
        return 1
    edges = -(-GROUP // min(rows, columns))
    return n // edges if n % edges == 0 else 1


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
