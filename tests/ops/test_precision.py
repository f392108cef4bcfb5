"""Mixed precision: when it is on, and who is refused."""

from pathlib import Path

import pytest
import torch

from command_line import end_of
from forked import Forked
from pcdarts.errors import InputError
from pcdarts.ops.depthwise import depthwise_conv2d
from pcdarts.ops.precision import check_amp, has_bf16, has_fp16, mixed_precision

with_bf16 = pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bfloat16 arithmetic")


def test_off_changes_nothing_and_asks_for_nothing():
    x, weight = torch.randn(2, 3, 4, 4), torch.randn(3, 3, 1, 1)
    with mixed_precision("off", "meta"):
        assert torch.conv2d(x, weight).dtype == torch.float32


@pytest.mark.parametrize(
    ("amp", "dtype"), [pytest.param("bf16", torch.bfloat16, marks=with_bf16), ("fp16", torch.float16)]
)
def test_mixed_precision_convolves_in_its_type_and_ends_with_its_block(amp, dtype):
    x, weight = torch.randn(2, 3, 4, 4), torch.randn(3, 3, 1, 1)
    with mixed_precision(amp, "cpu"):
        assert torch.conv2d(x, weight).dtype == dtype
    assert torch.conv2d(x, weight).dtype == torch.float32


def test_every_cpu_takes_float16_because_pytorch_computes_it_on_all_of_them():
    assert has_fp16("cpu")
    check_amp("fp16", "cpu")


def test_a_device_without_bfloat16_is_refused_in_one_line():
    check_amp("off", "meta")
    with pytest.raises(InputError, match=r"^amp is bf16, but this meta device has no bfloat16 .*: use --amp off$"):
        check_amp("bf16", "meta")
    with pytest.raises(InputError, match=r"^amp is fp16, but a meta device has no float16 .*: use --amp off$"):
        check_amp("fp16", "meta")


def test_another_precision_is_refused():
    with pytest.raises(InputError, match="amp is 'fp8', but it must be off, bf16 or fp16"):
        mixed_precision("fp8", "cpu")


@pytest.mark.parametrize("amp", [pytest.param("bf16", marks=with_bf16), "fp16"])
@pytest.mark.parametrize(("size", "dilation", "stride"), [(3, 1, 1), (5, 1, 1), (3, 2, 2), (5, 2, 1), (5, 1, 2)])
def test_a_depthwise_convolution_in_half_precision_is_near_the_one_in_float32(size, dilation, stride, amp):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 9, 8, requires_grad=True), torch.randn(4, 1, size, size, requires_grad=True)
    results = []
    for precision in ("off", amp):
        with mixed_precision(precision, "cpu"):
            out = depthwise_conv2d(x, weight, stride, dilation)
        weighting = torch.ones_like(out).cumsum(dim=3) / 8
        results.append([out.float(), *torch.autograd.grad(out, (x, weight), weighting)])
    assert results[1][1].dtype == results[1][2].dtype == torch.float32
    for exact, rounded in zip(*results, strict=True):
        assert (rounded - exact).norm() < 0.01 * exact.norm()


WITHOUT_BF16 = """
import sys
import pytest
from pcdarts.ops.precision import has_bf16

if has_bf16("cpu"):
    sys.exit(77)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_a_supernet_computes_on_a_processor_without_bfloat16(tmp_path):
    # oneDNN is told to use AVX2 alone: on any x86 processor it then says and refuses what it does on an older one.
    claims = Path(__file__).parents[1] / "supernet" / "test_precision.py"
    names = "mixture_stays_float32 or sums_and_statistics or only_the_plain_kernels"
    started = Forked(tmp_path, str(claims), "-k", names, code=WITHOUT_BF16, environment={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    ended = end_of(started)
    if ended.code == 77:
        pytest.skip("this processor has bfloat16 beside AVX2")
    assert ended.code == 0, ended.out + ended.err
    assert "5 passed" in ended.out
