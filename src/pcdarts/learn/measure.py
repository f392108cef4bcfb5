"""Losses and errors of a classifier."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from pcdarts.cell.space import NetworkKind
from pcdarts.errors import RunError
from pcdarts.run.processes import ALONE, Processes


class _Batches(Protocol):
    """Images and labels by the batch: `Batches`, or some of them."""

    def epoch(self, epoch: int, /) -> Iterable[tuple[Tensor, Tensor]]: ...


@torch.no_grad()
def top_errors(
    classify: Callable[[Tensor], Tensor],
    batches: _Batches,
    processes: Processes = ALONE,
    between: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """`top1_error` and, of more than 5 classes, `top5_error`, in %, over the images of one epoch.

    The share of images whose class is not the one of the largest logit, not among those of the 5 largest. Every process
    measures its share of each batch; `between` is called after each one.

    Raises:
        RunError: no image can be read.
    """
    found_first: Tensor | int = 0
    found_among: Tensor | int = 0
    measured = classes = 0
    for images, labels in batches.epoch(0):
        if len(labels) > 0:  # the last batch may have fewer images than there are processes
            logits = classify(images)
            classes = logits.shape[1]
            found = logits.topk(min(5, classes)).indices == labels.unsqueeze(1)
            found_first, found_among = found_first + found[:, 0].sum(), found_among + found.sum()
            measured += len(labels)
        between()
    counts = torch.tensor([int(found_first), int(found_among), measured])
    first, among_five, total = processes.total(counts).tolist()
    if total == 0:
        raise RunError("none of the images to measure the error on can be read: repair them")
    errors = {"top1_error": 100 * (total - first) / total}
    return errors | ({"top5_error": 100 * (total - among_five) / total} if classes > 5 else {})


def errors_text(kind: NetworkKind, errors: Mapping[str, float], what: str = "error") -> str:
    """The errors in words: top-5 too for networks of the kind that the paper reports it of."""
    text = f"top-1 {what} {errors['top1_error']:.2f} %"
    with_five = kind == "imagenet" and "top5_error" in errors
    return f"{text}, top-5 {what} {errors['top5_error']:.2f} %" if with_five else text


class Average:
    """Loss and top-1 error over the batches of an epoch, summed on the device.

    With several processes each adds its share; what is saved and what `named` gives is that of all.
    """

    def __init__(self, split: str, processes: Processes = ALONE) -> None:
        self._split, self._processes = split, processes
        self.clear()

    def clear(self) -> None:
        """Begin a new epoch."""
        self.images: Tensor | int = 0
        self.loss: Tensor | float = 0.0
        self.wrong: Tensor | float = 0.0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, left_out: Tensor | None = None) -> None:
        """Count one batch, unless the boolean `left_out` says that it does not count; `loss` is its mean."""
        images: Tensor | int = len(labels)
        loss, wrong = loss.double() * len(labels), (logits.argmax(dim=1) != labels).sum()
        if left_out is not None:
            images = (~left_out) * len(labels)
            loss, wrong = loss.masked_fill(left_out, 0), wrong.masked_fill(left_out, 0)
        self.images, self.loss, self.wrong = self.images + images, self.loss + loss, self.wrong + wrong

    def so_far(self) -> dict[str, Tensor]:
        """`{split}_loss` and `{split}_top1_error` in %, still on the device; nothing before the first batch."""
        return _means(self._split, self.images, torch.as_tensor(self.loss), torch.as_tensor(self.wrong))

    def named(self) -> dict[str, float]:
        """The same over all processes as plain numbers, for which the device is waited for."""
        means = _means(self._split, **self.state_dict())
        return {name: float(value) for name, value in means.items()}

    def state_dict(self) -> dict[str, Any]:
        """The sums over all processes, each of which must call this."""
        loss, wrong = torch.as_tensor(self.loss), torch.as_tensor(self.wrong)
        if self._processes.count > 1:
            sums = torch.stack([torch.as_tensor(float(x), dtype=torch.float64) for x in (self.images, loss, wrong)])
            images, loss, wrong = self._processes.total(sums)
            return {"images": int(images), "loss": loss, "wrong": wrong}
        return {"images": int(self.images), "loss": loss.cpu(), "wrong": wrong.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved sums, which the first process keeps for all."""
        self.clear()
        if self._processes.is_first and state["images"] > 0:
            self.images, self.loss, self.wrong = state["images"], state["loss"], state["wrong"]


def _means(split: str, images: Tensor | int, loss: Tensor, wrong: Tensor) -> dict[str, Tensor]:
    if isinstance(images, int) and images == 0:
        return {}
    return {f"{split}_loss": loss.double() / images, f"{split}_top1_error": 100 * wrong.double() / images}
