"""The networks that are trained, on a GPU: what they compute on the CPU, in every precision that they know."""

from collections.abc import Callable
from copy import deepcopy
from statistics import median

import pytest
import torch
from torch import Tensor

import search_steps
from on_a_gpu import (
    CPU,
    PRECISIONS,
    amp_of,
    can_compute,
    check_equal,
    draw_images,
    errors_by_kind,
    outputs_and_gradients,
    products_in,
    relative_error,
)
from pcdarts.cell.zoo import published
from pcdarts.detect.detector import Detector
from pcdarts.network import parts as blocks
from pcdarts.network.network import Network
from pcdarts.network.parts import draw_share
from pcdarts.run.processes import ALONE

Found = dict[str, dict[str, Tensor]]
CASES = {
    "CIFAR": ("pc_darts_cifar10", "cifar", (3, 3, 32, 32)),
    "CIFAR, 17 x 21 pixels": ("darts_v2", "cifar", (3, 3, 17, 21)),
    "ImageNet": ("pc_darts_imagenet", "imagenet", (2, 3, 65, 80)),
}


@pytest.fixture
def shares_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every device drops the paths that the CPU draws; left alone it draws its own, from the same seed."""

    def drawn(like: Tensor, drop_path: float) -> Tensor:
        return draw_share(torch.empty(len(like), dtype=torch.float64), drop_path).to(like)

    monkeypatch.setattr(blocks, "draw_share", drawn)


def make_network(genotype: str, kind: str, channels: int = 6, **others: float) -> Network:
    torch.manual_seed(0)
    sizes = {"kind": kind, "channels": channels, "num_cells": 3, "num_classes": 5}
    return Network(published(genotype), **sizes, **({"drop_path": 0.3, "auxiliary": True} | others)).double()


def one_pass(network: Network, images: Tensor) -> Found:
    """Outputs, those of the auxiliary head too in training, and all gradients."""
    torch.manual_seed(3)  # of drop-path

    def compute(images: Tensor) -> Tensor:
        logits = network(images)
        return torch.cat(logits, dim=1) if isinstance(logits, tuple) else logits

    if not network.training and network.auxiliary_head is not None:
        for parameter in network.auxiliary_head.parameters():
            parameter.requires_grad_(False)
    learnt = torch.nn.ParameterList(parameter for parameter in network.parameters() if parameter.requires_grad)
    return outputs_and_gradients(compute, {"weights": learnt}, images)


@pytest.mark.usefixtures("shares_of_the_cpu")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", CASES)
def test_in_float64_a_network_is_that_of_the_cpu(device: torch.device, case: str, training: bool) -> None:
    genotype, kind, shape = CASES[case]
    network = make_network(genotype, kind).train(training)
    there = deepcopy(network).to(device)
    images = draw_images(*shape)
    check_equal(one_pass(there, images.to(device)), one_pass(network, images))
    for name, buffer in there.named_buffers():
        torch.testing.assert_close(buffer.cpu(), network.get_buffer(name), rtol=1e-9, atol=1e-10)


# The median of some batches: where a rounding moves a ReLU or a maximum, a gradient turns, and
# a few such places are enough: with 16 images of 32x32 pixels, drop-path and the auxiliary head, which normalises 16
# values per channel, float32 errors of the images' gradient lay between 2e-4 and 1.3e-2 in six batches on a CPU, and
# were 7.9e-2 on an H100. Batches as small as these rarely have such a place: 2e-6 in each of nine on a CPU.
BOUNDS = {
    "float32": {"outputs": 5e-5, "images": 1e-4, "weights": 1e-4},
    "TF32": {"outputs": 5e-3, "images": 0.3, "weights": 0.15},
    "bf16": {"outputs": 0.05, "images": 0.6, "weights": 0.4},
}
BATCHES = 5


def errors_of_batches(network: Network, precision: str, device: torch.device, side: int) -> dict[str, float]:
    """The median errors of outputs and gradients, against the same network in float64 on the CPU."""
    there = deepcopy(network).float().to(device, memory_format=torch.channels_last)
    there.amp = amp_of(precision)
    found = []
    for images in draw_images(BATCHES * 4, 3, side, side).chunk(BATCHES):
        exact = one_pass(network, images)
        with products_in(precision):
            found.append(errors_by_kind(one_pass(there, images.float().to(device)), exact))
    return {kind: median(errors[kind] for errors in found) for kind in found[0]}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_is_near_that_in_float64(
    device: torch.device, precision: str, figure: Callable[[str, float], None]
) -> None:
    if not can_compute(precision, device):
        pytest.skip("no bfloat16 arithmetic here")
    network = make_network("pc_darts_cifar10", "cifar", channels=16, drop_path=0.0, auxiliary=False)
    errors = errors_of_batches(network, precision, device, 16)
    for kind, error in errors.items():
        figure(f"network, {precision}, {kind}", error)
    assert {kind: error for kind, error in errors.items() if error >= BOUNDS[precision][kind]} == {}


@pytest.mark.usefixtures("shares_of_the_cpu")
@pytest.mark.parametrize("others", [{"auxiliary": False}, {"drop_path": 0.0}], ids=["drop-path", "auxiliary head"])
def test_what_drop_path_and_the_auxiliary_head_add_to_the_errors_of_float32(
    device: torch.device, others: dict[str, float], figure: Callable[[str, float], None], request: pytest.FixtureRequest
) -> None:
    """The gradients' errors are noted and have no bound but that of being near: see above why."""
    network = make_network("pc_darts_cifar10", "cifar", channels=16, **others)
    errors = errors_of_batches(network, "float32", device, 32)
    for kind, error in errors.items():
        figure(f"network with {request.node.callspec.id}, float32, {kind}", error)
    assert errors["outputs"] < BOUNDS["float32"]["outputs"]
    assert max(errors.values()) < 0.5


