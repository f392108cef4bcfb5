"""The fast pooling of maps with few channels equals PyTorch's, gradients and ties included."""

import pytest
import torch
import torch.nn.functional as F

from operations import Operations
from pcdarts.ops.pooling import (
    avg_pool,
    avg_pool_gradient,
    max_pool,
    max_pool_gradient,
    plain_avg_pool_gradient,
    plain_max_pool,
    plain_max_pool_gradient,
)

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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_way_of_other_devices_is_the_same(shape, stride):
    x = draw_map(*shape).detach()
    (here, rows), (there, winners) = max_pool(x, stride), plain_max_pool(x, stride)
    assert torch.equal(there, here)
    grad = torch.rand_like(here).contiguous(memory_format=torch.channels_last)
    of_maximum = max_pool_gradient(x, rows, grad, stride)
    torch.testing.assert_close(plain_max_pool_gradient(x, winners, grad, stride), of_maximum)
    torch.testing.assert_close(plain_avg_pool_gradient(x, grad, stride), avg_pool_gradient(x, grad, stride))


@pytest.mark.parametrize("stride", [1, 2])
def test_other_devices_pool_with_one_operation_each_way(stride):
    x = torch.empty(2, 4, 8, 8, device="meta").contiguous(memory_format=torch.channels_last)
    with Operations() as found:
        pooled, winners = max_pool(x, stride)
        max_pool_gradient(x, winners, pooled, stride)
        avg_pool_gradient(x, avg_pool(x, stride), stride)
    assert found.names == [
        "aten::max_pool2d_with_indices",
        "aten::max_pool2d_with_indices_backward",
        "aten::avg_pool2d",
        "aten::avg_pool2d_backward",
    ]
