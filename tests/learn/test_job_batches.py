"""The batches that jobs learn from."""

import pytest
import torch

from pcdarts.config.configs import SearchConfig
from pcdarts.data.sources import DataSet, Images
from pcdarts.errors import InputError
from pcdarts.learn.job_batches import training_batches
from pcdarts.run.processes import ALONE, Processes

CPU = torch.device("cpu")


def noise(count: int) -> DataSet:
    images = Images(torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8), torch.arange(count) % 2)
    return DataSet("noise", ("even", "odd"), images, images, (0.5,), (0.25,))


def sizes(count: int, batch_size: int, processes: Processes = ALONE) -> list[int]:
    data = noise(count)
    batches = training_batches(SearchConfig(batch_size=batch_size), data, data.train, "weight", CPU, processes)
    assert len(batches) == len(list(batches.epoch(0)))
    return [len(labels) for _, labels in batches.epoch(0)]


def test_the_last_batch_may_be_smaller_but_never_a_single_image() -> None:
    assert sizes(18, batch_size=16) == [16, 2]
    assert sizes(17, batch_size=16) == [16]
    assert sizes(16, batch_size=16) == [16]


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    assert sizes(5, batch_size=16) == [5]


def test_every_process_has_an_equal_share_of_two_images_or_more() -> None:
    first, second = Processes(0, 2), Processes(1, 2)
    assert sizes(21, 16, first) == sizes(21, 16, second) == [8, 2]  # of five images one is left out
    assert sizes(19, 16, first) == sizes(19, 16, second) == [8]


@pytest.mark.parametrize(("batch_size", "message"), [(15, "use a multiple of 2"), (2, "2 processes")])
def test_a_batch_that_cannot_be_shared_out_is_refused(batch_size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sizes(40, batch_size, Processes(0, 2))
