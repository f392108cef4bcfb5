"""ENAS (Pham et al., 2018): a controller that learns by REINFORCE which cells to draw, over shared weights.

In each epoch the weights ω learn on cells that the controller π(θ) draws. Then θ moves along the policy gradient

    ∇_θ E_{m~π(θ)} [R(m, ω)] ≈ 1/n Σ_i (R(m_i, ω) - b) ∇_θ log π(m_i; θ)

where the reward R is the accuracy on a batch of the arch split plus a weight times the entropy of the decisions, which
counts as a number, and b is a moving mean of the rewards before.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.methods.sampling.controller import Controller, cells_of
from pcdarts.methods.sampling.whole_cells import WholeCells
from pcdarts.supernet.arch import Mixture

_SHOWN = 100


class ENAS:
    """The controller learns at the end of each epoch in which `step` is called.

    Args:
        controller_size: units of the controller's LSTM.
        controller_steps, controller_samples: steps of the controller in an epoch, and cells drawn for each (n).
        controller_learning_rate: of Adam on θ.
        entropy_weight: of the entropy in the reward, whose accuracy is between 0 and 1.
        baseline_decay: how much of b is left after a step.
        candidates: cells drawn at the end, of which the best is kept.
        candidate_batches, finalists: as in `WholeCells.best`.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on β.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        controller_size: int = 64,
        controller_steps: int = 30,
        controller_samples: int = 10,
        controller_learning_rate: float = 3.5e-3,
        entropy_weight: float = 1e-4,
        baseline_decay: float = 0.99,
        candidates: int = 10,
        candidate_batches: int = 10,
        finalists: int = 10,
        arch_learning_rate: float = 6e-4,
        arch_adam_betas: tuple[float, float] = (0.5, 0.999),
        arch_weight_decay: float = 1e-3,
    ) -> None:
        self.space, self.steps, self.samples = space, controller_steps, controller_samples
        self.entropy_weight, self.baseline_decay = entropy_weight, baseline_decay
        self.candidates, self.candidate_batches, self.finalists = candidates, candidate_batches, finalists
        self.cells = WholeCells(
            space, edge_normalization, device, arch_learning_rate, arch_adam_betas, arch_weight_decay
        )
        self.controller = Controller(space, controller_size).to(device)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), controller_learning_rate)
        self.arch = nn.ModuleList([self.cells, self.controller])
        self.baseline: float | None = None
        self.started = False

    def stages(self) -> Sequence[Stage]:
        return [Stage()]

    @torch.no_grad()
    def drawn(self, number: int, chance: torch.Generator) -> list[Genotype]:
        """So many cells of the controller as it is."""
        return cells_of(self.controller(number, chance).decisions, self.space)

    def mixture(self) -> Mixture:
        """How often a hundred cells have each operation; they are drawn with the same random numbers always."""
        return self.cells.often(self.drawn(_SHOWN, torch.Generator().manual_seed(0)))

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return [(1.0, self.cells.path(self.drawn(1, batch.chance())[0]))]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        self.started = True
        return self.cells.learn(task, lambda chance: self.drawn(1, chance)[0])

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        for _ in range(self.steps if self.started else 0):
            loss, rewards = self.policy_loss(task, chance)
            gradients = torch.autograd.grad(loss, list(self.controller.parameters()), materialize_grads=True)
            nothing = loss.new_zeros(0)
            task.apply(self.optimizer, gradients, Seen(loss.detach(), nothing, nothing))
            mean = float(rewards.mean())
            old = mean if self.baseline is None else self.baseline
            self.baseline = self.baseline_decay * old + (1 - self.baseline_decay) * mean

    def policy_loss(self, task: Task, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """What has the policy gradient, with another sign; and the rewards [n].

        Without rewards before there is the mean of these instead of b.
        """
        drawn = self.controller(self.samples, chance)
        with torch.no_grad():
            paths = [self.cells.path(cell) for cell in cells_of(drawn.decisions, self.space)]
            errors = task.errors(paths, task.arch_batch())
            rewards = 1 - errors.to(drawn.log_probs) / 100 + self.entropy_weight * drawn.entropies
        b = rewards.mean() if self.baseline is None else self.baseline
        return -((rewards - b) * drawn.log_probs).mean(), rewards

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        """The best of the candidates; without a task the first of them, which nobody has compared with others."""
        cells = self.drawn(self.candidates if task else 1, chance)
        return self.cells.best(task, cells, self.candidate_batches, self.finalists) if task else cells[0]

    def state_dict(self) -> dict[str, Any]:
        return {
            "cells": self.cells.learnt(),
            "controller": self.controller.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
            "started": self.started,
        }

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.cells.learnt_from(state["cells"])
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline, self.started = state["baseline"], state["started"]
