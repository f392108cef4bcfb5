"""Random splits of images: the two splits of a search, stratified subsets, and a test set if none is given."""

import torch
from torch import Tensor

from pcdarts.data.streams import generator
from pcdarts.errors import InputError


def split_indices(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split the training set into the disjoint `weight` and `arch` splits, which together are all of it (Sec. 4.2).

    A plain random permutation, not a stratified one. (The authors take the first and the second half of the files.)

    Args:
        labels: int64 `[N]`; only their number matters.
        fraction: the share of the weight split, 0.5 in the paper.

    Returns:
        The weight indices `[floor(fraction * N)]` and the arch indices, int64 on the CPU.

    Raises:
        InputError: one of the two would be empty.
    """
    count = len(labels)
    weight_count = int(fraction * count)
    if not 0 < weight_count < count:
        raise InputError(
            f"weight_fraction {fraction} of {count} training images leaves the weight or the arch split empty: "
            "use a fraction between 0 and 1 (the paper uses 0.5) or more images"
        )
    order = torch.randperm(count, generator=generator(seed, "weight and arch splits"))
    return order[:weight_count], order[weight_count:]


def split_each_class(labels: Tensor, weight_fraction: float, arch_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draw disjoint `weight` and `arch` splits as fractions of each class (Sec. 4.3: 10 % and 2.5 % of ImageNet).

    Each split gets `fraction * n`, rounded, and at least one, of the n images of a class.

    Args:
        labels: int64 `[N]`.

    Returns:
        The weight and the arch indices, int64, class by class, in random order within a class.

    Raises:
        InputError: the fractions add up to more than 1, or a class has a single image.
    """
    if weight_fraction + arch_fraction > 1 + 1e-9:
        raise InputError(
            f"weight_fraction {weight_fraction:g} and arch_fraction {arch_fraction:g} are more than all images: use "
            "fractions whose sum is at most 1"
        )
    order, rank = _shuffled_classes(labels, generator(seed, "weight and arch splits of each class"))
    sizes = labels.bincount()
    if bool((sizes[labels] < 2).any()):
        raise InputError("a class has one training image, but each split needs one of it: add images, or remove it")
    weight = (sizes * weight_fraction).round().clamp(min=1)
    arch = torch.minimum((sizes * arch_fraction).round().clamp(min=1), sizes - 1)
    weight = torch.minimum(weight, sizes - arch)
    of_image = labels[order]
    is_weight = rank < weight[of_image]
    is_arch = ~is_weight & (rank < (weight + arch)[of_image])
    return order[is_weight], order[is_arch]


def stratified_subset(labels: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Indices, ascending, of `count` of N images, equally many of each class as far as possible."""
    order, rank = _shuffled_classes(labels, draw)
    return order[rank.argsort(stable=True)[:count]].sort().values


def stratified_split(labels: Tensor, fraction: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices, ascending, of two disjoint parts that together are all images; the second has `fraction` of each class.

    The second part has at least one image of each class; so has the first, if the class has two images.
    """
    order, rank = _shuffled_classes(labels, draw)
    taken = (labels.bincount() * fraction).round().clamp(min=1)
    second = rank < taken[labels[order]]
    return order[~second].sort().values, order[second].sort().values


def share_of_each_class(labels: Tensor, fraction: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices, ascending, of two disjoint parts that together are all images; the second has `fraction` of them.

    Each class gives its share, rounded up or down so that the sum is right (the largest remainders are rounded up), and
    keeps at least one image in the first part. So a class of few images may have none in the second.
    """
    order, rank = _shuffled_classes(labels, draw)
    sizes = labels.bincount()
    most = (sizes - 1).clamp(min=0)
    exact = sizes.double() * fraction
    taken = torch.minimum(exact.floor().long(), most)
    missing = max(1, round(len(labels) * fraction)) - int(taken.sum())
    remainders = (exact - taken).masked_fill(taken >= most, -1)
    shuffled = torch.randperm(len(sizes), generator=draw)  # which of equals comes first is left to chance
    first = shuffled[remainders[shuffled].argsort(descending=True, stable=True)][: max(0, missing)]
    taken[first[remainders[first] > 0]] += 1
    second = rank < taken[labels[order]]
    return order[~second].sort().values, order[second].sort().values


def _shuffled_classes(labels: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """The images class by class, in random order within each class, and their ranks (0, 1, ...) in that order."""
    shuffled = torch.randperm(len(labels), generator=draw)
    order = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = labels.bincount()
    starts = sizes.cumsum(0) - sizes
    return order, torch.arange(len(labels)) - starts[labels[order]]
