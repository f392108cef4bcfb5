"""The sets of a data set: images kept for validation, and at most so many images of each set."""

from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from pcdarts.data.split import share_of_each_class, stratified_subset
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, in_short


class _Labelled(Protocol):
    """`Images`, or files of images: with labels, int64 `[N]`."""

    def __len__(self) -> int: ...
    @property
    def labels(self) -> Tensor: ...
    def subset(self, indices: Tensor, /) -> Self: ...


Some = TypeVar("Some", bound=_Labelled)


def keep_for_validation(train: Some, classes: tuple[str, ...], fraction: float) -> tuple[Some, Some, tuple[str, ...]]:
    """The training images without `fraction` of each class; those; and notes for the user.

    Which images these are depends on the data alone, not on the seed of a run: no run learns from those by which
    another one was chosen.

    Raises:
        InputError: no image can be kept, because no class has two.
    """
    left, kept = share_of_each_class(train.labels, fraction, generator(0, "validation set"))
    if not len(kept):
        raise InputError(
            f"validation_fraction is {fraction:g}, but no class has a second training image to keep for validation: "
            "add images, or use --validation-fraction 0 (and --select last)"
        )
    notes = [
        f"validation set: {len(kept):,} of the {len(train):,} training images, drawn of each class "
        f"(--validation-fraction {fraction:g}); the other {len(left):,} are learnt from"
    ]
    without = (train.labels[kept].bincount(minlength=len(classes)) == 0).nonzero().flatten().tolist()
    if without:
        names = in_short([classes[index] for index in without])
        have = "has" if len(without) == 1 else "have"
        notes.append(
            f"{len(without):,} of {len(classes):,} classes {have} no image in the validation set, because there are "
            f"too few of them: {names}"
        )
    return train.subset(left), train.subset(kept), tuple(notes)


def limit_training(
    train: Some,
    validation: Some | None,
    classes: tuple[str, ...],
    limit: int | None,
    seed: int,
    fraction: float,
    notes: list[str],
) -> tuple[Some, Some | None]:
    """At most `limit` training images; where `fraction` of them was kept for validation, so much of the limit is too.

    Raises:
        InputError: as in `limit_images`.
    """
    if validation is None or not fraction or limit is None or limit >= len(train) + len(validation):
        return limit_images(train, classes, "train", limit, seed, notes), validation
    part = max(1, min(round(limit * fraction), limit - len(classes), len(validation)))
    kept = stratified_subset(validation.labels, part, generator(seed, "validation", "images kept"))
    train = limit_images(train, classes, "train", limit, seed, notes, part)
    notes.append(f"{part:,} of {len(validation):,} validation images are used (--train-images {limit})")
    return train, validation.subset(kept)


def limit_images(
    images: Some,
    classes: tuple[str, ...],
    which: str,
    limit: int | None,
    seed: int,
    notes: list[str],
    others: int = 0,
) -> Some:
    """All images, or a stratified subset of `limit` of them, drawn by `seed`, and a note that says so.

    So many `others` count towards the limit.

    Raises:
        InputError: fewer images are to be kept than there are classes.
    """
    count = len(images)
    if limit is None or limit - others >= count:
        return images.subset(torch.arange(count))
    if limit < len(classes):
        raise InputError(
            f"{which}_images is {limit}, but there are {len(classes)} classes: use {len(classes)} or more, or none "
            "for all images"
        )
    left = min(max(limit - others, len(classes)), count)
    kept = stratified_subset(images.labels, left, generator(seed, which, "images kept"))
    kind = "training" if which == "train" else which
    notes.append(f"{len(kept):,} of {count:,} {kind} images are used (--{which}-images {limit})")
    return images.subset(kept)
