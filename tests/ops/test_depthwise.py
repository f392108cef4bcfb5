"""The depthwise convolution with the fast backward pass equals PyTorch's, first and second derivatives included."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from operations import Operations
from pcdarts.ops.depthwise import (
    DepthwiseConv2d,
    KernelGradients,
    PlainKernelGradients,
    add_convolved,
    convolve,
    convolve_phases,
    depthwise_conv2d,
    kernel_gradients,
    strided_gradients,
)

CASES = [(size, dilation, stride) for size in (3, 5, 7) for dilation in (1, 2) for stride in (1, 2)]


def plain(x, weight, stride, dilation):
    return F.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] - 1) // 2, dilation, groups=x.shape[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_a_convolution_can_be_added_in_place(size, dilation, dtype):
    torch.manual_seed(0)
    x, out = (torch.randn(2, 3, 7, 5, dtype=dtype).contiguous(memory_format=torch.channels_last) for _ in range(2))
    weight = torch.randn(3, 1, size, size, dtype=dtype)
    expected = out + plain(x, weight, 1, dilation)
    add_convolved(out, x, weight, dilation)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (1, 3), (2, 9)])
@pytest.mark.parametrize(("size", "dilation", "stride"), CASES)
def test_output_and_gradients_equal_the_plain_convolution(size, dilation, stride, shape):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, size, size, dtype=torch.float64, requires_grad=True)
    ours, expected = depthwise_conv2d(x, weight, stride, dilation), plain(x, weight, stride, dilation)
    torch.testing.assert_close(ours, expected)
    weighting = torch.randn_like(expected)
    for found, wanted in zip(
        torch.autograd.grad(ours, (x, weight), weighting),
        torch.autograd.grad(expected, (x, weight), weighting),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("size", "dilation", "stride"), [(3, 1, 1), (5, 1, 1), (3, 2, 1), (5, 2, 1), (5, 1, 2)])
def test_second_derivatives_are_right(size, dilation, stride):
    torch.manual_seed(0)
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, size, size, dtype=torch.float64, requires_grad=True)
    convolve = partial(depthwise_conv2d, stride=stride, dilation=dilation)
    assert torch.autograd.gradgradcheck(convolve, (x, weight), fast_mode=True)


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    out = DepthwiseConv2d(4, 5)(x)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (1, 3), (2, 9)])
@pytest.mark.parametrize("size", [3, 5])
def test_gradients_at_stride_2_equal_the_plain_ones(size, shape):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, size, size, dtype=torch.float64, requires_grad=True)
    expected = plain(x, weight, 2, 1)
    grad = torch.randn_like(expected)
    for found, wanted in zip(
        strided_gradients(x.detach(), weight.detach(), grad, 2, True),
        torch.autograd.grad(expected, (x, weight), grad),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)
    assert strided_gradients(x.detach(), weight.detach(), grad, 2, False)[1] is None


@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (1, 3), (12, 9)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_one_layout_of_the_input_serves_kernels_of_both_sizes(dilation, shape):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shape).contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(x)
    layout = KernelGradients(x, dilation)
    for size in (3, 5):
        weight = torch.randn(3, 1, size, size, requires_grad=True)
        expected = torch.autograd.grad(plain(x, weight, 1, dilation), weight, grad)[0]
        torch.testing.assert_close(layout(grad, size), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (1, 3)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_the_way_of_other_devices_gives_the_same_kernel_gradients(size, dilation, shape):
    torch.manual_seed(0)
    x, grad = (torch.randn(2, 3, *shape, dtype=torch.float64) for _ in range(2))
    x, grad = (image.contiguous(memory_format=torch.channels_last) for image in (x, grad))
    torch.testing.assert_close(PlainKernelGradients(x, dilation)(grad, size), KernelGradients(x, dilation)(grad, size))


@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (1, 3)])
@pytest.mark.parametrize("size", [3, 5])
def test_a_dilated_convolution_of_phases_is_one_of_the_image_with_all_gradients(size, shape):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(3, 1, size, size, dtype=torch.float64, requires_grad=True)
    found, expected = convolve_phases(x, weight), plain(x, weight, 1, 2)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    weighting = torch.randn_like(expected)
    for ours, wanted in zip(
        torch.autograd.grad(found, (x, weight), weighting),
        torch.autograd.grad(expected, (x, weight), weighting),
        strict=True,
    ):
        torch.testing.assert_close(ours, wanted)
    assert torch.autograd.gradgradcheck(convolve_phases, (x, weight), fast_mode=True)


def test_the_gradients_of_dilated_kernels_need_no_dilated_convolution_on_other_devices():
    x = torch.empty(2, 4, 6, 6, device="meta").contiguous(memory_format=torch.channels_last)
    dilations = []

    class Dilations(Operations):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function._schema.name == "aten::convolution_backward":
                dilations.append(args[6][0])
            return super().__torch_dispatch__(function, types, args, kwargs)

    with Dilations():
        kernel_gradients(x, 2)(x, 3)
    assert dilations == [1]


def test_a_network_counts_as_many_operations_as_its_equations_have():
    x, weight = torch.empty(1, 4, 7, 7, device="meta"), torch.empty(4, 1, 3, 3, device="meta")
    with FlopCounterMode(display=False) as counter:
        convolve(x, weight, 1, 2)
    assert counter.get_total_flops() == 2 * 4 * 7 * 7 * 9
