"""Losses and errors of a classifier."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from pcdarts.cell.space import NetworkKind
from pcdarts.errors import RunError
from pcdarts.run.processes import ALONE, Processes


class _Batches(Protocol):
    """Images, labels and the images' indices by the batch: `Batches`, or some of them."""

    def numbered(self, epoch: int, /) -> Iterable[tuple[Tensor, Tensor, Tensor]]: ...


class Mistake(NamedTuple):
    """An image that was taken for another class than its own."""

    image: int
    """Its index in the data."""
    label: int
    prediction: int
    probability: float
    """What the network gave to the class that it named, 0 to 1."""


@dataclass(frozen=True)
class Measured:
    """What a classifier made of images: an entry for each one that could be read, in their order."""

    num_classes: int
    images: Tensor
    """Their indices in the data, int64 `[N]`."""
    labels: Tensor
    predictions: Tensor
    """The class of the largest logit, int64 `[N]`."""
    probabilities: Tensor
    """Of the predicted class, by softmax, float64 `[N]`."""
    among_five: Tensor
    """Whether the label is among the classes of the five largest logits, bool `[N]`."""

    @property
    def errors(self) -> dict[str, float]:
        """`top1_error` and, of more than 5 classes, `top5_error`, in %."""
        total = len(self.labels)
        first, among = int((self.predictions == self.labels).sum()), int(self.among_five.sum())
        errors = {"top1_error": 100 * (total - first) / total}
        return errors | ({"top5_error": 100 * (total - among) / total} if self.num_classes > 5 else {})

    def mistakes(self, at_most: int) -> list[Mistake]:
        """The mistakes that the network was most certain of, first; of equal ones those of the first images."""
        wrong = (self.predictions != self.labels).nonzero().flatten()
        chosen = wrong[self.probabilities[wrong].argsort(descending=True, stable=True)[:at_most]]
        columns = (self.images, self.labels, self.predictions, self.probabilities)
        return [Mistake(*row) for row in zip(*(column[chosen].tolist() for column in columns), strict=True)]


@torch.no_grad()
def measure(
    classify: Callable[[Tensor], Tensor],
    batches: _Batches,
    processes: Processes = ALONE,
    between: Callable[[], None] = lambda: None,
    jointly: bool = False,
) -> Measured:
    """What `classify` makes of the images of one epoch.

    Every process measures its share of each batch and gets the whole; `between` is called after each batch. Nothing
    waits for the device before the end. If all processes classify `jointly`, because batch statistics are over them,
    a batch of which one has no image is left out: the last one may have fewer than there are processes.

    Raises:
        RunError: no image can be read.
    """
    rows, probabilities, classes = [torch.empty(0, 4, dtype=torch.int64)], [torch.empty(0, 1, dtype=torch.float64)], 0
    for images, labels, indices in batches.numbered(0):
        left_out = processes.any(len(labels) == 0)[0] if jointly else len(labels) == 0
        if not left_out:
            logits = classify(images)
            classes = logits.shape[1]
            best = logits.topk(min(5, classes)).indices
            among = (best == labels.unsqueeze(1)).sum(dim=1)
            rows.append(torch.stack([indices, labels, best[:, 0], among], dim=1))
            probabilities.append(logits.float().softmax(dim=1).gather(1, best[:, :1]))
        between()
    columns = [torch.cat([part.cpu().double() for part in parts]) for parts in (rows, probabilities)]
    together = processes.gather(torch.cat(columns, dim=1))
    if len(together) == 0:
        raise RunError("none of the images to measure the error on can be read: repair them")
    together = together[together[:, 0].argsort(stable=True)]
    images, labels, predictions, among = together[:, :4].long().unbind(dim=1)
    return Measured(classes, images, labels, predictions, together[:, 4].nan_to_num(), among > 0)


def top_errors(
    classify: Callable[[Tensor], Tensor],
    batches: _Batches,
    processes: Processes = ALONE,
    between: Callable[[], None] = lambda: None,
    jointly: bool = False,
) -> dict[str, float]:
    """`top1_error` and, of more than 5 classes, `top5_error`, in %, over the images of one epoch; see `measure`.

    The share of images whose class is not the one of the largest logit, not among those of the 5 largest.

    Raises:
        RunError: no image can be read.
    """
    return measure(classify, batches, processes, between, jointly).errors


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
        """Count one batch, unless the boolean `left_out` says that it does not count; `loss` is its mean.

        Of mixed images `labels` are the shares of the classes, `[B, classes]`: a prediction is right by the share of
        its class, as the authors of MixUp count.
        """
        images: Tensor | int = len(labels)
        predicted = logits.argmax(dim=1)
        if labels.ndim == 2:
            wrong = (1 - labels.double().gather(1, predicted.unsqueeze(1))).sum()
        else:
            wrong = (predicted != labels).sum()
        loss = loss.double() * len(labels)
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
