"""Candidate operations on edges that leave one source node, forward and backward, with explicit gradients.

The edges' channels lie side by side, n·C of them, so that each depthwise convolution is one call. Which operations and
which edges these are, a group says (`groups.py`): all of them, unless some have the weight zero. What is kept for the
backward pass are the inputs of the 1x1 convolutions and tiny matrices; `stages.py` does the rest.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pcdarts.ops import pooling
from pcdarts.ops.depthwise import add_convolved, convolve, kernel_gradients, strided_gradients
from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.edges import Statistics
from pcdarts.supernet.plain.channels_last import (
    channels_last,
    rectify_gradient,
    shifted_grids,
    shifted_grids_gradient,
)
from pcdarts.supernet.plain.groups import CONVOLUTIONS, POOLS, SKIP, take
from pcdarts.supernet.plain.pointwise import sums_over_pixels
from pcdarts.supernet.plain.stages import (
    Stages,
    add_mixture,
    make_stages,
    mixture_backward,
    outputs,
    outputs_backward,
)


class SourceWeights(NamedTuple):
    """The weights of n edges (or their gradients, None where none is wanted), of the convolutions of a group."""

    depthwise: tuple[Tensor, ...]
    """[n·C, 1, k, k]: first stages of sep_conv_3x3 and _5x5, their second stages, dil_conv_3x3 and _5x5."""
    first: Tensor
    """1x1 weights of the first stages, [2 or fewer, n, C, C]."""
    last: Tensor
    """1x1 weights of the last stages, [4 or fewer, n, C, C]."""
    skip: Tensor | None
    """Of a stride-2 skip: its two convolutions side by side, [1, n, C, 2C] with zeros."""


class SourceStatistics(NamedTuple):
    """Running statistics, or those of a batch, of the normalisations of a group: [operations, n, C] each."""

    first: Statistics | None
    last: Statistics | None
    pools: Statistics | None
    skip: Statistics | None


class Trace(NamedTuple):
    """What the backward pass needs."""

    sampled: Tensor
    """[B, C or n·C, H, W], before the ReLU."""
    rectified: Tensor | None
    """[B, n·C, H, W]; None without convolutions."""
    first: Stages | None
    hidden: tuple[Tensor, ...]
    """[B, n·C, H, W] after the first stages' ReLU."""
    last: Stages | None
    winners: Tensor | None
    """Of max-pooling."""
    pools: Stages | None
    skip: Stages | None


def forward(
    sampled: Tensor,
    rectified: Tensor | None,
    weights: SourceWeights,
    mixture: Tensor,
    running: SourceStatistics | None,
    mixed: Tensor,
    batch: WholeBatch,
    primitives: Sequence[int],
) -> tuple[Trace, Tensor, SourceStatistics]:
    """Add the weighted sum over primitives of Eq. (1), less its constant part, to `mixed` on n edges.

    A stride-1 skip is left to the caller: it is no more than another weight for the bypass.

    Args:
        sampled: the sampled channels, [B, C, H, W] where all edges share them, else [B, n·C, H, W].
        rectified: their ReLU for each edge, [B, n·C, H, W]; None without convolutions.
        mixture: [n, primitives], the softmaxed α of each edge times its edge weight.
        running: in evaluation, the running statistics.
        mixed: [B, n·C or more, H/stride, W/stride], whose last channels are those of the n edges; the stride follows
            from its size.
        batch: what the statistics of the batch are taken of.
        primitives: those of the group, whose weights and running statistics the other arguments hold.

    Returns:
        The trace, the constant part [n, C], and in training the statistics of the batch.
    """
    shift = mixture.new_zeros(len(mixture), weights.last.shape[-1])
    stride = 1 if mixed.shape[2:] == sampled.shape[2:] else 2
    separable = len(weights.first)
    first = last = pools = skip = None
    first_statistics = last_statistics = pool_statistics = skip_statistics = None
    hidden: tuple[Tensor, ...] = ()
    if separable and rectified is not None:
        strided = tuple(convolve(rectified, kernel, stride) for kernel in weights.depthwise[:separable])
        first, first_statistics = make_stages(strided, weights.first, running and running.first, batch)
        hidden = tuple(z.relu_() for z in outputs(first))

    depthwise = [convolve(h, k) for h, k in zip(hidden, weights.depthwise[separable : 2 * separable], strict=True)]
    dilated = weights.depthwise[2 * separable :]
    if dilated and rectified is not None:
        around, dilation = _dilated_input(rectified, stride)
        depthwise += [convolve(around, kernel, 1, dilation) for kernel in dilated]
    if depthwise:
        last, last_statistics = make_stages(tuple(depthwise), weights.last, running and running.last, batch)
        shift += add_mixture(mixed, last, _columns(mixture, CONVOLUTIONS, primitives))

    pooled, winners = _pooled(sampled, stride, primitives)
    if pooled:
        identity = _identity(weights.last, len(pooled))
        pools, pool_statistics = make_stages(pooled, identity, running and running.pools, batch)
        shift += add_mixture(mixed, pools, _columns(mixture, POOLS, primitives))

    if weights.skip is not None:
        grids = shifted_grids(sampled.relu(), _parts(sampled, weights))
        skip, skip_statistics = make_stages((grids,), weights.skip, running and running.skip, batch)
        shift += add_mixture(mixed, skip, _columns(mixture, (SKIP,), primitives))

    statistics = SourceStatistics(first_statistics, last_statistics, pool_statistics, skip_statistics)
    return Trace(sampled, rectified, first, hidden, last, winners, pools, skip), shift, statistics


