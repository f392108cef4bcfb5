"""The supernet of a space that differs from the paper's in every field: the plain path equals the reference."""

import pytest
import torch

from pcdarts.cell.derive import derive
from pcdarts.cell.space import PRIMITIVES, CellSpace
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
    with pytest.raises(InputError, match="a supernet has no operation conv_9x9: use none, max_pool_3x3"):
        Supernet(CellSpace(4, primitives=("none", "conv_9x9")))


# Primitives for which there are no stacked weights: computed by the reference, from modules of every edge.

WITH_ONE_MORE = CellSpace(4, primitives=(*PRIMITIVES[:5], "sep_conv_7x7", *PRIMITIVES[5:]))


def weights_of_modules(operations: torch.nn.Module, edge: int) -> dict[str, torch.Tensor]:
    """The weights of one edge of stacked operations, by the names that they have in the modules of an edge."""
    found = {}
    for name in ("sep_conv_3x3", "sep_conv_5x5"):
        stages = getattr(operations, name)
        for position, stage in ((1, stages.first), (5, stages.second)):
            found[f"{name}.{position}.weight"] = stage.depthwise[edge].unsqueeze(1)
            found[f"{name}.{position + 1}.weight"] = stage.pointwise[edge][:, :, None, None]
    for name in ("dil_conv_3x3", "dil_conv_5x5"):
        stage = getattr(operations, name)
        found[f"{name}.1.weight"] = stage.depthwise[edge].unsqueeze(1)
        found[f"{name}.2.weight"] = stage.pointwise[edge][:, :, None, None]
    if operations.strided and (position := int(operations.reduced_skip.position[edge])) >= 0:
        for name, half in (("conv_1", operations.reduced_skip.even), ("conv_2", operations.reduced_skip.odd)):
            found[f"skip_connect.{name}.weight"] = half[position][:, :, None, None]
    return found


def with_and_without(k: int, sampling: str) -> tuple[Supernet, Supernet]:
    """A supernet of the space with a primitive more, and one of the paper's space with the same weights."""
    sizes = {"channels": 4, "num_cells": 3, "num_classes": 3, "k": k, "channel_sampling": sampling}
    torch.manual_seed(0)
    more, paper = (Supernet(space, kernels="plain", **sizes).double() for space in (WITH_ONE_MORE, CellSpace(4)))
    state = more.state_dict()
    paper.load_state_dict({n: x for n, x in state.items() if ".modules_of_edges." not in n}, strict=False)
    for ours, cell in zip(more.cells, paper.cells, strict=True):
        for edge, modules in enumerate(ours.modules_of_edges.edges):
            missing = modules.load_state_dict(weights_of_modules(cell.operations, edge), strict=False).missing_keys
            assert not [name for name in missing if name.endswith("weight") and "7x7" not in name]
    return more, paper


@pytest.mark.parametrize(("k", "sampling"), [(1, "first"), (2, "random")])
def test_a_further_primitive_of_weight_zero_changes_nothing(k, sampling):
    more, paper = with_and_without(k, sampling)
    arch, images = ArchParameters(CellSpace(4)).double(), torch.randn(2, 3, 9, 8, dtype=torch.float64)
    for parameter in arch.parameters():
        parameter.data.normal_()
    masks = more.draw_masks() if k > 1 else None
    found = []
    for supernet in (more, paper):
        mixture = arch.mixture()
        if supernet is more:
            wide = {kind: torch.cat([w[:, :5], 0 * w[:, :1], w[:, 5:]], 1) for kind, w in mixture.op_weights.items()}
            mixture = Mixture(wide, mixture.edge_weights)
        inputs = [images.requires_grad_(), *arch.parameters()]
        logits = supernet(images, mixture, masks)
        trained = [logits, *torch.autograd.grad(logits.square().sum(), inputs)]
        supernet.eval()
        found.append([*trained, supernet(images, mixture, masks)])  # by the running statistics
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


def test_a_further_primitive_learns_and_is_derived():
    torch.manual_seed(0)
    supernet, arch = Supernet(WITH_ONE_MORE, channels=4, num_cells=3, num_classes=3, k=2), ArchParameters(WITH_ONE_MORE)
    arch.alpha["normal"].data[:, 5] = 9
    supernet(torch.randn(2, 3, 8, 8), arch.mixture()).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in supernet.parameters())
    assert arch.alpha["normal"].grad[:, 5].ne(0).any()
    genotype = derive(arch)
    assert {primitive for primitive, _ in genotype.normal} == {"sep_conv_7x7"}
    with pytest.raises(InputError, match="amp is bf16, but a space with other primitives than the paper's needs float"):
        Supernet(WITH_ONE_MORE, amp="bf16")
