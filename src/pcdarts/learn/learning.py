"""One step of the weights: in parts, in 16 bits, over several processes, of finite numbers only."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pcdarts.config.job_config import RunConfig
from pcdarts.run.finite import FiniteCheck, NotFinite
from pcdarts.run.processes import Processes, unsynchronized

Forward = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""(network, images, labels) -> (what to minimise, the loss to report, logits)."""
Pass = tuple[float | Tensor, Forward, Tensor, Tensor]
"""One of the passes whose weighted sum is minimised: its share, how it is computed, images and labels."""


def in_parts(images: Tensor, labels: Tensor, parts: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """A batch in so many parts of about equal size, none of a single image; and the share of the batch that each is."""
    parts = max(1, min(parts, len(labels) // 2))
    for some_images, some_labels in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
        yield some_images, some_labels, len(some_labels) / len(labels)


def make_sgd(network: nn.Module, config: RunConfig) -> torch.optim.SGD:
    """Momentum SGD on all weights of a network."""
    return torch.optim.SGD(
        network.parameters(),
        config.learning_rate,
        config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
        fused=True,
    )


def make_scaler(amp: str, device: torch.device) -> torch.amp.GradScaler:
    """What scales the loss so that gradients in float16 do not vanish; disabled in other precisions."""
    scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")
    scaler.scale(torch.ones((), device=device))  # from now on it has a state that can be saved and changed
    return scaler


def loss_scale(scaler: torch.amp.GradScaler, device: torch.device) -> Tensor | float:
    """What a loss is multiplied by, which on a GPU nobody reads."""
    return scaler.scale(torch.ones((), device=device)) if scaler.is_enabled() else 1.0


def images_per_pass(batch_size: int, parts: int, processes: Processes) -> int:
    """Of a whole batch, as many go through the network at once."""
    return math.ceil(batch_size // processes.count / parts)


def overflowed(scaler: torch.amp.GradScaler, norm: Tensor) -> bool:
    """Whether a gradient of this norm is too large for float16 only because its loss was scaled up.

    Then the next loss is scaled by less, and there is no step. Without a scale there is no such excuse.
    """
    return scaler.is_enabled() and scaler.get_scale() > 1 and not bool(norm.isfinite())


def step_unless(left_out: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Let a fused optimiser take its step where the boolean `left_out` says no; else it and its state stay as they are.

    That is decided on the device.
    """
    optimizer.found_inf = left_out.float()  # type: ignore[attr-defined]  # as `GradScaler.step` hands it over
    optimizer.step()
    del optimizer.found_inf  # type: ignore[attr-defined]


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
        scaler: torch.amp.GradScaler,
        processes: Processes,
        finite: FiniteCheck,
        gradient_clip: float,
        parts: int = 1,
    ) -> None:
        self.network = processes.distribute(network)
        self.optimizer, self.scaler, self.finite = optimizer, scaler, finite
        self.gradient_clip, self.parts = gradient_clip, parts
        self.held: dict[nn.Parameter, Tensor] = {}
        """Weights that keep their values where a boolean mask says so, whatever momentum and weight decay do."""

    def __call__(self, images: Tensor, labels: Tensor, forward: Forward) -> tuple[Tensor, Tensor]:
        """Take the step; return the loss and the logits [B, classes] of this process's share.

        Raises:
            NotFinite: the loss or the gradient is not; the weights are as they were.
        """
        parts = in_parts(images, labels, self.parts)
        loss, logits = self.along(
            [(share, forward, some_images, some_labels) for some_images, some_labels, share in parts]
        )
        return loss, torch.cat(logits)

    def along(self, passes: Sequence[Pass]) -> tuple[Tensor, list[Tensor]]:
        """Take the step along the gradient of a weighted sum of passes; return that of their losses, and all logits.

        Raises:
            NotFinite: as above.
        """
        self.optimizer.zero_grad()
        losses, logits = [], []
        for number, (share, forward, images, labels) in enumerate(passes, 1):
            with nullcontext() if number == len(passes) else unsynchronized(self.network):
                objective, loss, output = forward(self.network, images, labels)
                self.finite.check("the training loss", objective.detach())
                self.scaler.scale(share * objective).backward()
            losses.append(share * loss.detach())
            logits.append(output.detach())
        before = [(weight, mask, weight.detach().clone()) for weight, mask in self.held.items()]
        self.finish()
        with torch.no_grad():
            for weight, mask, value in before:
                weight.copy_(torch.where(mask, value, weight))
        return torch.stack(losses).sum(), logits

    def finish(self) -> None:
        """Take the step on gradients that are there.

        Raises:
            NotFinite: their norm is not; the weights are as they were.
        """
        self.scaler.unscale_(self.optimizer)
        for weight, mask in self.held.items():
            if weight.grad is not None:
                weight.grad.masked_fill_(mask, 0)  # as if they had none: the others are not clipped for them
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip)
        self._begin_momenta()
        if self.finite.every > 1:
            self._finish_on_device(norm)
            return
        if not overflowed(self.scaler, norm):
            try:
                self.finite.check("the norm of the weights' gradient", norm)
            except NotFinite:
                self.scaler.update()  # it must not wait for a step
                raise
        self.scaler.step(self.optimizer)  # which it leaves out where the gradient overflowed
        self.scaler.update()

    def _finish_on_device(self, norm: Tensor) -> None:
        """The same without waiting for the device: it decides itself whether the step is left out."""
        scaler, infinite, bad_loss = self.scaler, ~norm.isfinite(), self.finite.bad
        excused = (
            infinite & (loss_scale(scaler, norm.device) > 1) if scaler.is_enabled() else torch.zeros_like(infinite)
        )
        self.finite.check("the norm of the weights' gradient", norm.masked_fill(excused, 0))
        step_unless(infinite if self.finite.bad is None else infinite | self.finite.bad, self.optimizer)
        if scaler.is_enabled():
            scales = [scale for scale in (scaler._scale, scaler._growth_tracker) if scale is not None]
            before = [scale.clone() for scale in scales]
            scaler.update()
            if bad_loss is not None:  # which is no fault of the scale
                for scale, earlier in zip(scales, before, strict=True):
                    scale.copy_(torch.where(bad_loss, earlier, scale))

    def _begin_momenta(self) -> None:
        """Zeros where there are none yet: the fused optimiser leaves them unset if its first step is left out."""
        if self.finite.every == 1 and not self.scaler.is_enabled():
            return
        (group,), state = self.optimizer.param_groups, self.optimizer.state
        if group["momentum"] and state[group["params"][-1]].get("momentum_buffer") is None:
            for weight in group["params"]:
                state[weight]["momentum_buffer"] = torch.zeros_like(weight)
