"""1x1 convolution and BatchNorm folded into one affine map: equal to doing one after the other, gradients included."""

import torch
import torch.nn.functional as F

from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.plain.fold import Moments, Statistics, fold_backward, fold_batch, fold_running, weight_gradient

PIXELS = 50


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def folded(d, pointwise):
    moments = Moments(d.mean(dim=1), d.mT @ d / PIXELS)
    return fold_batch(pointwise, moments)


def test_the_map_equals_convolution_and_norm_with_the_statistics_of_the_batch():
    torch.manual_seed(0)
    d, pointwise = 1 + draw(2, PIXELS, 3), draw(2, 4, 3)
    fold, statistics = folded(d, pointwise)
    for each in range(2):
        plain = d[each] @ pointwise[each].T
        expected = F.batch_norm(plain, None, None, training=True)
        torch.testing.assert_close(d[each] @ fold.matrix[each].T + fold.shift[each], expected)
        torch.testing.assert_close(statistics.mean[each], plain.mean(dim=0))
        torch.testing.assert_close(statistics.variance[each], plain.var(dim=0, unbiased=False))


def test_its_gradient_is_that_of_convolution_and_norm():
    torch.manual_seed(0)
    d, pointwise = (1 + draw(1, PIXELS, 3)).requires_grad_(), draw(1, 4, 3).requires_grad_()
    grad = draw(PIXELS, 4)
    z = F.batch_norm(d[0] @ pointwise[0].T, None, None, training=True)
    of_d, of_pointwise = torch.autograd.grad((z * grad).sum(), (d, pointwise))
    d, pointwise = d.detach(), pointwise.detach()
    fold, _ = folded(d, pointwise)
    products, sums = (grad.T @ d[0])[None], grad.sum(dim=0)[None]
    found = fold_backward(fold, products, sums, PIXELS, WholeBatch(1, False))
    torch.testing.assert_close(found.pointwise, of_pointwise)
    around = d[0] @ found.through_covariance[0] + found.through_mean[0]
    torch.testing.assert_close(grad @ fold.matrix[0] + around, of_d[0])
    torch.testing.assert_close(weight_gradient(fold, products, sums)[0], (z * grad).sum().detach())


def test_running_statistics_make_a_map_that_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    d, pointwise = draw(PIXELS, 3), draw(1, 4, 3)
    mean, variance = draw(4), 0.5 + draw(4) ** 2
    fold = fold_running(pointwise, Statistics(mean[None], variance[None]))
    expected = F.batch_norm(d @ pointwise[0].T, mean, variance, training=False)
    torch.testing.assert_close(d @ fold.matrix[0].T + fold.shift[0], expected)
    assert fold_backward(fold, draw(1, 4, 3), draw(1, 4), PIXELS, WholeBatch(1, False)).through_covariance is None
