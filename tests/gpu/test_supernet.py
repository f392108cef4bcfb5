"""The supernet on a GPU: Eqs. (1) and (2) to the letter in float64, and near them in every precision that it knows."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import search_steps
from on_a_gpu import (
    CPU,
    PRECISIONS,
    amp_of,
    can_compute,
    check_equal,
    draw_images,
    errors_by_kind,
    make_supernet,
    outputs_and_gradients,
    products_in,
)
from pcdarts.learn.steps import one_operation
from pcdarts.run.processes import ALONE
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import Supernet

Found = dict[str, dict[str, Tensor]]

CASES = {
    **{f"K = {k}, {way}": ({"k": k, "sampling": way}, (3, 3, 8, 8)) for k in (1, 2, 4) for way in ("first", "random")},
    **{
        f"{nodes} nodes, {way}": ({"nodes": nodes, "sampling": way}, (3, 3, 8, 8))
        for nodes in (5, 7)
        for way in ("first", "random")
    },
    "7 x 7 pixels": ({}, (3, 3, 7, 7)),
    "9 x 6 pixels, random": ({"sampling": "random"}, (3, 3, 9, 6)),
    "5 x 11 pixels": ({"k": 2}, (2, 3, 5, 11)),
    "an odd number of sampled channels": ({"k": 2, "channels": 6}, (3, 3, 8, 8)),
    "a single sampled channel": ({"channels": 4}, (3, 3, 8, 8)),
    "many channels": ({"k": 1, "channels": 36, "nodes": 4}, (2, 3, 6, 6)),
    "stem of stride 2": ({"k": 2, "channels": 4, "kind": "stride2"}, (2, 3, 13, 16)),
    "stem of stride 4": ({"k": 2, "channels": 4, "kind": "stride4"}, (2, 3, 24, 18)),
    "stem for ImageNet, random": ({"k": 2, "channels": 4, "kind": "imagenet", "sampling": "random"}, (2, 3, 40, 32)),
}


def passes(
    supernet: Supernet,
    arch: ArchParameters,
    images: Tensor,
    masks: list[Tensor] | None,
    literal: bool = False,
    one: bool = False,
) -> Found:
    """One pass forward and back: by `reference.py`, or by the supernet itself; or with one operation on every edge."""

    def compute(images: Tensor) -> Tensor:
        mixture = arch.mixture()
        if one:
            mixture = one_operation(mixture, torch.Generator().manual_seed(6))
        return reference.supernet(supernet, images, mixture, masks) if literal else supernet(images, mixture, masks)

    return outputs_and_gradients(compute, {"weights": supernet, "alpha and beta": arch}, images)


def masks_of(supernet: Supernet) -> list[Tensor] | None:
    drawn = torch.Generator().manual_seed(5)
    return supernet.draw_masks(drawn) if supernet.channel_sampling == "random" else None


def moved(device: torch.device, *modules: nn.Module) -> list[nn.Module]:
    return [deepcopy(module).to(device) for module in modules]


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_with_one_operation_on_every_edge_it_is_the_reference_too(device: torch.device, sampling: str) -> None:
    supernet, arch = make_supernet(sampling=sampling)
    images = draw_images(3, 3, 8, 8)
    expected = passes(supernet, arch, images, masks_of(supernet), literal=True, one=True)
    there, arch_there = moved(device, supernet, arch)
    check_equal(passes(there, arch_there, images.to(device), masks_of(there), one=True), expected)


EVALUATED = ("K = 1, first", "K = 4, first", "K = 4, random", "9 x 6 pixels, random")


@pytest.mark.parametrize(
    ("case", "training"),
    [*((case, True) for case in CASES), *((case, False) for case in EVALUATED)],
    ids=[*CASES, *(f"{case}, evaluation" for case in EVALUATED)],
)
def test_in_float64_it_is_the_reference_there_and_on_the_cpu(device: torch.device, case: str, training: bool) -> None:
    options, shape = CASES[case]
    supernet, arch = make_supernet(**options)
    supernet.train(training)
    images = draw_images(*shape)
    expected = passes(supernet, arch, images, masks_of(supernet), literal=True)
    there, arch_there = moved(device, supernet, arch)
    masks = masks_of(there)
    check_equal(passes(there, arch_there, images.to(device), masks, literal=True), expected)
    check_equal(passes(there, arch_there, images.to(device), masks), expected)


# Relative errors of outputs and of the gradients of images, weights, α and β against float64 on the CPU. float32 has 24
# bits, of which sums over thousands of numbers and a dozen normalised layers lose some: 1e-6. TF32 multiplies numbers
# of 11 bits, whose roundings of 5e-4 mostly cancel in sums: 1e-3. bfloat16 has 8 bits, 4e-3 a rounding, in every map
# that is kept. A gradient sums signed terms, passes all layers twice, and turns where a rounding moves a ReLU or a
# maximum: the images' most of all.
# Measured on a CPU, worst of the cases: float32 1e-6, 4e-4, 3e-4 and 2e-5; bf16 0.020, 0.21, 0.16 and 0.15.
BOUNDS = {
    "float32": {"outputs": 2e-5, "images": 5e-3, "weights": 2e-3, "alpha and beta": 1e-3},
    "TF32": {"outputs": 5e-3, "images": 0.15, "weights": 0.1, "alpha and beta": 0.1},
    "bf16": {"outputs": 0.05, "images": 0.4, "weights": 0.35, "alpha and beta": 0.35},
}


@cache
def exact_pass(k: int, sampling: str) -> tuple[Tensor, Found]:
    """Images, and what the reference makes of them in float64 on the CPU."""
    supernet, arch = make_supernet(k, sampling=sampling, channels=16)
    images = draw_images(16, 3, 16, 16)
    return images, passes(supernet, arch, images, masks_of(supernet), literal=True)


@pytest.mark.parametrize(("k", "sampling"), [(1, "first"), (2, "random"), (4, "first"), (4, "random")])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_is_near_the_reference_in_float64(
    device: torch.device, precision: str, k: int, sampling: str, figure: Callable[[str, float], None]
) -> None:
    if not can_compute(precision, device):
        pytest.skip("no bfloat16 arithmetic here")
    supernet, arch = make_supernet(k, sampling=sampling, channels=16)
    images, exact = exact_pass(k, sampling)
    there, arch_there = moved(device, supernet.float(), arch.float())
    there.amp = amp_of(precision)
    with products_in(precision):
        found = passes(there, arch_there, images.float().to(device), masks_of(there))
    errors = errors_by_kind(found, exact)
    for kind, error in errors.items():
        figure(f"supernet, K = {k}, {sampling} channels, {precision}, {kind}", error)
    assert {kind: error for kind, error in errors.items() if error >= BOUNDS[precision][kind]} == {}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_evaluation_is_in_float32_whatever_the_precision_of_training(
    device: torch.device, precision: str, figure: Callable[[str, float], None]
) -> None:
    supernet, arch = make_supernet(channels=16)
    images = draw_images(16, 3, 16, 16)
    with torch.no_grad():
        exact = reference.supernet(supernet.eval(), images, arch.mixture())
        there, arch_there = moved(device, supernet.float(), arch.float())
        there.amp = amp_of(precision)
        with products_in(precision):
            found = there(images.float().to(device), arch_there.mixture())
    (error,) = errors_by_kind({"outputs": {"": found}}, {"outputs": {"": exact}}).values()
    figure(f"supernet, evaluation, {precision}", error)
    assert error < BOUNDS["TF32" if precision == "TF32" else "float32"]["outputs"]


@pytest.mark.parametrize("sampling", ["first", "random"])
@pytest.mark.parametrize(
    ("second_order", "parts"),
    [(False, 1), (True, 1), (True, 2)],
    ids=["first order", "second order", "second order in parts"],
)
def test_three_steps_of_a_search_in_float64_are_those_of_the_cpu(
    device: torch.device, second_order: bool, sampling: str, parts: int
) -> None:
    expected = search_steps.search(ALONE, second_order, sampling, parts, device=CPU)
    found = search_steps.search(ALONE, second_order, sampling, parts, device=device)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.device.type == device.type
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-8, atol=1e-9, msg=lambda t, n=name: f"{n}: {t}")
