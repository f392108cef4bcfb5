"""What the tests of `tests/gpu` share: where they compute, in which precision, how far off, and where that is noted."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from pcdarts.cell.space import CellSpace
from pcdarts.ops.precision import has_bf16
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.edges import EdgeNorm
from pcdarts.supernet.supernet import Supernet

ON = "PCDARTS_GPU_TESTS_ON"
"""The variable that names another device than `cuda`: with `cpu` everything is rehearsed that does not need a GPU."""
FIGURES = "PCDARTS_GPU_FIGURES"
"""The variable that names a file to which every measured error is added, one JSON object a line."""
CPU = torch.device("cpu")


def wanted_device() -> torch.device | None:
    """Where to compute; None if there is no GPU and nobody asked for another device."""
    device = torch.device(os.environ.get(ON, "cuda"))
    return None if device.type == "cuda" and not torch.cuda.is_available() else device


def note(record_property: Callable[[str, object], None], figure: str, value: float) -> None:
    """Keep a measured number where the person who runs the tests finds it."""
    record_property(figure, value)
    print(f"{figure}: {value:.3g}")
    if place := os.environ.get(FIGURES):
        with Path(place).open("a") as file:
            file.write(json.dumps({"figure": figure, "value": value, "device": str(wanted_device())}) + "\n")


def relative_error(found: Tensor, exact: Tensor) -> float:
    """‖found - exact‖ / ‖exact‖, in float64 on the CPU."""
    found, exact = found.detach().double().cpu(), exact.detach().double().cpu()
    return float((found - exact).norm() / exact.norm())


PRECISIONS = ("float32", "TF32", "bf16")


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """How a GPU multiplies float32 numbers inside: "TF32" rounds them to 10 bits, everything else to none.

    PyTorch's default is TF32 for convolutions and float32 for other products.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32" if precision == "TF32" else "ieee"
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def amp_of(precision: str) -> str:
    """The `amp` of a network that computes so."""
    return "bf16" if precision == "bf16" else "off"


def can_compute(precision: str, device: torch.device) -> bool:
    """Whether the device knows the precision, or does something at least as exact in its place."""
    return precision != "bf16" or has_bf16(device.type)


def make_supernet(
    k: int = 4, *, nodes: int = 6, sampling: str = "first", kind: str = "cifar", channels: int = 8
) -> tuple[Supernet, ArchParameters]:
    """In float64 on the CPU, three cells: a normal one, a reduction cell, one whose first input is halved besides."""
    torch.manual_seed(k + nodes)
    arch = ArchParameters(CellSpace(nodes)).double()
    for parameter in arch.parameters():
        parameter.data.normal_(0, 0.3)
    supernet = Supernet(
        arch.space,
        kind=kind,
        channels=channels,
        num_cells=3,
        num_classes=4,
        k=k,
        channel_sampling=sampling,
        kernels="plain",
    ).double()
    for module in supernet.modules():
        if isinstance(module, EdgeNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return supernet, arch


def draw_images(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def outputs_and_gradients(
    compute: Callable[[Tensor], Tensor], modules: Mapping[str, nn.Module], images: Tensor
) -> dict[str, dict[str, Tensor]]:
    """The outputs of `compute`, and the gradients of images and of every parameter of `modules`: by kind, by name."""
    images = images.clone().requires_grad_()
    outputs = compute(images)
    weighting = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype, device=outputs.device).view_as(outputs)
    inputs = {"images": {"images": images}}
    inputs |= {kind: dict(module.named_parameters()) for kind, module in modules.items()}
    flat = [tensor for group in inputs.values() for tensor in group.values()]
    loss = (outputs * weighting).mean() + outputs.square().mean()
    found = iter(torch.autograd.grad(loss, flat, materialize_grads=True))
    gradients = {kind: {name: next(found) for name in group} for kind, group in inputs.items()}
    return {"outputs": {"outputs": outputs.detach()}, **gradients}


def check_equal(found: dict[str, dict[str, Tensor]], expected: dict[str, dict[str, Tensor]]) -> None:
    """In float64, all but for the order of sums: every output and gradient for itself."""
    for kind, group in expected.items():
        for name, exact in group.items():
            exact = exact.cpu()
            scale = float(exact.abs().max())
            torch.testing.assert_close(
                found[kind][name].cpu(),
                exact,
                rtol=1e-7,
                atol=1e-9 * (1e-3 + scale),
                msg=lambda text, name=name, kind=kind: f"{kind}, {name}: {text}",
            )


def errors_by_kind(found: dict[str, dict[str, Tensor]], exact: dict[str, dict[str, Tensor]]) -> dict[str, float]:
    """The relative errors of all outputs, and of all gradients of a kind together."""

    def joined(group: dict[str, Tensor]) -> Tensor:
        return torch.cat([tensor.detach().double().cpu().flatten() for tensor in group.values()])

    return {kind: relative_error(joined(found[kind]), joined(group)) for kind, group in exact.items()}
