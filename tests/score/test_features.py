"""What a regressor is told of a cell."""

import numpy as np
import pytest
import torch

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.network.complexity import complexity
from pcdarts.network.costs import network_costs
from pcdarts.network.network import Network
from pcdarts.score.features import features

SIZES = {"kind": "cifar", "channels": 4, "num_cells": 5, "num_classes": 10}
SPACE = CellSpace(5)
CELLS = [random_genotype(SPACE, seed) for seed in range(6)]


@pytest.fixture(scope="module")
def costs():
    return network_costs(SPACE, **SIZES, image_channels=3, image_size=16)


def test_there_is_a_row_for_each_cell(costs):
    rows = features(CELLS, costs)
    assert rows.shape[0] == 6
    assert np.isfinite(rows).all()
    assert len(np.unique(rows, axis=0)) == 6


def test_the_numbers_of_nodes_and_the_order_of_edges_change_nothing(costs):
    free = (("skip_connect", 0), ("sep_conv_3x3", 1))  # two nodes that do not see each other, so they may swap
    other = (("max_pool_3x3", 0), ("dil_conv_3x3", 1))
    one = Genotype((*free, *other, ("sep_conv_5x5", 2), ("skip_connect", 3)), (2, 3, 4), CELLS[0].reduce, (2, 3, 4))
    swapped = (*reversed(other), *reversed(free), ("skip_connect", 2), ("sep_conv_5x5", 3))
    again = Genotype(swapped, (4, 3, 2), CELLS[0].reduce, (2, 3, 4))
    rows = features([one, again, CELLS[0]], costs)
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()


def test_the_last_two_are_the_mult_adds_and_parameters_of_the_network(costs):
    for genotype, row in zip(CELLS, features(CELLS, costs), strict=True):
        with torch.device("meta"):
            network = Network(genotype, **SIZES, auxiliary=False)
        size = complexity(network, input_shape=(3, 16, 16))
        assert row[-2:].tolist() == [size.mult_adds, size.params]


def test_depths_convolutions_and_paths_are_counted():
    space = CellSpace(4)
    costs = network_costs(space, **SIZES, image_channels=3, image_size=16)
    chain = (("sep_conv_3x3", 0), ("skip_connect", 0), ("dil_conv_5x5", 2), ("max_pool_3x3", 2))
    pools = (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 2
    [row] = features([Genotype(chain, (2, 3), pools, (2, 3))], costs)
    normal, reduce = np.split(row[:-2], 2)
    # of each node its depth, its convolutions and its paths; deepest, all; most, all convolutions; all paths
    assert normal[-11:].tolist() == [1, 2, 1, 2, 2, 4, 2, 3, 2, 3, 8]
    assert reduce[-11:].tolist() == [1, 1, 0, 0, 2, 2, 1, 2, 0, 0, 6]
