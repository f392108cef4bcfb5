"""The supernet of the search equals the literal Eqs. (1) and (2): outputs and every gradient, in float64."""

import pytest
import torch
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import Supernet

CHANNELS = 8


def make(k: int, *, nodes: int = 6, sampling: str = "first", kind: str = "cifar", edge_normalization: bool = True):
    torch.manual_seed(k + nodes)
    space = CellSpace(nodes)
    arch = ArchParameters(space, edge_normalization).double()
    with torch.no_grad():
        for parameter in arch.parameters():
            parameter.normal_()
    # Three cells: a normal one, a reduction cell, and a reduction cell whose first input is halved.
    supernet = Supernet(
        space, kind=kind, channels=CHANNELS, num_cells=3, num_classes=4, k=k, channel_sampling=sampling
    ).double()
    return supernet, arch


def outputs_and_gradients(function, supernet, arch, images: Tensor, masks) -> tuple[Tensor, dict[str, Tensor]]:
    images = images.clone().requires_grad_()
    logits = function(images, arch.mixture(), masks)
    weighting = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    named = {"images": images, **dict(supernet.named_parameters()), **dict(arch.named_parameters())}
    gradients = torch.autograd.grad((logits * weighting).sum() + (logits**2).sum(), list(named.values()))
    return logits, dict(zip(named, gradients, strict=True))


def assert_equal_to_the_reference(supernet, arch, images: Tensor, masks=None) -> None:
    literal = outputs_and_gradients(
        lambda images, mixture, masks: reference.supernet(supernet, images, mixture, masks),
        supernet,
        arch,
        images,
        masks,
    )
    fast = outputs_and_gradients(supernet, supernet, arch, images, masks)
    torch.testing.assert_close(fast[0], literal[0], rtol=1e-9, atol=1e-10)
    for name, gradient in literal[1].items():
        torch.testing.assert_close(
            fast[1][name], gradient, rtol=1e-7, atol=1e-8, msg=lambda text, name=name: f"gradient of {name}: {text}"
        )


def draw_images(size: tuple[int, int] = (8, 8)) -> Tensor:
    return torch.randn(3, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("sampling", ["first", "random"])
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_every_k_equals_the_reference(k: int, sampling: str) -> None:
    supernet, arch = make(k, sampling=sampling)
    masks = supernet.draw_masks() if sampling == "random" else None
    assert_equal_to_the_reference(supernet, arch, draw_images(), masks)
