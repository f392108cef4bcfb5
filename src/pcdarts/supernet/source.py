"""All candidate operations on all edges that leave one source node, forward and backward, with explicit gradients.

The edges' channels lie side by side, n·C of them, so that each depthwise convolution is one call. What is kept for the
backward pass are the inputs of the 1x1 convolutions and tiny matrices; `stages.py` does the rest.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pcdarts.cell.depthwise import KernelGradients, add_convolved, convolve, strided_gradients
from pcdarts.cell.synchronize import WholeBatch
from pcdarts.supernet import pooling
from pcdarts.supernet.blocks import sums_over_pixels
from pcdarts.supernet.fold import Statistics
from pcdarts.supernet.images import (
    channels_last,
    rectify_gradient,
    shifted_grids,
    shifted_grids_gradient,
)
from pcdarts.supernet.stages import (
    Stages,
    add_mixture,
    make_stages,
    mixture_backward,
    outputs,
    outputs_backward,
)

POOLS, SKIP, CONVOLUTIONS = slice(1, 3), slice(3, 4), slice(4, 8)
"""Places of the primitives in the mixture."""


class SourceWeights(NamedTuple):
    """The weights of n edges (or their gradients, None where none is wanted)."""

    depthwise: tuple[Tensor, ...]
    """[n·C, 1, k, k]: first stages of sep_conv_3x3 and _5x5, their second stages, dil_conv_3x3 and _5x5."""
    first: Tensor
    """1x1 weights of the first stages, [2, n, C, C]."""
    last: Tensor
    """1x1 weights of the last stages, [4, n, C, C]."""
    skip: Tensor | None
    """Of a stride-2 skip: its two convolutions side by side, [1, n, C, 2C] with zeros."""


class SourceStatistics(NamedTuple):
    """Running statistics, or those of a batch, of all normalisations: [operations, n, C] each."""

    first: Statistics
    last: Statistics
    pools: Statistics
    skip: Statistics | None


class Trace(NamedTuple):
    """What the backward pass needs."""

    sampled: Tensor
    """[B, C or n·C, H, W], before the ReLU."""
    rectified: Tensor
    """[B, n·C, H, W]."""
    first: Stages
    hidden: tuple[Tensor, ...]
    """[B, n·C, H, W] after the first stages' ReLU."""
    last: Stages
    winners: Tensor
    pools: Stages
    skip: Stages | None


def forward(
    sampled: Tensor,
    rectified: Tensor,
    weights: SourceWeights,
    mixture: Tensor,
    running: SourceStatistics | None,
    mixed: Tensor,
    batch: WholeBatch,
) -> tuple[Trace, Tensor, SourceStatistics | None]:
    """Add the weighted sum over primitives of Eq. (1), less its constant part, to `mixed` on n edges.

    A stride-1 skip is left to the caller: it is no more than another weight for the bypass.

    Args:
        sampled: the sampled channels, [B, C, H, W] where all edges share them, else [B, n·C, H, W].
        rectified: their ReLU for each edge, [B, n·C, H, W].
        mixture: [n, primitives], the softmaxed α of each edge times its edge weight.
        running: in evaluation, the running statistics.
        mixed: [B, n·C or more, H/stride, W/stride], whose last channels are those of the n edges; the stride follows
            from its size.
        batch: what the statistics of the batch are taken of.

    Returns:
        The trace, the constant part [n, C], and in training the statistics of the batch.
    """
    stride = 1 if mixed.shape[2:] == rectified.shape[2:] else 2
    strided = tuple(convolve(rectified, kernel, stride) for kernel in weights.depthwise[:2])
    first, first_statistics = make_stages(strided, weights.first, running and running.first, batch)
    hidden = tuple(z.relu_() for z in outputs(first))

    depthwise = [convolve(h, k) for h, k in zip(hidden, weights.depthwise[2:4], strict=True)]
    around, dilation = _dilated_input(rectified, stride)
    depthwise += [convolve(around, kernel, 1, dilation) for kernel in weights.depthwise[4:]]
    last, last_statistics = make_stages(tuple(depthwise), weights.last, running and running.last, batch)
    shift = add_mixture(mixed, last, mixture.t()[CONVOLUTIONS])

    largest, winners = pooling.max_pool(sampled, stride)
    pooled = (largest, pooling.avg_pool(sampled, stride))
    pools, pool_statistics = make_stages(pooled, _identity(weights.last, 2), running and running.pools, batch)
    shift += add_mixture(mixed, pools, mixture.t()[POOLS])

    skip = skip_statistics = None
    if weights.skip is not None:
        grids = shifted_grids(sampled.relu(), _blocks(sampled, weights))
        skip, skip_statistics = make_stages((grids,), weights.skip, running and running.skip, batch)
        shift += add_mixture(mixed, skip, mixture.t()[SKIP])

    statistics = None
    if first_statistics is not None and last_statistics is not None and pool_statistics is not None:
        statistics = SourceStatistics(first_statistics, last_statistics, pool_statistics, skip_statistics)
    return Trace(sampled, rectified, first, hidden, last, winners, pools, skip), shift, statistics


class SourceGradients(NamedTuple):
    """What `backward` returns."""

    sampled: Tensor
    """Of `sampled`, by pooling and strided skip: [B, C or n·C, H, W]."""
    rectified: Tensor
    """Of the sampled channels of each edge, by the convolutions: [B, n·C, H, W]."""
    mixture: Tensor
    """[n, primitives], without those of `none` and a stride-1 skip."""
    weights: SourceWeights | None


