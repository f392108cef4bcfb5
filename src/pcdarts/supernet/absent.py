"""Gradients of zero for what a pass does not need: weights of absent operations, and all that only these read."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.ops.compiling import never_compiled
from pcdarts.supernet.arch import Mixture


@never_compiled
def reaching_all(logits: Tensor, space: CellSpace, mixture: Mixture, weights: Iterable[Tensor]) -> Tensor:
    """The same logits, with a gradient for all weights of the network and of the mixture: zero where they took no part.

    Where edges hold modules of their own, autograd leaves out what an absent operation would have had, and even the
    stem if no path is left to a cell's output. An optimiser would then keep no momentum of it, several processes would
    wait for it, and logits that depend on no α would have no gradient at all. Where all operations are computed,
    nothing is done.
    """
    if not torch.is_grad_enabled() or all(all(row) for kind in space.kinds for row in mixture.computed(kind)):
        return logits
    everything = [*mixture.op_weights.values(), *mixture.edge_weights.values(), *weights]
    learning = [each for each in everything if each.requires_grad]
    return _WithGradients.apply(logits, *learning) if learning else logits


class _WithGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, *others: Tensor) -> Tensor:
        ctx.save_for_backward(*others)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return gradient, *(torch.zeros_like(other) for other in ctx.saved_tensors)