def _pooled(sampled: Tensor, stride: int, primitives: Sequence[int]) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """The pools of a group, and the winners of max-pooling."""
    pooled, winners = [], None
    if POOLS[0] in primitives:
        largest, winners = pooling.max_pool(sampled, stride)
        pooled.append(largest)
    if POOLS[1] in primitives:
        pooled.append(pooling.avg_pool(sampled, stride))
    return tuple(pooled), winners


def _columns(mixture: Tensor, kind: Sequence[int], primitives: Sequence[int]) -> Tensor:
    """The weights [operations, n] of those primitives of a kind that a group has, from the mixture [n, primitives]."""
    return take(mixture.t(), [primitive for primitive in kind if primitive in primitives])


def _set_columns(of_mixture: Tensor, kind: Sequence[int], primitives: Sequence[int], values: Tensor) -> None:
    """Write values [operations, n] to where `_columns` finds them."""
    indices = [primitive for primitive in kind if primitive in primitives]
    if indices[-1] - indices[0] == len(indices) - 1:
        of_mixture[:, indices[0] : indices[-1] + 1] = values.t()
        return
    for index, value in zip(indices, values, strict=True):
        of_mixture[:, index] = value


class SourceGradients(NamedTuple):
    """What `backward` returns."""

    sampled: Tensor | None
    """Of `sampled`, by pooling and strided skip: [B, C or n·C, H, W]; None without these."""
    rectified: Tensor | None
    """Of the sampled channels of each edge, by the convolutions: [B, n·C, H, W]; None without these."""
    mixture: Tensor
    """[n, primitives], without those of `none` and a stride-1 skip."""
    weights: SourceWeights | None


