"""The gradient of the architecture parameters in the bilevel problem: first order, and second order as in DARTS.

Both return gradients and change neither weights nor α and β. A batch is (images [B, C, H, W], labels [B], masks),
`masks` being what `Supernet.draw_masks` gives, or None.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.supernet import Supernet

Batch = tuple[Tensor, Tensor, list[Tensor] | None]


@dataclass(frozen=True)
class Passes:
    """How the gradient of a batch's mean loss is computed."""

    parts: int = 1
    """Parts of the batch that pass one after the other (`in_parts`); their gradients are added up."""
    loss_scale: Tensor | float = 1.0
    """What the loss is multiplied by before, and its gradients are divided by after, a backward pass in 16 bits."""
    average: Callable[[Sequence[Tensor]], list[Tensor]] = list
    """The mean of tensors over the processes, each of which has an equal share of the batch."""


ONE_PASS = Passes()


def first_order_gradients(
    supernet: Supernet, arch: ArchParameters, arch_batch: Batch, passes: Passes = ONE_PASS
) -> tuple[list[Tensor], Tensor, Tensor]:
    """∇_α L_arch(w, α) with the weights taken as they are; β is meant wherever α stands.

    Returns:
        The gradients in the order of `arch.parameters()`; of this process's share, the loss and the logits
        [B, classes].
    """
    # Without gradients of the weights, which nobody asks for here, the backward pass has half the work.
    weights = {name: weight.detach() for name, weight in supernet.named_parameters()}
    return _gradients(supernet, weights, arch.mixture, arch_batch, list(arch.parameters()), passes)


def second_order_gradients(
    supernet: Supernet,
    arch: ArchParameters,
    weight_batch: Batch,
    arch_batch: Batch,
    weight_optimizer: torch.optim.SGD,
    radius: float = 1e-2,
    passes: Passes = ONE_PASS,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """∇_α L_arch(w'(α), α) for the weights w' after one more SGD step (DARTS, Eqs. 6 to 8).

    w' = w - ξ (μ v + ∇_w L_weight(w, α) + λ w), so the gradient is ∇_α L_arch(w', α) less ξ times a mixed second
    derivative, which the difference of ∇_α L_weight at w ± ε ∇_w' L_arch replaces, ε = radius / |∇_w' L_arch|. Each of
    these gradients is that of the mean loss over all processes, so all of them take the same step.

    Args:
        weight_batch, arch_batch: one batch of each split; the masks of a batch serve all its passes.
        weight_optimizer: has one group with all weights, and gives ξ, μ, λ and v.
        radius: length of the step of the finite difference; 0.01 in DARTS.

    Returns:
        The gradients in the order of `arch.parameters()`; of this process's share, loss and logits of the arch batch
        at w'.
    """
    arch_parameters = list(arch.parameters())
    constant = arch.mixture().detach()
    buffers = {name: buffer.clone() for name, buffer in supernet.named_buffers()}  # the real weights keep theirs

    weights = {name: weight.detach().requires_grad_() for name, weight in supernet.named_parameters()}
    inner, _, _ = _gradients(
        supernet, weights | buffers, lambda: constant, weight_batch, list(weights.values()), passes
    )
    stepped = _stepped_weights(supernet, inner, weight_optimizer)
    gradients, arch_loss, logits = _gradients(
        supernet, stepped | buffers, arch.mixture, arch_batch, [*arch_parameters, *stepped.values()], passes
    )
    direct, direction = gradients[: len(arch_parameters)], gradients[len(arch_parameters) :]

    norm = torch.cat([v.flatten() for v in direction]).norm()
    epsilon = radius / norm.clamp_min(torch.finfo(norm.dtype).tiny)  # without a direction the difference is zero
    differences = []
    for sign in (1, -1):
        moved = {
            name: (w + sign * epsilon * v).detach()
            for (name, w), v in zip(supernet.named_parameters(), direction, strict=True)
        }
        differences.append(
            _gradients(supernet, moved | buffers, arch.mixture, weight_batch, arch_parameters, passes)[0]
        )
    rate = weight_optimizer.param_groups[0]["lr"]
    total = [
        gradient - rate * (ahead - behind) / (2 * epsilon)
        for gradient, ahead, behind in zip(direct, *differences, strict=True)
    ]
    return total, arch_loss, logits


def _gradients(
    supernet: Supernet,
    state: Mapping[str, Tensor],
    mixture: Callable[[], Mixture],
    batch: Batch,
    inputs: Sequence[Tensor],
    passes: Passes,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """The gradients of a batch's mean loss with respect to `inputs`; of this process's share, loss and logits.

    `state` are the weights, and the buffers if not the supernet's own, by name.
    """
    images, labels, masks = batch
    gradients: list[Tensor] = []
    losses, logits = [], []
    for some_images, some_labels, share in in_parts(images, labels, passes.parts):
        logits.append(functional_call(supernet, dict(state), (some_images, mixture(), masks)))
        loss = share * F.cross_entropy(logits[-1], some_labels)
        found = torch.autograd.grad(loss * passes.loss_scale, inputs)
        gradients = [total + g for total, g in zip(gradients, found, strict=True)] if gradients else list(found)
        losses.append(loss.detach())
    if isinstance(passes.loss_scale, Tensor) or passes.loss_scale != 1:
        gradients = [gradient / passes.loss_scale for gradient in gradients]
    return passes.average(gradients), torch.stack(losses).sum(), torch.cat(logits).detach()


def in_parts(images: Tensor, labels: Tensor, parts: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """A batch in so many parts of about equal size, none of a single image; and the share of the batch that each is."""
    parts = max(1, min(parts, len(labels) // 2))
    for some_images, some_labels in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
        yield some_images, some_labels, len(some_labels) / len(labels)


def _stepped_weights(supernet: Supernet, gradients: list[Tensor], optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """w' by name: the weights as `optimizer` would make them next (without the gradient clipping, as in DARTS)."""
    group = optimizer.param_groups[0]
    stepped = {}
    for (name, w), gradient in zip(supernet.named_parameters(), gradients, strict=True):
        step = gradient + group["weight_decay"] * w
        if (v := optimizer.state[w].get("momentum_buffer")) is not None:
            step = step + group["momentum"] * v
        stepped[name] = (w - group["lr"] * step).detach().requires_grad_()
    return stepped
