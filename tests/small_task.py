"""The task of a search around any network, for tests of steps and gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pcdarts.learn.learning import make_scaler
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import Batch
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import ALONE, Processes


def no_batch() -> Batch:
    raise AssertionError("nobody should ask for a batch of the arch split")


def task_of(
    network: nn.Module,
    optimizer: torch.optim.SGD | None = None,
    *,
    parts: int = 1,
    gradient_clip: float = 5.0,
    scaler: torch.amp.GradScaler | None = None,
    processes: Processes = ALONE,
    finite: FiniteCheck | None = None,
    arch_batch: Callable[[], Batch] = no_batch,
    **more: Any,
) -> SupernetTask:
    """With plain SGD, in one part and one process, and an end at the first bad number, where nothing else is said."""
    return SupernetTask(
        network,  # type: ignore[arg-type]
        optimizer or torch.optim.SGD(network.parameters(), 0.1),
        gradient_clip=gradient_clip,
        parts=parts,
        scaler=scaler or make_scaler("off", torch.device("cpu")),
        processes=processes,
        finite=finite or FiniteCheck(0, [network], processes),
        arch_batch=arch_batch,
        **more,
    )
