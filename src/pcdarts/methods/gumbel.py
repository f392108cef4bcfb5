"""Gumbel noise, by which operations are drawn in proportion to softmax(α)."""

import torch
from torch import Tensor

from pcdarts.ops.sending import send


def gumbel_like(logits: Tensor, chance: torch.Generator) -> Tensor:
    """Standard Gumbel noise of the shape and type of `logits`, on their device, drawn on the CPU and always finite.

    The largest of logits + noise in a row is each entry with its probability under the row's softmax.
    """
    waiting = torch.empty(logits.shape, dtype=torch.float64).exponential_(generator=chance)
    noise = -waiting.clamp_min(torch.finfo(torch.float64).tiny).log()
    return send(noise.to(logits.dtype), logits.device)


def chosen_columns(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each row of `scores` [edges, primitives]: as ones among zeros, and as `Mixture.active`.

    A GPU is waited for: which operations are computed is decided on the CPU.
    """
    chosen = torch.zeros_like(scores).scatter_(1, scores.detach().argmax(dim=1, keepdim=True), 1)
    return chosen, chosen.cpu().bool()
