"""Two steps of a search or of a training on a device, as the jobs take them; not a test itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from command_line import GENOTYPE
from pcdarts.cell.space import CellSpace
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.learn.learning import WeightStep, make_scaler
from pcdarts.learn.measure import Average
from pcdarts.methods.darts import DARTS
from pcdarts.methods.method import At
from pcdarts.network.network import Network
from pcdarts.run.display.progress import Progress
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import ALONE
from pcdarts.run.run_folder import RunFolder
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

LATER = 100
"""Batches after which the device is asked: later than these steps go."""


def batches(stream: str, device: torch.device) -> Batches:
    images = Images(torch.zeros(16, 3, 8, 8, dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
    return Batches(
        images,
        batch_size=8,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        augmentation=Augmentation(2, True, 3),
        shuffle=True,
        drop_last=True,
        seed=0,
        stream=stream,
        device=device,
    )


def sgd(module: nn.Module) -> Any:
    return torch.optim.SGD(module.parameters(), 0.1, 0.9, fused=True)


def adam(module: nn.Module) -> Any:
    return torch.optim.Adam(module.parameters())


def search(
    folder: Path,
    device: torch.device,
    after_first: Callable[[], object],
    *,
    second_order: bool,
    sampling: Any,
    parts: int,
    nodes: int = 4,
    amp: Any = "off",
    sgd: Callable[[nn.Module], Any] = sgd,
    adam: Callable[[nn.Module], Any] = adam,
) -> int:
    """Two steps, between which `after_first` is called; returns how many were taken."""
    space = CellSpace(nodes)
    with device:
        method = DARTS(space, device=device, second_order=second_order)
        supernet = Supernet(
            space, channels=4, k=2, num_cells=3, num_classes=5, channel_sampling=sampling, amp=amp, kernels="plain"
        )
    method.optimizer = adam(method.arch)
    finite = FiniteCheck(1, [supernet, method.arch], ALONE, LATER)
    progress, average = Progress(RunFolder(folder), 1, 9, quiet=True), Average("train")
    task = task_of(
        supernet,
        sgd(supernet),
        parts=parts,
        scaler=make_scaler(amp, device),
        finite=finite,
        arch_batch=lambda: task.batch("arch", 0, step, *next(arch_batches)),
    )
    step, arch_batches = 0, batches("arch", device).epoch(0)
    for images in batches("weight", device).epoch(0):
        step += 1
        weight_batch, at = task.batch("weight", 0, step, *images), At(0, step, 0, 0, 1)
        with finite.guarded(progress, 1, step, 0.1):
            average.add(*method.step(at, task, weight_batch), finite.bad)
        with finite.guarded(progress, 1, step, 0.1):
            average.add(*task.learn(weight_batch, method.draws(at, task, weight_batch)), finite.bad)
        average.so_far()
        if step == 1:
            after_first()
    return step


def train(
    folder: Path,
    device: torch.device,
    after_first: Callable[[], object],
    *,
    amp: Any = "off",
    sgd: Callable[[nn.Module], Any] = sgd,
) -> int:
    """The same of a training, with drop-path and auxiliary head."""
    with device:
        network = Network(GENOTYPE, channels=4, num_cells=3, num_classes=5, auxiliary=True, drop_path=0.3, amp=amp)
    finite = FiniteCheck(1, [network], ALONE, LATER)
    progress, average = Progress(RunFolder(folder), 1, 9, quiet=True), Average("train")
    step_of = WeightStep(
        network,
        sgd(network),
        gradient_clip=5.0,
        parts=1,
        scaler=make_scaler(amp, device),
        processes=ALONE,
        finite=finite,
    )

    def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, auxiliary_logits = network(images)
        loss = F.cross_entropy(logits, labels)
        return loss + 0.4 * F.cross_entropy(auxiliary_logits, labels), loss, logits

    step = 0
    for images, labels in batches("train", device).epoch(0):
        step += 1
        with finite.guarded(progress, 1, step, 0.1):
            loss, logits = step_of(images, labels, loss_of)
            average.add(loss, logits, labels, finite.bad)
        average.so_far()
        if step == 1:
            after_first()
    return step
