"""One step of the weights, and one of α and β: in parts, in 16 bits, over several processes, of finite numbers only."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pcdarts.jobs.numbers import NotFinite, Numbers
from pcdarts.run.processes import Processes, unsynchronized
from pcdarts.supernet.bilevel import in_parts

Forward = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""(network, images, labels) -> (what to minimise, the loss to report, logits)."""


def make_scaler(amp: str, device: torch.device) -> torch.amp.GradScaler:
    """What scales the loss so that gradients in float16 do not vanish; disabled in other precisions."""
    scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")
    scaler.scale(torch.ones((), device=device))  # from now on it has a state that can be saved and changed
    return scaler


def images_per_pass(batch_size: int, parts: int, processes: Processes) -> int:
    """Of a whole batch, as many go through the network at once."""
    return math.ceil(batch_size // processes.count / parts)


def overflowed(scaler: torch.amp.GradScaler, norm: Tensor) -> bool:
    """Whether a gradient of this norm is too large for float16 only because its loss was scaled up.

    Then the next loss is scaled by less, and there is no step. Without a scale there is no such excuse.
    """
    return scaler.is_enabled() and scaler.get_scale() > 1 and not bool(norm.isfinite())


class WeightStep:
    """Momentum SGD on the gradient of a batch, its norm clipped.

    Args:
        parts: of a batch, which pass one after the other (`in_parts`).
        scaler: of the loss, for a backward pass in float16; else disabled.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.SGD,
        *,
        gradient_clip: float,
        parts: int,
        scaler: torch.amp.GradScaler,
        processes: Processes,
        numbers: Numbers,
    ) -> None:
        self.network = processes.distribute(network)
        self.optimizer, self.scaler, self.numbers = optimizer, scaler, numbers
        self.gradient_clip, self.parts = gradient_clip, parts

    def __call__(self, images: Tensor, labels: Tensor, forward: Forward) -> tuple[Tensor, Tensor]:
        """Take the step; return the loss and the logits [B, classes] of this process's share.

        Raises:
            NotFinite: the loss or the gradient is not; the weights are as they were.
        """
        self.optimizer.zero_grad()
        losses, logits = [], []
        seen = 0
        for some_images, some_labels, share in in_parts(images, labels, self.parts):
            seen += len(some_labels)
            with nullcontext() if seen == len(labels) else unsynchronized(self.network):
                objective, loss, output = forward(self.network, some_images, some_labels)
                self.numbers.check("the training loss", objective.detach())
                self.scaler.scale(share * objective).backward()
            losses.append(share * loss.detach())
            logits.append(output.detach())
        self.finish()
        return torch.stack(losses).sum(), torch.cat(logits)

    def finish(self) -> None:
        """Take the step on gradients that are there.

        Raises:
            NotFinite: their norm is not; the weights are as they were.
        """
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip)
        if not overflowed(self.scaler, norm):
            try:
                self.numbers.check("the norm of the weights' gradient", norm)
            except NotFinite:
                self.scaler.update()  # it must not wait for a step
                raise
        self.scaler.step(self.optimizer)  # which it leaves out where the gradient overflowed
        self.scaler.update()


class ArchStep:
    """Adam on the gradient of α and β."""

    def __init__(
        self, arch: nn.Module, optimizer: torch.optim.Adam, scaler: torch.amp.GradScaler, numbers: Numbers
    ) -> None:
        self.parameters = list(arch.parameters())
        self.optimizer, self.scaler, self.numbers = optimizer, scaler, numbers

    def __call__(self, gradients: Sequence[Tensor], loss: Tensor) -> None:
        """Take the step.

        Raises:
            NotFinite: the loss or the gradient is not; α and β are as they were.
        """
        self.numbers.check("the arch loss", loss)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        if overflowed(self.scaler, norm):
            self.scaler.update(self.scaler.get_scale() * self.scaler.get_backoff_factor())
            return
        self.numbers.check("the norm of the gradient of alpha and beta", norm)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
