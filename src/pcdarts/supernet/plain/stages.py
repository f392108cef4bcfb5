"""1x1 convolution and BatchNorm of several operations on the n edges of one source node, with explicit gradients.

A stage's input is the map [B, n·c', H, W] (or [B, c', H, W], shared by the edges) that a depthwise convolution or a
pooling made; `fold.py` has the algebra, for which operations and edges are one batch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.edges import Statistics
from pcdarts.supernet.plain.fold import (
    Fold,
    FoldGradient,
    Moments,
    fold_backward,
    fold_batch,
    fold_running,
    weight_gradient,
)
from pcdarts.supernet.plain.pointwise import (
    add_product,
    grouped_weights,
    multiply,
    products_over_pixels,
    sums_over_pixels,
    transposed_weights,
)


class Stages(NamedTuple):
    """The stages of some operations after the batch was seen."""

    inputs: tuple[Tensor, ...]
    """Per operation [B, n·c', H, W], or [B, c', H, W] if the edges share it."""
    fold: Fold
    """Of operations · n maps."""
    edges: int
    """n."""
    batch: WholeBatch

    @property
    def shared(self) -> bool:
        """Whether all edges have the same input."""
        return self.edges > 1 and self.inputs[0].shape[1] == self.fold.matrix.shape[2]


class StageGradients(NamedTuple):
    """Gradients of 1x1 weights [operations, n, c, c'] and of the weights [operations, n] in the mixture."""

    pointwise: Tensor
    weights: Tensor


def make_stages(
    inputs: tuple[Tensor, ...], pointwise: Tensor, running: Statistics | None, batch: WholeBatch
) -> tuple[Stages, Statistics | None]:
    """Fold the stages of weights `pointwise` [operations, n, c, c'].

    Args:
        inputs: per operation [B, n·c', H, W] or, shared, [B, c', H, W].
        running: in evaluation, the running statistics; in training None.
        batch: what the statistics of the batch are taken of.

    Returns:
        The stages, and in training the statistics of the batch, [operations, n, c].
    """
    operations, n, _, width = pointwise.shape
    maps = pointwise.flatten(0, 1)
    if running is not None:
        flat = Statistics(running.mean.flatten(0, 1), running.variance.flatten(0, 1))
        return Stages(inputs, fold_running(maps, flat), n, batch), None
    own = inputs[0].shape[1] // width  # 1 if the edges share the input, else n
    pixels = batch.pixels(inputs[0])
    sums, products = batch.sums(
        torch.stack([sums_over_pixels(d) for d in inputs]), products_over_pixels(inputs, inputs, own, shared=False)
    )
    means, second = (sums / pixels).view(operations, own, width), products / pixels
    if own < n:
        means, second = means.expand(-1, n, -1), second.expand(-1, n, -1, -1)
    fold, statistics = fold_batch(maps, Moments(means.flatten(0, 1), second.flatten(0, 1)))
    by_operation = Statistics(*(value.unflatten(0, (operations, n)) for value in statistics))
    return Stages(inputs, fold, n, batch), by_operation


def outputs(stages: Stages) -> Iterator[Tensor]:
    """z = A d + b of every operation, [B, n·c, H, W]."""
    matrices = grouped_weights(stages.fold.matrix, stages.edges, stages.shared, stages.inputs[0].dtype)
    shifts = stages.fold.shift.view(len(matrices), -1)
    for d, matrix, shift in zip(stages.inputs, matrices, shifts, strict=True):
        yield multiply(d, matrix, shift)


def add_mixture(mixed: Tensor, stages: Stages, weights: Tensor) -> Tensor:
    """Add Σ w A d to the last n·c channels of `mixed` for weights [operations, n].

    Returns what is missing, Σ w b [n, c].
    """
    matrices = stages.fold.matrix * weights.reshape(-1, 1, 1)
    for d, matrix in zip(
        stages.inputs, grouped_weights(matrices, stages.edges, stages.shared, mixed.dtype), strict=True
    ):
        add_product(mixed, d, matrix)
    return (stages.fold.shift.view(*weights.shape, -1) * weights.unsqueeze(2)).sum(dim=0)


def mixture_backward(
    stages: Stages, weights: Tensor, grad: Tensor, grad_sums: Tensor
) -> tuple[Iterator[Tensor], StageGradients]:
    """The gradients of a weighted sum of stages.

    Args:
        weights: [operations, n].
        grad: of the sum, [B, n·c, H, W].
        grad_sums: its sum over pixels, [n, c].

    Returns:
        The gradients of `stages.inputs`, each computed when it is asked for, and those of the weights.
    """
    operations, n = weights.shape
    grads = (grad,) * operations
    products = products_over_pixels(grads, stages.inputs, n, stages.shared).flatten(0, 1)
    sums = grad_sums.repeat(operations, 1)
    scales = weights.reshape(-1, 1)
    scaled = scales.unsqueeze(2)
    pieces = fold_backward(stages.fold, products * scaled, sums * scales, stages.batch.pixels(grad), stages.batch)
    gradients = StageGradients(
        pieces.pointwise.unflatten(0, (operations, n)),
        weight_gradient(stages.fold, products, sums).view(operations, n),
    )
    return _input_gradients(stages, stages.fold.matrix * scaled, pieces, grads), gradients


def outputs_backward(stages: Stages, grads: tuple[Tensor, ...]) -> tuple[Iterator[Tensor], Tensor]:
    """The gradients of `outputs` from those of its results: of the inputs (lazily) and of the 1x1 weights."""
    n = stages.edges
    products = products_over_pixels(grads, stages.inputs, n, stages.shared).flatten(0, 1)
    sums = torch.stack([sums_over_pixels(g) for g in grads]).view(len(products), -1)
    pieces = fold_backward(stages.fold, products, sums, stages.batch.pixels(grads[0]), stages.batch)
    pointwise = pieces.pointwise.unflatten(0, (len(grads), n))
    return _input_gradients(stages, stages.fold.matrix, pieces, grads), pointwise


def _input_gradients(
    stages: Stages, matrix: Tensor, pieces: FoldGradient, grads: tuple[Tensor, ...]
) -> Iterator[Tensor]:
    """Aᵀ g + Q d + u for every operation; where edges share an input, the sum over the edges."""
    dtype, shared, n = stages.inputs[0].dtype, stages.shared, stages.edges
    direct = transposed_weights(matrix, n, shared, dtype)
    if pieces.through_covariance is None or pieces.through_mean is None:
        for g, away in zip(grads, direct, strict=True):
            yield multiply(g, away)
        return
    curvature, shift = pieces.through_covariance, pieces.through_mean
    if shared:
        curvature, shift = (value.unflatten(0, (-1, n)).sum(dim=1) for value in (curvature, shift))
        n = 1
    around = grouped_weights(curvature, n, False, dtype)
    shifts = shift.reshape(len(grads), -1)
    for g, d, away, back, constant in zip(grads, stages.inputs, direct, around, shifts, strict=True):
        yield add_product(multiply(d, back, constant), g, away)
