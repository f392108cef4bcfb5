"""DARTS (Liu, Simonyan and Yang, 2019), first and second order; equation numbers are that paper's.

α learns on the arch split, the weights w on the weight split, by turns (Eqs. 3 and 4):

    min_α  L_arch(w*(α), α)    such that    w*(α) = argmin_w L_weight(w, α)

PC-DARTS uses the first order, and learns β together with α: where this file says α, read α and β.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.supernet.arch import ArchParameters, Mixture


class DARTS:
    """Every edge is the softmax-weighted sum of all its operations; none is drawn at random.

    Args:
        second_order: whether α looks one step of the weights ahead.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on α.
    """

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        second_order: bool = False,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space = space
        self.arch = ArchParameters(space, edge_normalization).to(device)
        self.optimizer = torch.optim.Adam(
            self.arch.parameters(), arch_learning_rate, arch_adam_betas, weight_decay=arch_weight_decay
        )
        self.second_order = second_order

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    def mixture(self) -> Mixture:
        return self.arch.mixture()  # softmax(α), Eq. 2 of DARTS, and softmax(β), Eq. 2 of PC-DARTS

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.mixture())]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen:
        arch_batch = task.arch_batch()
        if self.second_order:
            gradients, seen = second_order_gradients(task, self.arch, weight_batch, arch_batch)
        else:
            gradients, seen = first_order_gradients(task, self.arch, arch_batch)
        task.apply(self.optimizer, gradients, seen)
        return seen

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self.arch)  # Sec. 2.4

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])


def first_order_gradients(task: Task, arch: ArchParameters, arch_batch: Batch) -> tuple[list[Tensor], Seen]:
    """∇_α L_arch(w, α) with the weights taken as they are (ξ = 0), in the order of `arch.parameters()`."""
    return task.gradients(arch.mixture(), arch_batch, list(arch.parameters()))


def second_order_gradients(
    task: Task, arch: ArchParameters, weight_batch: Batch, arch_batch: Batch, radius: float = 1e-2
) -> tuple[list[Tensor], Seen]:
    """∇_α L_arch(w'(α), α) for the weights w' after one more SGD step, in the order of `arch.parameters()`.

    By the chain rule (Eq. 7) it is ∇_α L_arch(w', α) minus ξ times a mixed second derivative of L_weight times
    ∇_w' L_arch(w', α). Eq. 8 approximates that product by a difference: ∇_α L_weight at w+ minus the same at w-,
    divided by 2 ε, where w± = w ± ε ∇_w' L_arch(w', α). α, weights and running statistics stay as they are.

    Args:
        radius: ε = radius / |∇_w' L_arch|; 0.01 in DARTS.
    """
    α, w = list(arch.parameters()), task.weights
    ξ = task.weight_optimizer.param_groups[0]["lr"]

    leaves = {name: weight.detach().requires_grad_() for name, weight in w.items()}
    weight_gradients, _ = task.gradients(  # ∇_w L_weight(w, α)
        arch.mixture().detach(), weight_batch, list(leaves.values()), leaves
    )
    w_ahead = next_weights(task, weight_gradients)  # w'
    gradients, seen = task.gradients(arch.mixture(), arch_batch, [*α, *w_ahead.values()], w_ahead)
    direct, direction = gradients[: len(α)], gradients[len(α) :]  # ∇_α L_arch(w', α) and ∇_w' L_arch(w', α)

    norm = torch.cat([v.flatten() for v in direction]).norm()
    ε = radius / norm.clamp_min(torch.finfo(norm.dtype).tiny)  # a direction of zeros gives w+ = w-
    differences = []
    for sign in (1, -1):
        moved = {name: (w[name] + sign * ε * v).detach() for name, v in zip(w, direction, strict=True)}  # w±
        differences.append(task.gradients(arch.mixture(), weight_batch, α, moved)[0])
    total = [
        gradient - ξ * (ahead - behind) / (2 * ε) for gradient, ahead, behind in zip(direct, *differences, strict=True)
    ]
    return total, seen


def next_weights(task: Task, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
    """w' = w - ξ (μ v + ∇_w L_weight(w, α) + λ w): SGD's next step, without gradient clipping (authors' code).

    With Nesterov's momentum the step looks ahead once more, as PyTorch's does.

    The result is made of new leaves: gradients with respect to them can be asked for, and lead no further. The task's
    weights, the optimiser's parameters and `gradients` must have the same order.
    """
    group, state = task.weight_optimizer.param_groups[0], task.weight_optimizer.state
    ξ, μ, λ = group["lr"], group["momentum"], group["weight_decay"]
    ahead = {}
    for (name, w), parameter, gradient in zip(task.weights.items(), group["params"], gradients, strict=True):
        step = gradient + λ * w
        if (v := state[parameter].get("momentum_buffer")) is not None:
            step = step + μ * (v if not group["nesterov"] else μ * v + step)
        elif group["nesterov"]:
            step = step + μ * step
        ahead[name] = (w - ξ * step).detach().requires_grad_()
    return ahead
