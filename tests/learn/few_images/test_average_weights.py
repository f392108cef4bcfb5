"""The average of a network's weights over the steps of its training."""

import pytest
import torch
from torch import nn

from pcdarts.learn.few_images.average_weights import AverageWeights


def test_it_is_an_exponential_moving_average_of_weights_and_running_statistics() -> None:
    network = nn.BatchNorm1d(1)
    average = AverageWeights(network, 0.5)
    for step, (weight, mean) in enumerate(((2.0, 4.0), (3.0, 8.0)), 1):
        nn.init.constant_(network.weight, weight)
        network.running_mean.fill_(mean)
        network.num_batches_tracked += 1
        average.update(network, step)
    early, later = 2 / 11, 3 / 12  # the decay after one step and after two, while it is below 0.5
    expected = later * (early * 1 + (1 - early) * 2) + (1 - later) * 3
    assert float(average.network.weight) == pytest.approx(expected)
    assert float(average.network.running_mean) == pytest.approx(later * (1 - early) * 4 + (1 - later) * 8)
    assert int(average.network.num_batches_tracked) == 2
    average.update(network, 1000)
    assert float(average.network.weight) == pytest.approx((expected + 3) / 2)


def test_the_network_and_its_average_share_nothing() -> None:
    network = nn.Linear(2, 2)
    average = AverageWeights(network, 0.9)
    before = average.network.weight.clone()
    nn.init.zeros_(network.weight)
    assert torch.equal(average.network.weight, before)
    assert not average.network.weight.requires_grad
    assert not average.network.training
    assert network.training
