"""1x1 convolution and BatchNorm folded into one affine map from the moments of the input; and its exact gradient.

With d the input of a 1x1 convolution P [c, c'] on n pixels, m its mean and S = E[d dᵀ] - m mᵀ its covariance, the
variances after the convolution are p_i S p_iᵀ. So BatchNorm(P d) = A d + b with A = diag(r) P, r = 1/√(variance + ε)
and b = -A m: neither the convolution's nor the norm's output need be computed, and a weighted sum of such maps is one
matrix product. All tensors here are tiny, and batched: `maps` counts operations and edges.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.edges import EPSILON, Statistics


class Moments(NamedTuple):
    """Of the input of a 1x1 convolution, over pixels."""

    mean: Tensor
    """m [maps, c']."""
    second: Tensor
    """E[d dᵀ] [maps, c', c']."""


class Fold(NamedTuple):
    """z = A d + b; without moments (evaluation), A and b do not depend on d."""

    matrix: Tensor
    """A [maps, c, c']."""
    shift: Tensor
    """b [maps, c]."""
    scale: Tensor
    """r [maps, c]."""
    mean: Tensor | None
    """m [maps, c']."""
    spread: Tensor | None
    """A S [maps, c, c']."""


class FoldGradient(NamedTuple):
    """The gradients of P and d from g = dL/dz: dP, and dL/dd = Aᵀ g + Q d + u."""

    pointwise: Tensor
    through_covariance: Tensor | None
    """Q [maps, c', c'], symmetric; None in evaluation, where it is zero, as u is."""
    through_mean: Tensor | None
    """u [maps, c']."""


def fold_batch(pointwise: Tensor, moments: Moments) -> tuple[Fold, Statistics]:
    """Fold BatchNorm in training mode behind `pointwise` [maps, c, c']."""
    mean, second = moments
    covariance = torch.baddbmm(second, mean.unsqueeze(2), mean.unsqueeze(1), alpha=-1)
    spread = torch.bmm(pointwise, covariance)
    variance = (spread * pointwise).sum(dim=2).clamp_min_(0)
    scale = (variance + EPSILON).rsqrt_()
    mean_out = (pointwise * mean.unsqueeze(1)).sum(dim=2)
    column = scale.unsqueeze(2)
    return Fold(pointwise * column, mean_out * -scale, scale, mean, spread.mul_(column)), Statistics(mean_out, variance)


def fold_running(pointwise: Tensor, statistics: Statistics) -> Fold:
    """Fold BatchNorm in evaluation mode behind `pointwise` [maps, c, c']."""
    scale = (statistics.variance + EPSILON).rsqrt()
    return Fold(scale.unsqueeze(2) * pointwise, statistics.mean * -scale, scale, None, None)


def fold_backward(fold: Fold, products: Tensor, sums: Tensor, pixels: int, batch: WholeBatch) -> FoldGradient:
    """The gradient of z = A d + b from G = Σ g dᵀ [maps, c, c'] and Σ g [maps, c] over the pixels here, g = dL/dz.

    With ḡ = Σ g / n and γ = Σ g z / n over the n = `pixels` pixels of the whole batch, the gradient of BatchNorm's
    input is r (g - ḡ - γ z). The gradient of P is a sum over pixels, of which other processes have their share.
    """
    matrix, shift, scale, mean, spread = fold
    if mean is None or spread is None:
        return FoldGradient(products * scale.unsqueeze(2), None, None)
    along = (matrix * products).sum(dim=2).addcmul_(shift, sums)
    pointwise = torch.baddbmm(products, sums.unsqueeze(2), mean.unsqueeze(1), alpha=-1)
    pointwise.addcmul_(along.unsqueeze(2), spread, value=-1).mul_(scale.unsqueeze(2))
    along, sums = batch.sums(along, sums)
    transposed, gamma = matrix.mT, along / -pixels
    constant = torch.addcmul(sums / -pixels, gamma, shift).unsqueeze(2)
    return FoldGradient(
        pointwise,
        torch.bmm(transposed, matrix * gamma.unsqueeze(2)),
        torch.bmm(transposed, constant).squeeze(2),
    )


def weight_gradient(fold: Fold, products: Tensor, sums: Tensor) -> Tensor:
    """The gradient [maps] of the weight w in a sum of w z, from G and Σ g of that sum's gradient g."""
    return (fold.matrix * products).sum(dim=(1, 2)) + (fold.shift * sums).sum(dim=1)
