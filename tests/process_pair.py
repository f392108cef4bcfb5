"""Passes and steps with batch statistics over all processes; as a script, one of two processes that share each batch.

`python process_pair.py FOLDER RANK` leaves what each of `CASES` gave in `FOLDER/RANK.pt`.
"""

import inspect
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from pcdarts.cell.space import CellSpace
from pcdarts.network.network import Network
from pcdarts.ops.synchronize import process_count
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import Supernet
from search_steps import GENOTYPE

Outcome = dict[str, dict[str, Tensor]]
"""Tensors by name: "by image", those that are "summed" over the processes, and those that all of them "share"."""


def run_case(name: str) -> Outcome:
    """What a case gives: for the whole batch where this is the only process, else for this process's part."""
    part, case, *arguments = CASES[name]
    return case(part, *arguments)


def draw_images(part: tuple[int, int], size: int = 9, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(sum(part), 3, size, size, dtype=torch.float64, generator=draw)
    return images.split(part)[dist.get_rank()] if process_count() > 1 else images


def loss_of(logits: Tensor) -> Tensor:
    """A sum over images, so that the loss of a batch is the sum of those of its parts."""
    return (logits * torch.linspace(-1, 1, logits.shape[1], dtype=logits.dtype)).sum() + logits.square().sum()


def make_supernet(
    k: int, sampling: str, kind: str, nodes: int = 4
) -> tuple[Supernet, ArchParameters, list[Tensor] | None]:
    """A normal cell, a reduction cell, and a reduction cell whose first input is halved."""
    torch.manual_seed(0)
    arch = ArchParameters(CellSpace(nodes)).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    sizes = {"kind": kind, "channels": 8, "num_cells": 3, "num_classes": 4}
    several = process_count() > 1
    supernet = Supernet(arch.space, **sizes, k=k, channel_sampling=sampling, kernels="plain", synchronize=several)
    return supernet.double(), arch, supernet.draw_masks() if supernet.samples_randomly else None


def supernet_pass(
    part: tuple[int, int], k: int, sampling: str, nodes: int, kind: str = "cifar", frozen: bool = False
) -> Outcome:
    supernet, arch, masks = make_supernet(k, sampling, kind, nodes)
    supernet.requires_grad_(not frozen)
    images = draw_images(part, 9 if kind == "cifar" else 33).requires_grad_(not frozen)
    logits = supernet(images, arch.mixture(), masks)
    loss_of(logits).backward()
    return outcome(nn.ModuleList([supernet, arch]), images, logits)


def network_pass(part: tuple[int, int], kind: str) -> Outcome:
    torch.manual_seed(0)
    sizes = {"kind": kind, "channels": 4, "num_cells": 3, "num_classes": 4}
    network = Network(GENOTYPE, **sizes, synchronize=process_count() > 1).double()
    images = draw_images(part, 9 if kind == "cifar" else 33).requires_grad_()
    logits, auxiliary_logits = network(images)
    (loss_of(logits) + 0.4 * loss_of(auxiliary_logits)).backward()
    return outcome(network, images, torch.cat([logits, auxiliary_logits], dim=1))


def outcome(module: nn.Module, images: Tensor, logits: Tensor) -> Outcome:
    return {
        "by image": {"logits": logits.detach()} | ({} if images.grad is None else {"images": images.grad}),
        "summed": {name: value.grad for name, value in module.named_parameters() if value.grad is not None},
        "shared": module.state_dict(),
    }


def supernet_steps(part: tuple[int, int], sampling: str) -> Outcome:
    """Steps of the weights through `DistributedDataParallel`, with many buckets, and of α and β beside it."""
    supernet, arch, masks = make_supernet(4, sampling, "cifar")
    behind: nn.Module = supernet
    if process_count() > 1:
        known = inspect.signature(DistributedDataParallel).parameters
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        behind = DistributedDataParallel(supernet, bucket_cap_mb=0.01, **{buffers: False})
    # It averages the gradients of the processes; those of one process are of the sum.
    optimizer = torch.optim.SGD(supernet.parameters(), 1e-3 * process_count(), momentum=0.9)
    for step in range(2):  # in the second one, the momentum counts
        images = draw_images(part, seed=step)
        frozen = {name: weight.detach() for name, weight in supernet.named_parameters()}
        loss = loss_of(functional_call(supernet, frozen, (images, arch.mixture(), masks)))
        for parameter, gradient in zip(
            arch.parameters(), torch.autograd.grad(loss, list(arch.parameters())), strict=True
        ):
            if process_count() > 1:
                dist.all_reduce(gradient)
            parameter.data -= 1e-3 * gradient
        optimizer.zero_grad()
        loss_of(behind(images, arch.mixture().detach(), masks)).backward()
        optimizer.step()
    return {"by image": {}, "summed": {}, "shared": nn.ModuleList([supernet, arch]).state_dict()}


CASES = {
    "first channels, K 1": ((3, 3), supernet_pass, 1, "first", 3),
    "first channels, K 4": ((5, 3), supernet_pass, 4, "first", 4),
    "random channels, K 4": ((5, 3), supernet_pass, 4, "random", 4),
    "random channels, K 1": ((1, 2), supernet_pass, 1, "random", 3),
    "ImageNet stem": ((2, 1), supernet_pass, 2, "random", 3, "imagenet"),
    "frozen weights": ((3, 3), supernet_pass, 4, "first", 3, "cifar", True),
    "network": ((3, 1), network_pass, "cifar"),
    "network, ImageNet stem": ((2, 2), network_pass, "imagenet"),
    "steps": ((2, 3), supernet_steps, "random"),
}


if __name__ == "__main__":
    warnings.simplefilter("error")
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save({name: run_case(name) for name in CASES}, folder / f"{rank}.pt")
    dist.destroy_process_group()
