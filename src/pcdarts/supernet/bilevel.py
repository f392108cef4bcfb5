"""The gradient of the architecture parameters in the bilevel problem: first order, and second order as in DARTS.

Both return gradients and change neither weights nor α and β. A batch is (images [B, C, H, W], labels [B], masks),
`masks` being what `Supernet.draw_masks` gives, or None.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.supernet import Supernet

Batch = tuple[Tensor, Tensor, list[Tensor] | None]


def first_order_gradients(
    supernet: Supernet, arch: ArchParameters, arch_batch: Batch
) -> tuple[list[Tensor], Tensor, Tensor]:
    """∇_α L_arch(w, α) with the weights taken as they are; β is meant wherever α stands.

    Returns:
        The gradients in the order of `arch.parameters()`, the loss, and the logits [B, classes].
    """
    images, labels, masks = arch_batch
    # Without gradients of the weights, which nobody asks for here, the backward pass has half the work.
    weights = {name: weight.detach() for name, weight in supernet.named_parameters()}
    logits = functional_call(supernet, weights, (images, arch.mixture(), masks))
    loss = F.cross_entropy(logits, labels)
    return list(torch.autograd.grad(loss, list(arch.parameters()))), loss.detach(), logits.detach()


def second_order_gradients(
    supernet: Supernet,
    arch: ArchParameters,
    weight_batch: Batch,
    arch_batch: Batch,
    weight_optimizer: torch.optim.SGD,
    radius: float = 1e-2,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """∇_α L_arch(w'(α), α) for the weights w' after one more SGD step (DARTS, Eqs. 6 to 8).

    w' = w - ξ (μ v + ∇_w L_weight(w, α) + λ w), so the gradient is ∇_α L_arch(w', α) less ξ times a mixed second
    derivative, which the difference of ∇_α L_weight at w ± ε ∇_w' L_arch replaces, ε = radius / |∇_w' L_arch|.

    Args:
        weight_batch, arch_batch: one batch of each split; the masks of a batch serve all its passes.
        weight_optimizer: has one group with all weights, and gives ξ, μ, λ and v.
        radius: length of the step of the finite difference; 0.01 in DARTS.

    Returns:
        The gradients in the order of `arch.parameters()`, and loss and logits of the arch batch at w'.
    """
    arch_parameters = list(arch.parameters())
    loss_at = _loss_function(supernet)
    rate = weight_optimizer.param_groups[0]["lr"]
    stepped = _stepped_weights(supernet, loss_at, arch.mixture().detach(), weight_batch, weight_optimizer)
    arch_loss, logits = loss_at(stepped, arch.mixture(), arch_batch)
    gradients = torch.autograd.grad(arch_loss, [*arch_parameters, *stepped.values()])
    direct, direction = gradients[: len(arch_parameters)], gradients[len(arch_parameters) :]

    epsilon = radius / torch.cat([v.flatten() for v in direction]).norm()
    differences = []
    for sign in (1, -1):
        moved = {
            name: (w + sign * epsilon * v).detach()
            for (name, w), v in zip(supernet.named_parameters(), direction, strict=True)
        }
        loss, _ = loss_at(moved, arch.mixture(), weight_batch)
        differences.append(torch.autograd.grad(loss, arch_parameters))
    total = [
        gradient - rate * (ahead - behind) / (2 * epsilon)
        for gradient, ahead, behind in zip(direct, *differences, strict=True)
    ]
    return total, arch_loss.detach(), logits.detach()


def _stepped_weights(
    supernet: Supernet,
    loss_at: Callable[[Mapping[str, Tensor], Mixture, Batch], tuple[Tensor, Tensor]],
    mixture: Mixture,
    weight_batch: Batch,
    optimizer: torch.optim.SGD,
) -> dict[str, Tensor]:
    """w' by name: the weights as `optimizer` would make them next (without the gradient clipping, as in DARTS)."""
    group = optimizer.param_groups[0]
    weights = dict(supernet.named_parameters())
    loss, _ = loss_at(weights, mixture, weight_batch)
    stepped = {}
    for (name, w), gradient in zip(weights.items(), torch.autograd.grad(loss, list(weights.values())), strict=True):
        step = gradient + group["weight_decay"] * w
        if (v := optimizer.state[w].get("momentum_buffer")) is not None:
            step = step + group["momentum"] * v
        stepped[name] = (w - group["lr"] * step).detach().requires_grad_()
    return stepped


def _loss_function(supernet: Supernet) -> Callable[[Mapping[str, Tensor], Mixture, Batch], tuple[Tensor, Tensor]]:
    """(weights, mixture, batch) -> (loss, logits), sparing the running statistics that belong to the real weights."""

    def loss_at(weights: Mapping[str, Tensor], mixture: Mixture, batch: Batch) -> tuple[Tensor, Tensor]:
        images, labels, masks = batch
        buffers = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
        logits: Tensor = functional_call(supernet, {**weights, **buffers}, (images, mixture, masks))
        return F.cross_entropy(logits, labels), logits

    return loss_at
