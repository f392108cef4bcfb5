"""The supernet of a space that differs from the paper's in every field: the plain path equals the reference."""

import pytest
import torch

from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.supernet import Supernet
from small_space import SPACE


def make(k: int, sampling: str) -> tuple[Supernet, ArchParameters, torch.Tensor]:
    torch.manual_seed(k)
    arch = ArchParameters(SPACE).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=k, channel_sampling=sampling).double()
    return supernet, arch, torch.randn(2, 3, 5, 6, dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("k", "sampling"), [(1, "first"), (2, "first"), (2, "random")])
def test_plain_equals_the_reference_in_outputs_and_all_gradients(k, sampling, training):
    supernet, arch, images = make(k, sampling)
    supernet.train(training)
    masks = supernet.draw_masks() if supernet.samples_randomly else None
    inputs = [images.requires_grad_(), *arch.parameters(), *supernet.parameters()]
    found = []
    for compute in (supernet, lambda *given: reference.supernet(supernet, *given)):
        logits = compute(images, arch.mixture(), masks)
        gradients = torch.autograd.grad(logits.square().sum(), inputs, allow_unused=True)
        found.append(
            [logits, *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients, strict=True))]
        )
    for ours, literal in zip(*found, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-9, atol=1e-9)
    assert sum(gradient.ne(0).any().item() for gradient in found[0]) > len(found[0]) // 2


def test_its_cells_have_one_input_and_never_halve_the_maps():
    supernet, _, _ = make(2, "first")
    assert all(cell.plan.kind == "normal" and len(cell.preprocessing) == 1 for cell in supernet.cells)
    assert supernet.classifier.in_features == 4


def test_a_weight_that_the_space_does_not_allow_is_refused():
    supernet, arch, images = make(2, "first")
    mixture = arch.mixture().detach()
    mixture.op_weights["normal"][1, 3] = 0.25
    with pytest.raises(InputError, match=r"on edge 1 of the normal cells sep_conv_3x3 is not allowed.* weight 0.25"):
        supernet(images, Mixture(mixture.op_weights, mixture.edge_weights))


def test_the_native_kernels_are_for_the_papers_cells_and_auto_is_plain_elsewhere():
    supernet, _, _ = make(2, "first")
    assert supernet.kernels == "plain"
    assert supernet.why_not_native == "the native ones compute the cells of the paper alone"
    with pytest.raises(InputError, match=r'kernels is "native", but .*: use "plain"'):
        supernet.kernels = "native"


def test_a_primitive_without_an_operation_is_refused_by_name():
    with pytest.raises(InputError, match="a supernet has no operation nor_conv_3x3: use none, max_pool_3x3"):
        Supernet(CellSpace(4, primitives=("none", "nor_conv_3x3")))
