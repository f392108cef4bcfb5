"""Search in mixed precision, with plain kernels: near float32, in everything that a search steps along."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.ops.precision import has_bf16
from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.native import cells as native
from pcdarts.supernet.plain.by_source import parameters
from pcdarts.supernet.plain.per_source import CellPass
from pcdarts.supernet.supernet import Supernet

with_bf16 = pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bfloat16 arithmetic")
SCALE = 2.0**12
"""Of the loss in float16, whose gradients are too small without."""


def make(k: int, sampling: str) -> tuple[Supernet, ArchParameters, tuple[Tensor, list[Tensor] | None]]:
    torch.manual_seed(0)
    arch = ArchParameters(CellSpace())
    for parameter in arch.parameters():
        parameter.data.normal_(0, 0.3)
    supernet = Supernet(arch.space, channels=8, num_cells=3, k=k, channel_sampling=sampling, kernels="plain")
    return supernet, arch, (torch.randn(8, 3, 32, 32), supernet.draw_masks() if sampling == "random" else None)


@with_bf16
@pytest.mark.parametrize(("k", "sampling"), [(4, "first"), (2, "random")])
def test_bf16_logits_and_gradients_are_near_those_of_float32(k, sampling):
    # Measured: 0.3 %; 2.0 % with the first channels, 3.2 % with random ones; 10.5 % and 4.6 %.
    check_near_float32(*make(k, sampling), "bf16", (0.01, 0.08, 0.2))


def test_fp16_logits_and_gradients_with_a_scaled_loss_are_near_those_of_float32():
    # Measured: 0.06 %, 1.1 % and 4.5 %. Few and small images: most processors take long.
    supernet, arch, (images, masks) = make(4, "first")
    check_near_float32(supernet, arch, (images[..., :16, :16], masks), "fp16", (0.003, 0.04, 0.1))


def check_near_float32(supernet, arch, batch, amp, tolerances):
    images, masks = batch
    found = []
    for precision in ("off", amp):
        supernet.amp = precision
        scale = SCALE if precision == "fp16" else 1
        logits = supernet(images, arch.mixture(), masks)
        assert logits.dtype == torch.float32
        wanted = [*supernet.parameters(), *arch.parameters()]
        gradients = torch.autograd.grad(scale * F.cross_entropy(logits, torch.arange(8)), wanted)
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        flat = [gradient.flatten() / scale for gradient in gradients]
        weights = len(list(supernet.parameters()))
        found.append((logits.detach(), torch.cat(flat[:weights]), torch.cat(flat[weights:])))
    for exact, rounded, tolerance in zip(*found, tolerances, strict=True):
        assert 0 < (rounded - exact).norm() < tolerance * exact.norm()


def test_sums_and_statistics_of_numbers_that_float16_cannot_add_up_are_finite():
    supernet, arch, (images, _) = make(4, "first")
    supernet.amp = "fp16"
    images = 1000 + images[:2, :, :16, :16]  # the sum of a channel is 512,000, of its squares 512,000,000
    supernet.stem[0].weight.data.abs_()
    logits = supernet(images, arch.mixture())
    (SCALE * logits.square().sum()).backward()
    tensors = [logits, *(p.grad for p in [*supernet.parameters(), *arch.parameters()]), *supernet.buffers()]
    assert all(tensor.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_mixture_stays_float32_and_is_not_rounded(dtype):
    supernet, arch, _ = make(4, "first")
    with torch.autocast("cpu", dtype=dtype):
        mixture = arch.mixture()
    op_weights, edge_weights = mixture.op_weights["normal"], mixture.edge_weights["normal"]
    assert torch.equal(op_weights, arch.mixture().op_weights["normal"])
    cell = supernet.cells[0]
    inputs = [torch.randn(2, 8, 6, 6, dtype=dtype).contiguous(memory_format=torch.channels_last) for _ in range(2)]
    with torch.no_grad():
        cell_pass = CellPass(cell, None, WholeBatch(2, False))
        output, saved = cell_pass.forward(inputs, op_weights, edge_weights, tuple(parameters(cell.operations)))
    assert output.dtype == dtype
    assert torch.equal(saved.op_weights, op_weights)
    assert torch.equal(saved.edge_weights, edge_weights)


@with_bf16
def test_evaluation_and_running_statistics_are_in_float32():
    supernet, arch, (images, _) = make(4, "first")
    supernet.amp = "bf16"
    supernet(images, arch.mixture())
    assert {buffer.dtype for buffer in supernet.buffers() if buffer.is_floating_point()} == {torch.float32}
    found = supernet.eval()(images, arch.mixture())
    supernet.amp = "off"
    assert torch.equal(found, supernet(images, arch.mixture()))


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_only_the_plain_kernels_compute_in_mixed_precision(amp):
    supernet, arch, (images, _) = make(4, "first")
    supernet.amp, supernet.kernels = amp, "auto"
    assert supernet.kernels == "plain"
    if native.available():
        supernet.kernels = "native"
        with pytest.raises(InputError, match=f"amp is {amp}, but kernels is native"):
            supernet(images, arch.mixture())
