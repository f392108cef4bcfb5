"""The fast pooling of maps with few channels equals PyTorch's, gradients and ties included."""

import pytest
import torch
import torch.nn.functional as F

from pcdarts.supernet.pooling import avg_pool, avg_pool_gradient, max_pool, max_pool_gradient

SHAPES = [(1, 8, 8), (3, 7, 6), (4, 5, 9), (2, 1, 1), (4, 2, 3)]


def draw_map(channels, height, width):
    """Of few different values, so that many windows have several largest ones."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(4, (2, channels, height, width), generator=generator).double()
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_max_pool_and_its_gradient_equal_the_plain_ones(shape, stride):
    x = draw_map(*shape)
    expected = F.max_pool2d(x, 3, stride, padding=1)
    pooled, winners = max_pool(x.detach(), stride)
    assert torch.equal(pooled, expected)
    grad = torch.rand_like(expected).contiguous(memory_format=torch.channels_last)
    found = max_pool_gradient(x.detach(), winners, grad, stride)
    torch.testing.assert_close(found, torch.autograd.grad(expected, x, grad)[0])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_avg_pool_and_its_gradient_equal_the_plain_ones(shape, stride):
    x = draw_map(*shape)
    expected = F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
    torch.testing.assert_close(avg_pool(x.detach(), stride), expected)
    grad = torch.rand_like(expected).contiguous(memory_format=torch.channels_last)
    found = avg_pool_gradient(x.detach(), grad, stride)
    torch.testing.assert_close(found, torch.autograd.grad(expected, x, grad)[0])
