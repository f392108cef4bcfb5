"""A few steps of a search in float64, for one process or for several that share its batches; not a test itself.

`python tests/search_steps.py FOLDER`, alone or under torchrun, saves weights, α and β after the steps, first and second
order.
"""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts import CellSpace, Genotype, Network, Supernet
from pcdarts.learn.learning import WeightStep, make_scaler
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.darts import DARTS
from pcdarts.methods.method import At
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import Processes, joined

CPU = torch.device("cpu")
STEPS, BATCH = 2, 8  # in the second one, momenta and averages count


def batch(step: int, processes: Processes, twice: bool = False, device: torch.device = CPU) -> tuple[Tensor, Tensor]:
    """This process's share of a batch of coloured noise, whose second half may be the first one again."""
    noise = torch.Generator().manual_seed(step)
    images = torch.randn(BATCH, 3, 8, 8, dtype=torch.float64, generator=noise)
    labels = torch.randint(5, (BATCH,), generator=noise)
    if twice:
        images[BATCH // 2 :], labels[BATCH // 2 :] = images[: BATCH // 2], labels[: BATCH // 2]
    images, labels = (whole.tensor_split(processes.count)[processes.rank] for whole in (images, labels))
    return images.to(device), labels.to(device)


def learning(network: nn.Module, processes: Processes, parts: int, device: torch.device) -> dict[str, Any]:
    """What `WeightStep` and `SupernetTask` ask for."""
    return {
        "gradient_clip": 0.5,
        "parts": parts,
        "scaler": make_scaler("off", device),
        "processes": processes,
        "finite": FiniteCheck(0, [network], processes),
    }


def sgd(network: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), 0.05, 0.9, weight_decay=3e-4, fused=True)


def search(
    processes: Processes,
    second_order: bool,
    sampling: str,
    parts: int = 1,
    twice: bool = False,
    device: torch.device = CPU,
    nodes: int = 4,
) -> dict[str, Tensor]:
    torch.manual_seed(0)
    space = CellSpace(nodes)
    method = DARTS(space, second_order=second_order, arch_learning_rate=0.1, arch_weight_decay=0.0)
    method.arch.double().to(device)
    supernet = Supernet(
        space,
        channels=4,
        k=2,
        num_cells=3,
        num_classes=5,
        channel_sampling=sampling,
        kernels="plain",
        synchronize=True,
    )
    supernet = supernet.double().to(device)
    task = SupernetTask(
        supernet,
        sgd(supernet),
        arch_batch=lambda: task.batch("arch", 0, step, *batch(100 + step, processes, twice, device)),
        **learning(supernet, processes, parts, device),
    )
    for step in range(STEPS):
        weight_batch = task.batch("weight", 0, step, *batch(step, processes, twice, device))
        at = At(0, step, 0, 0, 1)
        method.step(at, task, weight_batch)
        task.learn(weight_batch, method.draws(at, task, weight_batch))
    processes.check_same(method.arch, "alpha and beta")
    return {**supernet.state_dict(prefix="supernet."), **method.arch.state_dict(prefix="arch.")}


GENOTYPE = Genotype(
    normal=(("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_3x3", 2), ("max_pool_3x3", 0)),
    normal_concat=(2, 3),
    reduce=(("max_pool_3x3", 0), ("skip_connect", 1), ("sep_conv_5x5", 0), ("dil_conv_5x5", 2)),
    reduce_concat=(2, 3),
)


def train(processes: Processes, device: torch.device = CPU) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = Network(GENOTYPE, channels=4, num_cells=3, num_classes=5, auxiliary=True, synchronize=True)
    network = network.double().to(device)
    step = WeightStep(network, sgd(network), **learning(network, processes, 1, device))

    def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, auxiliary_logits = network(images)
        loss = F.cross_entropy(logits, labels)
        return loss + 0.4 * F.cross_entropy(auxiliary_logits, labels), loss, logits

    network.train()
    for number in range(STEPS):
        step(*batch(number, processes, device=device), loss_of)
    return network.state_dict()


def everything(processes: Processes) -> dict[str, dict[str, Tensor]]:
    return {
        "first order": search(processes, False, "first"),
        "second order, random sampling": search(processes, True, "random", nodes=3),
        "training": train(processes),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined() as together:
        torch.save(everything(together), Path(sys.argv[1]) / f"process-{together.rank}-of-{together.count}.pt")
