"""Classes of unequal size: their weights in the loss of a training, and what a job says of them at its start."""

import torch.nn.functional as F
from torch import Tensor

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.data.images import DataSet
from pcdarts.errors import counted, shown


def class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """A weight `[num_classes]` for each class, inversely proportional to how many of the `labels` are of it.

    Their mean over the images is 1, so that the learning rate keeps its meaning. A class without images has 0.
    """
    counts = labels.bincount(minlength=num_classes)
    weights = len(labels) / (counts.count_nonzero() * counts.clamp(min=1))
    return weights.masked_fill(counts == 0, 0)


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """The mean loss of a batch.

    Args:
        labels: `[B]`, or of mixed images the share of each class, `[B, classes]`.
        weights: by which the loss of each class is multiplied. The mean is over images, not over weights: so it is that
            of the parts of a batch, and the learning rate of a batch does not depend on who is in it.
    """
    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    shares = labels if labels.ndim == 2 else F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return F.cross_entropy(logits, shares, weights, label_smoothing=smoothing)


def balance_lines(config: SearchConfig | TrainConfig, data: DataSet) -> list[str]:
    """With numbers, what is done about classes of unequal size; nothing where nothing is done."""
    by_weights = isinstance(config, TrainConfig) and config.class_weights == "balanced"
    if not by_weights and config.sampling != "balanced":
        return []
    labels = data.train.labels
    counts = labels.bincount(minlength=data.num_classes)
    present = counts.nonzero().flatten()
    most, least = present[counts[present].argmax()], present[counts[present].argmin()]
    if counts[most] == counts[least]:
        way = "class weights change" if by_weights else "balanced sampling changes"
        return [f"every class has {counted(int(counts[most]), 'training image')}: {way} hardly anything"]
    often, rare = (f"{shown(data.classes[end], 40)} ({counted(int(counts[end]), 'image')})" for end in (most, least))
    if by_weights:
        weights = class_weights(labels, data.num_classes)
        return [f"class weights in the loss: from {weights[most]:.3g} for {often} to {weights[least]:.3g} for {rare}"]
    each = len(labels) / len(present)
    return [
        f"balanced sampling: {each:.0f} images of each class in an epoch of {len(labels):,}: one of {often} comes "
        f"{each / counts[most]:.2f} times on average, one of {rare} {each / counts[least]:.2f} times"
    ]
