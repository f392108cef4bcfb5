"""Two steps of a search or of a training on a device, as the jobs take them; not a test itself."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from command_line import GENOTYPE
from pcdarts.cell.space import CellSpace
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.learn.learning import ArchStep, WeightStep, loss_scale, make_scaler
from pcdarts.learn.measure import Average
from pcdarts.network.network import Network
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import ALONE
from pcdarts.run.progress import Progress
from pcdarts.run.run_folder import RunFolder
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.bilevel import Passes, first_order_gradients, second_order_gradients
from pcdarts.supernet.supernet import Supernet

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
    with device:
        arch = ArchParameters(CellSpace(nodes))
        supernet = Supernet(
            arch.space, channels=4, k=2, num_cells=3, num_classes=5, channel_sampling=sampling, amp=amp, kernels="plain"
        )
    finite = FiniteCheck(1, [supernet, arch], ALONE, LATER)
    progress, average = Progress(RunFolder(folder), 1, 9, quiet=True), Average("train")
    scaler, optimizer = make_scaler(amp, device), sgd(supernet)
    weight_step = WeightStep(
        supernet, optimizer, gradient_clip=5.0, parts=parts, scaler=scaler, processes=ALONE, finite=finite
    )
    arch_step = ArchStep(arch, adam(arch), scaler, finite)

    def loss_of(network: nn.Module, images: Tensor, labels: Tensor, masks: Any) -> tuple[Tensor, Tensor, Tensor]:
        logits = network(images, arch.mixture().detach(), masks)
        loss = F.cross_entropy(logits, labels)
        return loss, loss, logits

    step = 0
    for weight_batch, arch_batch in zip(
        batches("weight", device).epoch(0), batches("arch", device).epoch(0), strict=True
    ):
        step += 1
        masks = supernet.draw_masks() if supernet.samples_randomly else None
        with finite.guarded(progress, 1, step, 0.1):
            passes = Passes(parts, loss_scale(scaler, device), ALONE.average)
            if second_order:
                gradients, loss, logits = second_order_gradients(
                    supernet, arch, (*weight_batch, masks), (*arch_batch, masks), optimizer, passes=passes
                )
            else:
                gradients, loss, logits = first_order_gradients(supernet, arch, (*arch_batch, masks), passes)
            arch_step(gradients, loss)
            average.add(loss, logits, arch_batch[1], finite.bad)
        with finite.guarded(progress, 1, step, 0.1):
            loss, logits = weight_step(*weight_batch, partial(loss_of, masks=masks))
            average.add(loss, logits, weight_batch[1], finite.bad)
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
