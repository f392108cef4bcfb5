"""Before anything is timed: the supernet computes what the yardstick and the literal equations compute."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pcdarts.cell.space import CellSpace, NetworkKind, stem_stride
from pcdarts.errors import RunError
from pcdarts.learn.per_edge import PerEdge
from pcdarts.learn.steps import Setting, one_operation
from pcdarts.run.device import choose_device
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.from_authors import from_authors_state_dict
from pcdarts.supernet.supernet import Supernet

TOLERANCES = {torch.float64: 1e-8, torch.float32: 5e-2}
"""Largest difference that rounding explains, relative to 1 + the largest value of the tensor; in float32 it may also
turn a maximum or the sign before a ReLU around, and a gradient of such small images with it."""

Network = Callable[[Tensor, Mixture], Tensor]


def check_equality(setting: Setting) -> int:
    """Compare small networks of the paper's stems and that of `setting` with every K, of its kernels and nodes.

    Returns:
        Their number.

    Raises:
        RunError: something differs; it says what and by how much.
    """
    paper: tuple[NetworkKind, ...] = ("cifar", "imagenet")
    kinds = dict.fromkeys((*paper, setting.kind))
    networks = [(kind, k) for kind in kinds for k in sorted({1, 2, 4, 8, setting.k})]
    for kind, k in networks:
        check_network(replace(setting, kind=kind, k=k, channels=k * max(1, 8 // k)))
    return len(networks)


def check_network(setting: Setting) -> None:
    """Compare outputs and gradients (of weights, op weights and edge weights) of the supernet with those of the
    yardstick and of `supernet/reference.py` with the same weights, in training mode and float64; and with one operation
    on every edge, those of the reference alone.

    The network is that of `setting` made small: three cells, 16 channels at most, three small images. In float32,
    which is what is timed, it must agree with itself.

    Raises:
        RunError: something differs; it says what and by how much.
    """
    device = choose_device(setting.device, setting.threads)
    channels = setting.channels if setting.channels <= 16 else setting.k * max(1, 16 // setting.k)
    side = 8 * stem_stride(setting.kind)
    torch.manual_seed(0)
    small = replace(setting, channels=channels, num_cells=3, num_classes=4, batch_size=3, image_size=side)
    supernet, per_edge = small.network().to(device), replace(small, kernels="per edge").network().to(device)
    assert isinstance(supernet, Supernet)
    assert isinstance(per_edge, PerEdge)
    supernet.load_authors_state_dict(per_edge.network.state_dict())
    where = (
        f"({supernet.kernels} kernels, K = {small.k}, {small.channels} channels, {small.num_nodes} nodes, "
        f"{small.kind} stem)"
    )
    ours = results(supernet.double(), supernet, small)
    check_agreement(ours, per_edge_results(per_edge.double(), supernet, small), "the per-edge supernet", where)

    def literal(images: Tensor, mixture: Mixture) -> Tensor:
        return reference.supernet(supernet, images, mixture)

    check_agreement(ours, results(supernet, literal, small), "the literal equations", where)
    few = results(supernet, supernet, small, one_operation)
    what = "the literal equations, with one operation on every edge,"
    check_agreement(few, results(supernet, literal, small, one_operation), what, where)
    check_agreement(results(supernet.float(), supernet, small), ours, "itself in float64", f"in float32 {where}")


def results(
    model: torch.nn.Module,
    network: Network,
    setting: Setting,
    chosen: Callable[[Mixture, torch.Generator], Mixture] = lambda mixture, draw: mixture,
) -> dict[str, Tensor]:
    """The logits of `network` on images of `setting`, and the gradients of the mixture and the weights of `model`.

    `chosen` makes the mixture of one that is drawn.
    """
    draw = torch.Generator().manual_seed(1)
    like = next(model.parameters())
    shape = (setting.batch_size, setting.image_channels, setting.image_size, setting.image_size)
    images = torch.randn(shape, dtype=torch.float64, generator=draw).to(like)
    mixture = ArchParameters(CellSpace(setting.num_nodes), generator=draw).to(like.device, like.dtype).mixture()
    mixture = chosen(mixture, draw)
    named = {
        **dict(model.named_parameters()),
        **{f"op weights ({kind})": weights for kind, weights in mixture.op_weights.items()},
        **{f"edge weights ({kind})": weights for kind, weights in mixture.edge_weights.items()},
    }
    logits = network(images, mixture)
    weighting = torch.linspace(-1, 1, logits.numel()).to(like).view_as(logits)
    loss = (logits * weighting).sum() + logits.square().sum()
    gradients = torch.autograd.grad(loss, list(named.values()), materialize_grads=True)
    return {"logits": logits.detach()} | {
        f"the gradient of {name}": gradient for name, gradient in zip(named, gradients, strict=True)
    }


def per_edge_results(per_edge: PerEdge, supernet: Supernet, setting: Setting) -> dict[str, Tensor]:
    """The same of the yardstick, its gradients stacked and named as those of `supernet` are."""
    found = results(per_edge, per_edge, setting)
    start = "the gradient of network."
    theirs = {name.removeprefix(start): found.pop(name) for name in list(found) if name.startswith(start)}
    stacked = from_authors_state_dict(theirs, supernet.state_dict(), list(supernet.cells))
    return found | {f"the gradient of {name}": gradient for name, gradient in stacked.items()}


def check_agreement(ours: dict[str, Tensor], theirs: dict[str, Tensor], what: str, where: str) -> None:
    """Hold every tensor of `ours` against its namesake.

    Raises:
        RunError: one differs by more than rounding does; the message tells of the one that differs most.
    """
    differences = {
        name: float((tensor.double() - theirs[name].double()).abs().max() / (1 + theirs[name].abs().max()))
        for name, tensor in ours.items()
    }
    tolerance = TOLERANCES[ours["logits"].dtype]
    differing = [name for name, difference in differences.items() if not difference <= tolerance]
    if differing:
        worst = "logits" if "logits" in differing else max(differing, key=lambda name: differences[name])
        more = f" (and {len(differing) - 1} more tensors)" if len(differing) > 1 else ""
        raise RunError(
            f"the supernet differs from {what} {where}: {worst} by {differences[worst]:.1e} of the largest value, "
            f"where rounding explains {tolerance:.0e}{more}; nothing was timed"
        )
