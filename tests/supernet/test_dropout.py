"""Dropout behind the skips of stride 1: the plain path equals the reference, and it drops what its rate says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters, Mixture, SkipDropout
from pcdarts.supernet.dropout import Dropping
from pcdarts.supernet.native import cells as native
from pcdarts.supernet.supernet import Supernet

FIRST_HALF = torch.tensor([[column % 2 == edge % 2 for column in range(8)] for edge in range(14)])
IMAGES = torch.randn(3, 3, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def make(k: int = 4, sampling: str = "first", kernels: str = "plain") -> tuple[Supernet, ArchParameters]:
    """A normal cell and two that reduce."""
    torch.manual_seed(k)
    space = CellSpace()
    arch = ArchParameters(space).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    sizes = {"channels": 8, "num_cells": 3, "num_classes": 4, "k": k}
    supernet = Supernet(space, **sizes, channel_sampling=sampling, kernels=kernels)  # type: ignore[arg-type]
    return supernet.double(), arch


def dropped(mixture: Mixture, rate: float = 0.4) -> Mixture:
    """With dropout whose numbers are the same whenever this is called."""
    return replace(mixture, skip_dropout=SkipDropout(rate, torch.Generator().manual_seed(1)))


def half(mixture: Mixture) -> Mixture:
    """With half of the operations: on every second edge there is no skip."""
    return replace(mixture, op_weights={kind: each * FIRST_HALF for kind, each in mixture.op_weights.items()})


def whole(mixture: Mixture) -> Mixture:
    return mixture


@pytest.mark.parametrize(
    ("k", "sampling", "part"),
    [(1, "first", whole), (4, "first", whole), (4, "random", whole), (2, "first", half), (2, "random", half)],
)
def test_plain_equals_the_reference_in_outputs_and_all_gradients(k: int, sampling: str, part: object) -> None:
    supernet, arch = make(k, sampling)
    masks = supernet.draw_masks() if supernet.samples_randomly else None
    inputs = [IMAGES.clone().requires_grad_(), *arch.parameters(), *supernet.parameters()]
    found = []
    for compute in (supernet, lambda *given: reference.supernet(supernet, *given)):
        logits = compute(inputs[0], dropped(part(arch.mixture())), masks)  # type: ignore[operator]
        weighting = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
        loss = (logits * weighting).sum() + logits.square().sum()
        found.append([logits, *torch.autograd.grad(loss, inputs, materialize_grads=True)])
    for ours, literal in zip(*found, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-8, atol=1e-9 * (1 + literal.abs().max().item()))
    assert not torch.allclose(found[0][0], supernet(IMAGES, part(arch.mixture()), masks))  # type: ignore[operator]


def test_a_backward_pass_can_be_repeated() -> None:
    supernet, arch = make()
    loss = supernet(IMAGES, dropped(arch.mixture())).square().sum()
    first = torch.autograd.grad(loss, list(arch.parameters()), retain_graph=True)
    for once, again in zip(first, torch.autograd.grad(loss, list(arch.parameters())), strict=True):
        assert torch.equal(once, again)


@pytest.mark.parametrize("kernels", ["plain", "native"])
def test_evaluation_and_a_rate_of_zero_drop_nothing(kernels: str) -> None:
    if kernels == "native" and not native.available():
        pytest.skip("no C++ compiler here")
    supernet, arch = make(kernels=kernels)
    mixture = arch.mixture().detach()
    assert torch.equal(supernet(IMAGES, dropped(mixture, 0.0)), supernet(IMAGES, mixture))
    assert not torch.allclose(supernet(IMAGES, dropped(mixture)), supernet(IMAGES, mixture))
    supernet.eval()
    assert torch.equal(supernet(IMAGES, dropped(mixture)), supernet(IMAGES, mixture))


def test_every_pass_drops_other_numbers_and_the_generator_says_which() -> None:
    supernet, arch = make()

    def passes() -> list[Tensor]:
        mixture = dropped(arch.mixture().detach())
        return [supernet(IMAGES, mixture) for _ in range(2)]

    (first, second), again = passes(), passes()
    assert not torch.equal(first, second)
    assert [torch.equal(x, y) for x, y in zip((first, second), again, strict=True)] == [True, True]


def test_as_many_numbers_are_dropped_as_the_rate_says_others_on_every_edge() -> None:
    dropping = Dropping(SkipDropout(0.3, torch.Generator().manual_seed(0)), torch.device("cpu"))
    x = torch.ones(8, 5, 40, 50)
    kept = dropping.kept(x)
    deviation = (0.3 * 0.7 / x.numel()) ** 0.5
    assert abs(1 - kept.double().mean().item() - 0.3) < 4 * deviation
    assert dropping.scale * 0.7 == pytest.approx(1)  # which keeps the mean
    assert not torch.equal(dropping.kept(x), kept)
