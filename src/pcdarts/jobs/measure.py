"""Losses and errors of a classifier."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.sources import Images


@torch.no_grad()
def top1_error(classify: Callable[[Tensor], Tensor], batches: Batches) -> float:
    """The share, in %, of the images of one epoch whose largest logit is not that of their class."""
    wrong = total = 0
    for images, labels in batches.epoch(0):
        wrong += int((classify(images).argmax(dim=1) != labels).sum())
        total += len(labels)
    return 100 * wrong / total


def plain_batches(
    images: Images, mean: Sequence[float], std: Sequence[float], batch_size: int, device: torch.device
) -> Batches:
    """Batches for a measurement: in order, and nothing done to the images but normalising."""
    return Batches(
        images,
        batch_size=batch_size,
        mean=mean,
        std=std,
        augmentation=Augmentation(),
        shuffle=False,
        drop_last=False,
        seed=0,
        stream="test",
        device=device,
    )


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

    def named(self, split: str) -> dict[str, float]:
        """`{split}_loss` and `{split}_top1_error` in %; nothing when there was no batch."""
        if self.images == 0:
            return {}
        return {
            f"{split}_loss": float(self.loss) / self.images,
            f"{split}_top1_error": 100 * float(self.wrong) / self.images,
        }