# A product of n factors is off by about n roundings at most, and by their square root on average: float32 rounds at
# 6e-8, TF32 at 5e-4, bfloat16 at 4e-3. What a backward pass does in fewer bits than it is told to is seen here at once.
ROUNDINGS = {"float32": 5e-6, "TF32": 3e-3, "bf16": 2e-2}


@pytest.mark.parametrize("channels", [16, 36])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_convolution_is_computed_in_the_precision_asked_for_forward_and_backward(
    device: torch.device, precision: str, channels: int, figure: Callable[[str, float], None]
) -> None:
    """A single 1x1 convolution, channels-last."""
    if not can_compute(precision, device):
        pytest.skip("no bfloat16 arithmetic here")
    torch.manual_seed(0)
    x, grad = draw_images(2, 16, channels, 32, 32).unbind()
    weight = torch.randn(channels, channels, 1, 1, dtype=torch.float64)

    def compute(dtype: torch.dtype, place: torch.device) -> dict[str, Tensor]:
        image, kernel, back = (t.to(place, dtype, memory_format=torch.channels_last) for t in (x, weight, grad))
        output = torch.nn.functional.conv2d(image.requires_grad_(), kernel.requires_grad_())
        of_image, of_kernel = torch.autograd.grad(output, (image, kernel), back)
        return {"output": output, "gradient of the input": of_image, "gradient of the weight": of_kernel}

    exact = compute(torch.float64, CPU)
    with products_in(precision):
        found = compute(torch.bfloat16 if precision == "bf16" else torch.float32, device)
    errors = {name: relative_error(found[name], value) for name, value in exact.items()}
    for name, error in errors.items():
        figure(f"1x1 convolution, {channels} channels, {precision}, {name}", error)
    assert {name: error for name, error in errors.items() if error >= ROUNDINGS[precision]} == {}


def test_three_steps_of_a_training_in_float64_are_those_of_the_cpu(device: torch.device) -> None:
    expected = search_steps.train(ALONE, CPU)
    found = search_steps.train(ALONE, device)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-8, atol=1e-9, msg=lambda t, n=name: f"{n}: {t}")


def test_drop_path_drops_the_same_after_the_same_seed(device: torch.device) -> None:
    like = torch.empty(4000, 1, 2, 2, device=device)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(draw_share(like, 0.25).cpu().flatten())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert set(drawn[0].tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert 0.2 < (drawn[0] == 0).float().mean() < 0.3


def test_the_losses_and_gradients_of_a_detector_are_those_of_the_cpu(
    device: torch.device, figure: Callable[[str, float], None]
) -> None:
    torch.manual_seed(0)
    sizes = {"channels": 4, "num_cells": 5, "num_classes": 3, "image_size": 64}
    detector = Detector(published("pc_darts_imagenet"), **sizes)
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 60.0, 60.0]])
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 3])}, empty]
    images = draw_images(2, 3, 64, 64).float()
    results = []
    for place in (CPU, device):
        there = deepcopy(detector).to(place)
        with products_in("float32"):
            losses = there(images.to(place), [{name: x.to(place) for name, x in one.items()} for one in targets])
            (losses["bbox_regression"] + losses["classification"]).backward()
        gradients = [parameter.grad for parameter in there.parameters() if parameter.grad is not None]
        learnt = torch.stack([losses["bbox_regression"], losses["classification"]])
        results.append((learnt, torch.cat([gradient.flatten() for gradient in gradients]), losses["num_matched"]))
    (exact_losses, exact_gradient, exact_matched), (found_losses, found_gradient, matched) = results
    assert int(matched) == int(exact_matched) > 0
    for name, found, exact, bound in (
        ("losses", found_losses, exact_losses, 1e-3),  # float32 on both sides, in two orders of summing
        ("gradient", found_gradient, exact_gradient, 0.05),  # through BatchNorm of maps of one pixel
    ):
        error = relative_error(found, exact)
        figure(f"detector, float32, {name}", error)
        assert error < bound


def test_a_detector_finds_objects_there(device: torch.device) -> None:
    torch.manual_seed(0)
    detector = Detector(published("pc_darts_imagenet"), channels=4, num_cells=5, num_classes=3, image_size=64)
    with torch.no_grad():
        found = detector.to(device).eval()(draw_images(2, 3, 64, 64).float().to(device))
    assert [len(one["boxes"]) > 0 for one in found] == [True, True]
    assert {tensor.device.type for one in found for tensor in one.values()} == {device.type}
