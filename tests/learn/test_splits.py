"""The images of a search's splits."""

import torch

from pcdarts.config.configs import SearchConfig
from pcdarts.data.images import Images
from pcdarts.learn.splits import without_order


def arch_images() -> Images:
    """Ten of each of four classes, class by class, the first number of each image telling which it is."""
    numbers = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1)
    return Images(numbers.expand(-1, 1, 4, 4), torch.arange(4).repeat_interleave(10))


def test_images_that_come_class_by_class_are_measured_in_batches_of_several_classes() -> None:
    mixed = without_order(SearchConfig(split_each_class=True), arch_images())
    assert all(len(labels.unique()) > 1 for labels in mixed.labels.split(8))
    numbers = mixed.pixels[:, 0, 0, 0].long()
    assert sorted(numbers.tolist()) == [*range(40)]
    assert torch.equal(mixed.labels, numbers // 10)
    again = without_order(SearchConfig(split_each_class=True), arch_images())
    assert torch.equal(again.labels, mixed.labels)


def test_images_that_were_drawn_from_all_classes_at_once_stay_in_their_order() -> None:
    images = arch_images()
    assert without_order(SearchConfig(), images) is images
