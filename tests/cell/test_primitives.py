"""The operations: their sizes, their formulas, and the corners where zeros stand in for missing pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN, ReluFirst, alternate_pixels, make_op
from pcdarts.cell.space import OPERATIONS
from pcdarts.errors import InputError

ALL_PRIMITIVES = ("none", *OPERATIONS)


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def make(primitive: str, channels: int = 4, stride: int = 1, affine: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return make_op(primitive, channels, stride, affine).double().eval()


@pytest.mark.parametrize("primitive", ALL_PRIMITIVES)
@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.sampled_from([1, 2, 3]))
def test_stride_1_keeps_a_size_and_stride_2_halves_it_upwards(primitive, height, width, channels):
    x = images(2, channels, height, width)
    assert make(primitive, channels)(x).shape == x.shape
    assert make(primitive, channels, stride=2)(x).shape == (2, channels, (height + 1) // 2, (width + 1) // 2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("primitive", [name for name in ALL_PRIMITIVES if name != "none"])
def test_gradients_reach_the_input_and_every_weight(primitive, stride):
    x = images(2, 4, 7, 6).requires_grad_()
    op = make(primitive, stride=stride).train()
    (op(x) * images(2, 4, 7 // stride + 7 % stride, 6 // stride)).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in op.parameters())


@pytest.mark.parametrize("stride", [1, 2])
def test_none_is_zero_whatever_flows_in(stride):
    x = images(1, 2, 4, 4)
    x[0, 0, 0, 0] = torch.inf
    assert torch.equal(make("none", stride=stride)(x), torch.zeros(1, 2, 4 // stride, 4 // stride, dtype=x.dtype))


def test_a_skip_connection_of_stride_1_is_the_identity_itself():
    x = images(1, 4, 3, 3)
    assert make("skip_connect")(x) is x


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("primitive", ["max_pool_3x3", "avg_pool_3x3", "max_pool_2x2"])
def test_pooling_does_not_see_its_padding(primitive, stride):
    x = torch.full((1, 4, 5, 5), -2.0, dtype=torch.float64)
    assert torch.allclose(make(primitive, stride=stride)(x), x[:, :, ::stride, ::stride])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_pool_of_2x2_takes_the_largest_of_four_or_of_those_that_there_are(stride):
    x = images(1, 2, 5, 6)
    found = make("max_pool_2x2", stride=stride)(x)
    for row, column in ((0, 0), (2, 4), (4, 5), (4, 2)):
        if row % stride == column % stride == 0:
            four = x[:, :, row : row + 2, column : column + 2]
            assert torch.equal(found[:, :, row // stride, column // stride], four.amax((2, 3)))


@pytest.mark.parametrize(
    ("primitive", "reach"),
    [
        ("sep_conv_3x3", range(-2, 3)),
        ("sep_conv_5x5", range(-4, 5)),
        ("sep_conv_7x7", range(-6, 7)),
        ("dil_conv_3x3", (-2, 0, 2)),
        ("dil_conv_5x5", (-4, -2, 0, 2, 4)),
        ("conv_7x1_1x7", range(-3, 4)),
        ("conv_1x1", range(1)),
        ("bottleneck_3x3", range(-1, 2)),
        ("nor_conv_1x1", range(1)),
        ("nor_conv_3x3", range(-1, 2)),
    ],
)
def test_a_convolution_sees_the_pixels_that_its_name_says(primitive, reach):
    x = torch.ones(1, 2, 15, 15, dtype=torch.float64, requires_grad=True)
    op = make(primitive, channels=2)
    for module in op.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)  # so that no ReLU hides a pixel
    op(x)[0, :, 7, 7].sum().backward()
    seen = x.grad[0, 0].nonzero() - 7
    assert sorted(map(tuple, seen.tolist())) == [(row, column) for row in reach for column in reach]


@pytest.mark.parametrize(
    ("primitive", "count"),
    [
        ("sep_conv_3x3", 2 * (9 * 6 + 36 + 12)),
        ("sep_conv_5x5", 2 * (25 * 6 + 36 + 12)),
        ("sep_conv_7x7", 2 * (49 * 6 + 36 + 12)),
        ("dil_conv_3x3", 9 * 6 + 36 + 12),
        ("dil_conv_5x5", 25 * 6 + 36 + 12),
        ("conv_7x1_1x7", 2 * 7 * 36 + 12),
        ("conv_1x1", 36 + 12),
        ("nor_conv_1x1", 36 + 12),
        ("nor_conv_3x3", 9 * 36 + 12),
        ("bottleneck_3x3", (6 + 2) + (9 + 2) + (6 + 12)),
        ("max_pool_3x3", 0),
        ("avg_pool_3x3", 0),
        ("max_pool_2x2", 0),
        ("none", 0),
    ],
)
def test_parameters_are_those_of_the_formula_and_convolutions_have_no_bias(primitive, count):
    for stride in (1, 2):
        assert sum(parameter.numel() for parameter in make(primitive, 6, stride).parameters()) == count


@pytest.mark.parametrize("primitive", ALL_PRIMITIVES)
def test_without_affine_no_batch_norm_learns_anything(primitive):
    norms = [m for m in make(primitive, stride=2, affine=False).modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.weight is None and norm.bias is None for norm in norms)
    assert bool(norms) == (primitive != "none" and "pool" not in primitive)


def test_factorized_reduce_of_an_even_size_is_two_strided_convolutions_one_of_them_shifted():
    x = images(2, 3, 6, 4)
    reduce = FactorizedReduce(3, 4, affine=True).double().eval()
    strided = [
        nn.functional.conv2d(x.relu(), reduce.conv_1.weight, stride=2),
        nn.functional.conv2d(x.relu()[:, :, 1:, 1:], reduce.conv_2.weight, stride=2),
    ]
    assert torch.allclose(reduce(x), reduce.bn(torch.cat(strided, dim=1)))


def test_factorized_reduce_of_an_odd_size_takes_the_missing_row_and_column_for_zeros():
    x = images(2, 3, 5, 7)
    reduce = FactorizedReduce(3, 4, affine=True).double().eval()
    padded = nn.functional.pad(x, (0, 1, 0, 1))
    out = reduce(x)
    assert torch.allclose(out, reduce(padded))
    assert out[:, 2:, -1].count_nonzero() == 0
    assert out[:, 2:, :, -1].count_nonzero() == 0
    assert out[:, :2, -1].count_nonzero() > 0


@pytest.mark.parametrize(("channels", "halves"), [(1, (1, 0)), (3, (2, 1)), (5, (3, 2)), (6, (3, 3))])
def test_factorized_reduce_gives_the_first_convolution_the_odd_channel(channels, halves):
    reduce = FactorizedReduce(2, channels, affine=False).double()
    second = 0 if reduce.conv_2 is None else reduce.conv_2.out_channels
    assert (reduce.conv_1.out_channels, second) == halves
    assert reduce(images(2, 2, 5, 5)).shape == (2, channels, 3, 3)


def test_relu_conv_bn_rectifies_before_it_convolves():
    block = ReluConvBN(3, 5, affine=True).double()
    x = images(2, 3, 4, 4)
    assert block(x).shape == (2, 5, 4, 4)
    assert torch.equal(block(x), block(x.relu()))


@pytest.mark.parametrize("primitive", ALL_PRIMITIVES)
@pytest.mark.parametrize("stride", [1, 2])
def test_channels_last_maps_stay_channels_last(primitive, stride):
    x = images(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    assert make(primitive, 8, stride)(x).is_contiguous(memory_format=torch.channels_last)


def test_a_misspelt_primitive_is_refused_with_the_right_name():
    with pytest.raises(InputError, match=r"unknown primitive 'sep_conv3x3'.*'sep_conv_3x3'"):
        make("sep_conv3x3")


@pytest.mark.parametrize(("channels", "stride"), [(0, 1), (4, 3), (4, 0)])
def test_no_channels_and_other_strides_are_refused(channels, stride):
    with pytest.raises(InputError, match=f"{channels} channels and stride {stride}"):
        make("sep_conv_3x3", channels, stride)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("primitive", ALL_PRIMITIVES)
def test_an_operation_that_begins_with_a_relu_can_share_it(primitive, stride):
    op, x = make(primitive, stride=stride), images(2, 4, 7, 6)
    if isinstance(op, ReluFirst | FactorizedReduce):
        assert torch.equal(op.after_relu(x.relu()), op(x))
    else:
        assert primitive in ("none", "skip_connect") or "pool" in primitive


@pytest.mark.parametrize("shape", [(4, 6), (5, 4), (3, 7), (1, 1)])
def test_alternate_pixels_are_two_slices_with_a_channels_last_gradient(shape):
    x = images(2, 3, *shape).requires_grad_()
    even, odd = alternate_pixels(x)
    assert torch.equal(even, x[:, :, ::2, ::2])
    assert torch.equal(odd[:, :, : shape[0] // 2, : shape[1] // 2], x[:, :, 1::2, 1::2])
    assert odd.sum().isclose(x[:, :, 1::2, 1::2].sum())
    assert torch.autograd.gradcheck(alternate_pixels, x)
    (gradient,) = torch.autograd.grad(even.square().sum() + odd.sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
