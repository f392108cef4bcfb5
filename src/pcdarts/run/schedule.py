"""Schedules as pure functions of the epoch, counted from 0: nothing to save, nothing to restore."""

import math
from typing import Literal


def cosine(epoch: int, epochs: int, start: float, end: float = 0.0) -> float:
    """Annealed from `start` to `end` by a cosine without restart (Sec. 4.2), once per epoch as in the authors' code.

    The last epoch, `epochs - 1`, still runs a little above `end`.
    """
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def linear(epoch: int, epochs: int, start: float, end: float = 0.0) -> float:
    """Decayed from `start` towards `end` in equal steps, once per epoch (Sec. 4.3)."""
    return start + (end - start) * epoch / epochs


def warmed_up(epoch: int, lr_warmup_epochs: int, start: float, scheduled: float) -> float:
    """During the warm-up 1/n, 2/n, ..., all of `start`; after these n epochs what the schedule says (Sec. 4.3)."""
    return start * (epoch + 1) / lr_warmup_epochs if epoch < lr_warmup_epochs else scheduled


def scheduled(
    epoch: int, epochs: int, start: float, end: float, schedule: Literal["cosine", "linear"], lr_warmup_epochs: int
) -> float:
    """The learning rate of an epoch."""
    falling = {"cosine": cosine, "linear": linear}[schedule]
    return warmed_up(epoch, lr_warmup_epochs, start, falling(epoch, epochs, start, end))


def drop_path_rate(epoch: int, epochs: int, rate: float) -> float:
    """Probability of dropping a path, ramped linearly from 0 towards `rate` (authors' code)."""
    return rate * epoch / epochs