def backward(
    trace: Trace,
    weights: SourceWeights,
    mixture: Tensor,
    grad: Tensor,
    with_weights: bool,
    primitives: Sequence[int],
) -> SourceGradients:
    """The gradients of `forward` from that of `mixed`, [B, n·C, H, W]."""
    grad_sums = sums_over_pixels(grad).view(len(mixture), -1)
    stride = 1 if grad.shape[2:] == trace.sampled.shape[2:] else 2
    of_mixture = torch.zeros_like(mixture)
    arriving: Iterator[Tensor] = iter(())
    of_last, of_first, of_skip = weights.last, weights.first, None
    if trace.last is not None:
        columns = _columns(mixture, CONVOLUTIONS, primitives)
        arriving, gradients = mixture_backward(trace.last, columns, grad, grad_sums)
        _set_columns(of_mixture, CONVOLUTIONS, primitives, gradients.weights)
        of_last = gradients.pointwise

    separable = len(weights.first)
    of_rectified: Tensor | None = None
    first_kernels: list[Tensor] = []
    second_kernels: list[Tensor] = []
    if trace.first is not None and trace.rectified is not None:
        of_hidden = []
        for hidden, kernel in zip(trace.hidden, weights.depthwise[separable : 2 * separable], strict=True):
            image = next(arriving)
            of_hidden.append(rectify_gradient(convolve(image, kernel.flip(2, 3)), hidden))
            if with_weights:
                second_kernels.append(kernel_gradients(hidden)(image, kernel.shape[-1]))
        strided, of_first = outputs_backward(trace.first, tuple(of_hidden))
        of_rectified, first_kernels = _first_backward(
            trace.rectified, list(strided), weights.depthwise[:separable], stride, with_weights
        )
    dilated_kernels: list[Tensor] = []
    if trace.rectified is not None:
        if of_rectified is None:
            of_rectified = torch.zeros_like(trace.rectified)
        if dilated := weights.depthwise[2 * separable :]:
            dilated_kernels = _dilated_backward(
                trace.rectified, list(arriving), dilated, stride, with_weights, of_rectified
            )
        of_rectified = rectify_gradient(of_rectified, trace.rectified)

    of_sampled = _pools_backward(trace, mixture, grad, grad_sums, of_mixture, stride, primitives)
    if trace.skip is not None:
        (grids,), gradients = mixture_backward(trace.skip, _columns(mixture, (SKIP,), primitives), grad, grad_sums)
        _set_columns(of_mixture, (SKIP,), primitives, gradients.weights)
        unmasked = shifted_grids_gradient(grids, trace.sampled, _parts(trace.sampled, weights))
        unmasked = rectify_gradient(unmasked, trace.sampled)
        of_sampled = unmasked if of_sampled is None else of_sampled.add_(unmasked)
        of_skip = gradients.pointwise
    of_weights = None
    if with_weights:
        kernels = (*first_kernels, *second_kernels, *dilated_kernels)
        of_weights = SourceWeights(kernels, of_first, of_last, of_skip)
    return SourceGradients(of_sampled, of_rectified, of_mixture, of_weights)


def _first_backward(
    rectified: Tensor, grads: list[Tensor], kernels: tuple[Tensor, ...], stride: int, with_weights: bool
) -> tuple[Tensor, list[Tensor]]:
    """The gradients of the ReLU and the kernels by the first depthwise convolutions of the separable ones."""
    if stride > 1:
        pairs = [strided_gradients(rectified, k, g, stride, with_weights) for g, k in zip(grads, kernels, strict=True)]
        total = pairs[0][0] if len(pairs) == 1 else pairs[0][0].add_(pairs[1][0])
        return channels_last(total), [kernel for _, kernel in pairs if kernel is not None]
    total = convolve(grads[0], kernels[0].flip(2, 3))
    for g, kernel in zip(grads[1:], kernels[1:], strict=True):
        total = add_convolved(total, g, kernel.flip(2, 3))
    layout = kernel_gradients(rectified) if with_weights else None
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
    layout = kernel_gradients(around, dilation)
    return [layout(g, kernel.shape[-1]) for g, kernel in zip(grads, kernels, strict=True)]


def _pools_backward(
    trace: Trace,
    mixture: Tensor,
    grad: Tensor,
    grad_sums: Tensor,
    of_mixture: Tensor,
    stride: int,
    primitives: Sequence[int],
) -> Tensor | None:
    """The gradient of `sampled` by pooling; writes those of the pools' weights into `of_mixture`."""
    if trace.pools is None:
        return None
    arriving, gradients = mixture_backward(trace.pools, _columns(mixture, POOLS, primitives), grad, grad_sums)
    _set_columns(of_mixture, POOLS, primitives, gradients.weights)
    largest = None if trace.winners is None else next(arriving)
    averages = list(arriving)
    parts = [pooling.avg_pool_gradient(trace.sampled, average, stride) for average in averages]
    if largest is not None and trace.winners is not None:
        parts.append(pooling.max_pool_gradient(trace.sampled, trace.winners, largest, stride))
    return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])


def _identity(like: Tensor, operations: int) -> Tensor:
    """The 1x1 weights of operations without any: [operations, n, C, C], for `like` [..., n, C, C]."""
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device).expand(operations, *like.shape[1:])


def _parts(sampled: Tensor, weights: SourceWeights) -> int:
    """1 if the edges share their sampled channels, else n."""
    return sampled.shape[1] // weights.last.shape[-1]
