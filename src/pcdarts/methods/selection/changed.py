"""Mixtures without one of their parts, and a task for a method that is to see such mixtures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.space import CellKind
from pcdarts.methods.method import Batch, Seen, Task
from pcdarts.supernet.arch import Mixture


class ChangedTask:
    """A task that computes with what a function makes of each mixture."""

    def __init__(self, task: Task, change: Callable[[Mixture], Mixture]) -> None:
        self._task, self._change = task, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def gradients(self, mixture: Mixture, *arguments: Any) -> tuple[list[Tensor], Seen]:
        return self._task.gradients(self._change(mixture), *arguments)

    def losses(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self._task.losses([self._change(mixture) for mixture in mixtures], batch)

    def errors(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self._task.errors([self._change(mixture) for mixture in mixtures], batch)


def without(mixture: Mixture, kind: CellKind, edge: int, column: int | None = None) -> Mixture:
    """The mixture without one operation of an edge, or without the edge; the others keep their weights."""
    op_weights, edge_weights = mixture.op_weights[kind].clone(), mixture.edge_weights[kind].clone()
    active = torch.tensor(mixture.computed(kind))
    columns = slice(None) if column is None else slice(column, column + 1)
    op_weights[edge, columns], active[edge, columns] = 0, False
    if column is None:
        edge_weights[edge] = 0  # so that nothing passes by either, with partial channels
    others = {other: torch.tensor(mixture.computed(other)) for other in mixture.op_weights}
    return replace(
        mixture,
        op_weights={**mixture.op_weights, kind: op_weights},
        edge_weights={**mixture.edge_weights, kind: edge_weights},
        active={**others, kind: active},
    )
