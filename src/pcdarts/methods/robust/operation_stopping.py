"""OLES (Jiang et al., 2023): an operation stops to learn when what it learns no longer helps on other images.

In every step of α the gradient of each operation's weights on the arch batch is compared with that of the last step of
the weights. Where the cosine, over some comparisons, is small in the mean, the operation only fits its own split: its
weights keep their values for good. An operation is one primitive on one edge of one cell.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.errors import InputError
from pcdarts.methods.method import At, Task

_OPERATION = re.compile(r"(cells\.\d+\.operations\.\w+)\.")
"""The beginning of the names of the weights of one primitive in one cell, each [edges, outputs, ...]."""


class OperationStopping:
    """Which operations have stopped, and what is known of the others.

    Args:
        threshold: of the mean cosine, below which an operation stops.
        steps: how many comparisons a mean has; then the next one begins.
    """

    def __init__(self, threshold: float, steps: int) -> None:
        self.threshold, self.steps = threshold, steps
        self.stage = 0
        self.groups: dict[str, dict[str, Tensor]] = {}
        """By primitive and cell: `total` and `count` of the cosines, and who is `held`, [edges] each."""
        self._weights: dict[str, Tensor] = {}
        self._loaded: dict[str, Tensor] = {}

    @property
    def figures(self) -> dict[str, float]:
        """How many operations have stopped."""
        return {"stopped": sum(int(group["held"].sum()) for group in self.groups.values())}

    def prepare(self, at: At, task: Task, keeps_weights: bool) -> None:
        """Before a step: a stage with fresh weights has no operation that has stopped.

        Raises:
            InputError: the supernet has no weights of operations by edges.
        """
        if self.groups and at.stage == self.stage:
            return
        weights = operation_weights(task)
        if not weights:
            raise InputError(
                "oles_threshold is on, but the weights of this space's operations are not by edges: drop it"
            )
        fresh: dict[str, dict[str, Tensor]] = {}
        for name, weight in weights.items():
            zeros = weight.new_zeros(len(weight))
            fresh[group_of(name)] = {"total": zeros, "count": zeros.long(), "held": zeros.bool()}
        if keeps_weights and self.groups:
            for name, group in self.groups.items():
                fresh[name]["held"] = group["held"].to(fresh[name]["held"].device)
        self.stage, self.groups, self._loaded = at.stage, fresh, {}

    def before_weight_step(self, task: Task) -> None:
        """Those that have stopped do not learn in the step that follows."""
        names = operation_weights(task)
        self._weights = dict(zip(task.weights, task.weight_optimizer.param_groups[0]["params"], strict=True))
        self._weights, self._loaded = {name: self._weights[name] for name in names}, {}
        task.hold(
            {
                name: self.groups[group_of(name)]["held"].to(weight.device).view(-1, *[1] * (weight.dim() - 1))
                for name, weight in self._weights.items()
            }
        )

    def last_gradients(self, task: Task) -> dict[str, Tensor]:
        """Those of the last step of the weights; none of those are there that took none."""
        if self._loaded:
            return self._loaded
        parameters = dict(zip(task.weights, task.weight_optimizer.param_groups[0]["params"], strict=True))
        return {name: weight.grad for name, weight in parameters.items() if weight.grad is not None}

    def compare(self, gradients: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> None:
        """Add the cosines of two gradients of the weights of operations, and stop operations whose mean is small.

        An operation without a gradient, in either, was not computed, and is not compared.
        """
        cosines: dict[str, list[Tensor]] = {}
        there: dict[str, Tensor] = {}
        for name, ours in gradients.items():
            if name not in last:
                return
            of, theirs = group_of(name), last[name].to(ours.device)
            cosines.setdefault(of, []).append(F.cosine_similarity(ours, theirs, dim=1).flatten(1).mean(1))
            both = ours.flatten(1).any(1) & theirs.flatten(1).any(1)
            there[of] = there.get(of, torch.ones_like(both)) & both
        for name, found in cosines.items():
            group = {key: value.to(found[0].device) for key, value in self.groups[name].items()}
            cosine = torch.stack(found).mean(0)
            counts = there[name] & cosine.isfinite()
            total, count = group["total"] + cosine.masked_fill(~counts, 0), group["count"] + counts
            full = count >= self.steps
            held = group["held"] | (full & (total < self.threshold * count))
            self.groups[name] = {"total": total.masked_fill(full, 0), "count": count.masked_fill(full, 0), "held": held}

    def state_dict(self) -> dict[str, Any]:
        gradients = {name: weight.grad for name, weight in self._weights.items() if weight.grad is not None}
        return {"stage": self.stage, "groups": self.groups, "gradients": self._loaded or gradients}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.stage, self._loaded = state["stage"], dict(state["gradients"])
        self.groups = {name: dict(group) for name, group in state["groups"].items()}


def operation_weights(task: Task) -> dict[str, Tensor]:
    """The weights of all operations by name, as constants."""
    return {name: weight for name, weight in task.weights.items() if _OPERATION.match(name)}


def group_of(name: str) -> str:
    """The primitive and the cell that a weight belongs to."""
    found = _OPERATION.match(name)
    assert found is not None, f"{name} is no weight of an operation"
    return found[1]
