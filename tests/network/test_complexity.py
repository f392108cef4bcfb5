"""Counts of parameters and mult-adds, against closed forms and the paper's tables."""

import pytest
import torch
from torch import nn

from authors_layout import AuthorsNetwork
from pcdarts.cell.zoo import published
from pcdarts.network.complexity import Complexity, complexity
from pcdarts.network.network import Network


def imagenet_network(name: str) -> Network:
    """The network of Sec. 4.3, without data: only its shapes are asked for."""
    with torch.device("meta"):
        return Network(published(name), kind="imagenet", channels=48, num_cells=14, num_classes=1000)


def test_the_pc_darts_cell_of_cifar10_has_the_papers_parameters():
    with torch.device("meta"):
        network = Network(published("pc_darts_cifar10"), channels=36, num_cells=20)
    assert complexity(network).params == 3_634_678  # Table 1: 3.6 M


@pytest.mark.parametrize(
    ("name", "params", "published_mult_adds"),
    [("pc_darts_imagenet", 5_342_464, 597), ("pc_darts_cifar10", 5_270_560, 586)],
)
def test_imagenet_networks_have_the_costs_of_table_2(name, params, published_mult_adds):
    network = imagenet_network(name)
    counted = complexity(network, (3, 224, 224))
    assert counted.params == params
    # The table's figures come out when a BatchNorm counts two operations per output and a ReLU one, in the authors'
    # layout, where every operation has a ReLU of its own.
    with torch.device("meta"):
        authors = AuthorsNetwork(
            published(name), kind="imagenet", channels=48, num_cells=14, num_classes=1000, auxiliary=False
        )
    extras = []
    for module in authors.eval().modules():
        weight = {nn.BatchNorm2d: 2, nn.ReLU: 1}.get(type(module), 0)
        module.register_forward_hook(lambda _, __, output, weight=weight: extras.append(weight * _numel(output)))
    authors(torch.empty(1, 3, 224, 224, device="meta"))
    assert round((counted.mult_adds + sum(extras)) / 1e6) == published_mult_adds


def _numel(output: object) -> int:
    return output.numel() if isinstance(output, torch.Tensor) else 0


def test_a_small_model_costs_what_the_formula_says():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    expected_params = 3 * 8 * 9 + 2 * 8 + 8 * 25 + 8 * 4 + 4
    expected_mult_adds = 10 * 6 * 3 * 8 * 9 + 5 * 3 * 8 * 25 + 8 * 4
    assert complexity(model, (3, 10, 6)) == Complexity(expected_params, expected_mult_adds)


def test_the_auxiliary_head_does_not_count():
    options = {"channels": 4, "num_cells": 3}
    with_head, without = (Network(published("darts_v2"), **options, auxiliary=auxiliary) for auxiliary in (True, False))
    assert complexity(with_head) == complexity(without)


def test_counting_leaves_the_model_as_it_was():
    network = Network(published("darts_v2"), channels=4, num_cells=3).double()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    counted = complexity(network)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert counted == complexity(network.float())


def test_greyscale_images_cost_less():
    colour, grey = (
        complexity(Network(published("darts_v2"), channels=4, num_cells=3, image_channels=c), (c, 28, 28))
        for c in (3, 1)
    )
    assert colour.mult_adds - grey.mult_adds == 2 * 12 * 9 * 28 * 28
