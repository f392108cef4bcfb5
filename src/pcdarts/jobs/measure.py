"""Losses and errors of a classifier, and the end of a run whose numbers have left the finite ones."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pcdarts.data.batches import Batches
from pcdarts.errors import RunError
from pcdarts.run.folder import RunFolder


@torch.no_grad()
def top1_error(classify: Callable[[Tensor], Tensor], batches: Batches) -> float:
    """The share, in %, of the images of one epoch whose largest logit is not that of their class."""
    wrong = total = 0
    for images, labels in batches.epoch(0):
        wrong += int((classify(images).argmax(dim=1) != labels).sum())
        total += len(labels)
    return 100 * wrong / total


class Average:
    """Loss and top-1 error over the batches of an epoch, summed on the device."""

    def __init__(self) -> None:
        self.images = 0
        self.loss: Tensor | float = 0.0
        self.wrong: Tensor | float = 0.0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch; `loss` is its mean."""
        self.images += len(labels)
        self.loss = self.loss + loss * len(labels)
        self.wrong = self.wrong + (logits.argmax(dim=1) != labels).sum()

    @property
    def is_finite(self) -> bool:
        return bool(torch.isfinite(torch.as_tensor(self.loss)))

    def so_far(self, split: str) -> dict[str, Tensor]:
        """`{split}_loss` and `{split}_top1_error` in %, still on the device; nothing before the first batch."""
        if self.images == 0:
            return {}
        return {
            f"{split}_loss": torch.as_tensor(self.loss).double() / self.images,
            f"{split}_top1_error": 100 * torch.as_tensor(self.wrong).double() / self.images,
        }

    def named(self, split: str) -> dict[str, float]:
        """The same as plain numbers, for which the device is waited for."""
        return {name: float(value) for name, value in self.so_far(split).items()}


def stop_if_diverged(
    run: RunFolder, epoch: int, learning_rate: float, averages: list[Average], modules: list[nn.Module]
) -> None:
    """End a run whose loss, weights or statistics are no longer finite after `epoch`, before they are saved.

    Raises:
        RunError: they are not.
    """
    if all(average.is_finite for average in averages) and all(map(_is_finite, modules)):
        return
    kept = f"; the checkpoint of epoch {epoch - 1} in {run.path} is intact" if epoch > 1 else ""
    raise RunError(
        f"the loss or the weights are not numbers any more in epoch {epoch} at learning rate {learning_rate:.4g}: "
        f"start a new run with a lower --learning-rate{kept}"
    )


def _is_finite(module: nn.Module) -> bool:
    checks = [tensor.isfinite().all() for tensor in module.state_dict().values()]
    return bool(torch.stack(checks).all())
