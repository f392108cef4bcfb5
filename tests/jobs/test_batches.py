"""The batches that jobs learn from."""

import torch

from pcdarts.config import SearchConfig
from pcdarts.data.sources import DataSet, Images
from pcdarts.jobs.batches import training_batches


def noise(count: int) -> DataSet:
    images = Images(torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8), torch.arange(count) % 2)
    return DataSet("noise", ("even", "odd"), images, images, (0.5,), (0.25,))


def sizes(count: int, batch_size: int) -> list[int]:
    data = noise(count)
    batches = training_batches(SearchConfig(batch_size=batch_size), data, data.train, "weight", torch.device("cpu"))
    assert len(batches) == len(list(batches.epoch(0)))
    return [len(labels) for _, labels in batches.epoch(0)]


def test_the_last_batch_may_be_smaller_but_never_a_single_image() -> None:
    assert sizes(18, batch_size=16) == [16, 2]
    assert sizes(17, batch_size=16) == [16]
    assert sizes(16, batch_size=16) == [16]


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    assert sizes(5, batch_size=16) == [5]
