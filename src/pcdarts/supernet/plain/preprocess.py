"""What a cell does to its two inputs after their ReLU: 1x1 convolution and BatchNorm; with explicit gradients.

Equal to the modules `ReluConvBN` and `FactorizedReduce` without affine parameters, whose weights and running
statistics are used. A cell's output is read by two cells, so its ReLU is taken outside, once. BatchNorm's gradient
comes from its output, which is a node of the cell and kept in any case; in addition only the input is kept.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN
from pcdarts.ops.precision import autocast_dtype, without_autocast
from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.plain.channels_last import channels_last
from pcdarts.supernet.plain.pointwise import GroupedWeight, as_image, as_matrix, multiply, products_over_pixels


def preprocess(module: ReluConvBN | FactorizedReduce, x: Tensor, batch: WholeBatch) -> Tensor:
    """`module(x)` for x = x.relu(): [B, in_channels, H, W] to [B, out_channels, H, W], or to half of H and W.

    `batch` is what the statistics of the batch are taken of.
    """
    norm: nn.Module
    convolutions: list[nn.Module]
    if isinstance(module, FactorizedReduce):
        norm, convolutions = module.bn, [half for half in (module.conv_1, module.conv_2) if half is not None]
    else:
        norm, convolutions = module[2], [module[1]]
    weights = [convolution.weight for convolution in convolutions]
    output: Tensor = _Preprocess.apply(x, norm, isinstance(module, FactorizedReduce), batch, *weights)
    return output


class _Preprocess(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm: nn.BatchNorm2d, strided: bool, batch: WholeBatch, *weights: Tensor
    ) -> Tensor:
        dtype = autocast_dtype(x)
        with without_autocast(x):
            x = channels_last(x.to(dtype))
            matrices = [weight.to(dtype).flatten(1) for weight in weights]
            grids = _grids(x, strided)
            products = [multiply(grid, GroupedWeight(matrix, 1)) for grid, matrix in zip(grids, matrices, strict=False)]
            mixed = products[0] if len(products) == 1 else torch.cat(products, dim=1)
            normalized, scale = _normalize(as_matrix(mixed), norm, batch.pixels(mixed), batch)
            output = as_image(normalized.to(dtype), mixed)
        ctx.strided, ctx.training, ctx.batch = strided, norm.training, batch
        ctx.save_for_backward(x, output, scale, *matrices)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, output, scale, *matrices = ctx.saved_tensors
        with without_autocast(x):
            grad = as_matrix(channels_last(grads[0].to(x.dtype)))
            if ctx.training:
                grad = _normalize_backward(grad, as_matrix(output), scale, ctx.batch.pixels(output), ctx.batch)
            else:
                grad = grad * scale.to(grad.dtype)
            parts = as_image(grad, output).split([len(matrix) for matrix in matrices], dim=1)
            parts = [channels_last(part) for part in parts]
            of_weights: list[Tensor | None] = [None] * len(matrices)
            if any(ctx.needs_input_grad[4:]):
                grids = _grids(x, ctx.strided)
                of_weights = [
                    products_over_pixels([g], [grid], 1, False)[0, 0, :, :, None, None]
                    for g, grid in zip(parts, grids, strict=False)
                ]
            of_x = None
            if ctx.needs_input_grad[0]:
                of_grids = [
                    multiply(g, GroupedWeight(matrix.t(), 1)) for g, matrix in zip(parts, matrices, strict=True)
                ]
                of_x = _spread_grids(of_grids, x) if ctx.strided else of_grids[0]
        return of_x, None, None, None, *of_weights


def _grids(x: Tensor, strided: bool) -> list[Tensor]:
    """x [B, C, H, W], or its pixels of even and of odd rows and columns."""
    if not strided:
        return [x]
    height, width = x.shape[2:]
    odd = F.pad(x[:, :, 1::2, 1::2], (0, width % 2, 0, height % 2))
    return [channels_last(x[:, :, ::2, ::2]), channels_last(odd)]


def _spread_grids(of_grids: list[Tensor], like: Tensor) -> Tensor:
    """The gradient of x [B, C, H, W] from those of its grids."""
    height, width = like.shape[2:]
    of_x = torch.zeros_like(like)
    of_x[:, :, ::2, ::2] = of_grids[0]
    for of_grid in of_grids[1:]:
        of_x[:, :, 1::2, 1::2] = of_grid[:, :, : height // 2, : width // 2]
    return of_x


def _normalize(x: Tensor, norm: nn.BatchNorm2d, pixels: int, batch: WholeBatch) -> tuple[Tensor, Tensor]:
    """BatchNorm of x [pixels, C], overwritten, as `norm` does it with `pixels` in the whole batch; the scale [C]."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    running_mean, running_var = norm.running_mean, norm.running_var
    assert running_mean is not None
    assert running_var is not None
    assert norm.num_batches_tracked is not None
    if not norm.training:
        scale = (running_var.to(x.dtype) + norm.eps).rsqrt()
        return x.sub_(running_mean.to(x.dtype)).mul_(scale), scale
    mean = batch.sums(x.sum(dim=0))[0] / pixels
    x.sub_(mean)
    variance = batch.sums((x * x).sum(dim=0))[0] / pixels
    scale = (variance + norm.eps).rsqrt()
    momentum = 0.1 if norm.momentum is None else norm.momentum
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    running_var.lerp_((variance * (pixels / max(pixels - 1, 1))).to(running_var.dtype), momentum)
    norm.num_batches_tracked += 1
    return x.mul_(scale), scale


def _normalize_backward(grad: Tensor, output: Tensor, scale: Tensor, pixels: int, batch: WholeBatch) -> Tensor:
    """The gradient of BatchNorm's input, r (g - mean(g) - z mean(g z)), for its output z [pixels, C] and scale r."""
    dtype = scale.dtype
    mean, along = batch.sums(grad.sum(dim=0, dtype=dtype), (grad * output).sum(dim=0, dtype=dtype))
    constant, slope = -scale * (mean / pixels), -scale * (along / pixels)
    result = torch.addcmul(constant.to(grad.dtype), output, slope.to(grad.dtype))
    return result.addcmul_(grad, scale.to(grad.dtype))