def backward(
    trace: Trace, weights: SourceWeights, mixture: Tensor, grad: Tensor, with_weights: bool
) -> SourceGradients:
    """The gradients of `forward` from that of `mixed`, [B, n·C, H, W]."""
    grad_sums = sums_over_pixels(grad).view(len(mixture), -1)
    stride = 1 if grad.shape[2:] == trace.rectified.shape[2:] else 2
    of_mixture = torch.zeros_like(mixture)
    arriving, last = mixture_backward(trace.last, mixture.t()[CONVOLUTIONS], grad, grad_sums)
    of_mixture[:, CONVOLUTIONS] = last.weights.t()

    of_hidden, second_kernels = [], []
    for hidden, kernel in zip(trace.hidden, weights.depthwise[2:4], strict=True):
        image = next(arriving)
        of_hidden.append(rectify_gradient(convolve(image, kernel.flip(2, 3)), hidden))
        if with_weights:
            second_kernels.append(KernelGradients(hidden)(image, kernel.shape[-1]))
    strided, of_first = outputs_backward(trace.first, tuple(of_hidden))
    of_rectified, first_kernels = _first_backward(
        trace.rectified, list(strided), weights.depthwise[:2], stride, with_weights
    )
    dilated_kernels = _dilated_backward(
        trace.rectified, list(arriving), weights.depthwise[4:], stride, with_weights, of_rectified
    )
    of_rectified = rectify_gradient(of_rectified, trace.rectified)

    of_sampled = _pools_backward(trace, mixture, grad, grad_sums, of_mixture, stride)
    of_skip = None
    if trace.skip is not None:
        (grids,), skip = mixture_backward(trace.skip, mixture.t()[SKIP], grad, grad_sums)
        of_mixture[:, SKIP] = skip.weights.t()
        unmasked = shifted_grids_gradient(grids, trace.sampled, _blocks(trace.sampled, weights))
        of_sampled += rectify_gradient(unmasked, trace.sampled)
        of_skip = skip.pointwise
    of_weights = None
    if with_weights:
        kernels = (*first_kernels, *second_kernels, *dilated_kernels)
        of_weights = SourceWeights(kernels, of_first, last.pointwise, of_skip)
    return SourceGradients(of_sampled, of_rectified, of_mixture, of_weights)


def _first_backward(
    rectified: Tensor, grads: list[Tensor], kernels: tuple[Tensor, ...], stride: int, with_weights: bool
) -> tuple[Tensor, list[Tensor]]:
    """The gradients of the ReLU and the kernels by the first depthwise convolutions of the separable ones."""
    if stride > 1:
        pairs = [strided_gradients(rectified, k, g, stride, with_weights) for g, k in zip(grads, kernels, strict=True)]
        return channels_last(pairs[0][0].add_(pairs[1][0])), [kernel for _, kernel in pairs if kernel is not None]
    total = add_convolved(convolve(grads[0], kernels[0].flip(2, 3)), grads[1], kernels[1].flip(2, 3))
    layout = KernelGradients(rectified) if with_weights else None
    return total, [layout(g, k.shape[-1]) for g, k in zip(grads, kernels, strict=True)] if layout else []


def _dilated_input(rectified: Tensor, stride: int) -> tuple[Tensor, int]:
    """What the dilated convolutions read, and their dilation: at stride 2, pixels of even rows and columns alone."""
    return (rectified, 2) if stride == 1 else (channels_last(rectified[:, :, ::2, ::2]), 1)


def _dilated_backward(
    rectified: Tensor,
    grads: list[Tensor],
    kernels: tuple[Tensor, ...],
    stride: int,
    with_weights: bool,
    total: Tensor,
) -> list[Tensor]:
    """Add the gradient of the ReLU by the dilated convolutions to `total`; return those of their kernels."""
    around, dilation = _dilated_input(rectified, stride)
    for g, kernel in zip(grads, kernels, strict=True):
        if stride == 1:
            add_convolved(total, g, kernel.flip(2, 3), dilation)
        else:
            total[:, :, ::stride, ::stride] += convolve(g, kernel.flip(2, 3))
    if not with_weights:
        return []
    layout = KernelGradients(around, dilation)
    return [layout(g, kernel.shape[-1]) for g, kernel in zip(grads, kernels, strict=True)]


def _pools_backward(
    trace: Trace, mixture: Tensor, grad: Tensor, grad_sums: Tensor, of_mixture: Tensor, stride: int
) -> Tensor:
    """The gradient of `sampled` by pooling; writes those of the pools' weights into `of_mixture`."""
    (largest, average), gradients = mixture_backward(trace.pools, mixture.t()[POOLS], grad, grad_sums)
    of_mixture[:, POOLS] = gradients.weights.t()
    of_sampled = pooling.avg_pool_gradient(trace.sampled, average, stride)
    return of_sampled.add_(pooling.max_pool_gradient(trace.sampled, trace.winners, largest, stride))


def _identity(like: Tensor, operations: int) -> Tensor:
    """The 1x1 weights of operations without any: [operations, n, C, C], for `like` [..., n, C, C]."""
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device).expand(operations, *like.shape[1:])


def _blocks(sampled: Tensor, weights: SourceWeights) -> int:
    """1 if the edges share their sampled channels, else n."""
    return sampled.shape[1] // weights.last.shape[-1]
