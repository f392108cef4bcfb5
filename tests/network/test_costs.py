"""The costs of a network as a sum over the edges of its cells, against counting it as a whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from made_latencies import SIZES, SPACE, made_table
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import STEM_STRIDES, CellSpace
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.network.complexity import complexity
from pcdarts.network.costs import network_costs
from pcdarts.network.latency.parts import Sizes, parts_of
from pcdarts.network.latency.table import counts_of
from pcdarts.network.network import Network


def counted(genotype, image_size, **setting):
    with torch.device("meta"):
        network = Network(genotype, auxiliary=False, **setting)
    size = complexity(network, (setting["image_channels"], image_size, image_size))
    skips = sum(primitive == "skip_connect" for primitive, _ in genotype.normal)
    return {"mult_adds": size.mult_adds, "params": size.params, "skips": skips}


@settings(max_examples=5, deadline=None)
@given(
    nodes=st.sampled_from([5, 6, 7]),
    seed=st.integers(0, 9999),
    kind=st.sampled_from(list(STEM_STRIDES)),
    channels=st.sampled_from([2, 4, 6]),
    num_cells=st.integers(3, 5),
    image_channels=st.sampled_from([1, 3]),
    image_size=st.integers(32, 65),
)
def test_the_costs_of_any_genotype_are_those_of_its_network(
    nodes, seed, kind, channels, num_cells, image_channels, image_size
):
    setting = {
        "kind": kind,
        "channels": channels,
        "num_cells": num_cells,
        "num_classes": 7,
        "image_channels": image_channels,
    }
    costs = network_costs(CellSpace(nodes), image_size=image_size, **setting)
    for genotype in (random_genotype(CellSpace(nodes), seed), random_genotype(CellSpace(nodes), seed + 1)):
        assert costs.of(genotype) == counted(genotype, image_size, **setting)


@pytest.mark.parametrize("kind", STEM_STRIDES)
def test_every_stem_is_counted_as_it_is(kind):
    setting = {"kind": kind, "channels": 4, "num_cells": 4, "num_classes": 7, "image_channels": 3}
    genotype = random_genotype(CellSpace(5), 1)
    assert network_costs(CellSpace(5), image_size=43, **setting).of(genotype) == counted(genotype, 43, **setting)


def test_the_papers_cell_has_the_papers_costs():
    costs = network_costs(
        CellSpace(6), kind="cifar", channels=36, num_cells=20, num_classes=10, image_channels=3, image_size=32
    )
    assert costs.of(published("pc_darts_cifar10"))["params"] == 3_634_678
    assert costs.of(published("pc_darts_cifar10"))["skips"] == 1


def test_images_too_small_for_the_network_are_refused():
    with pytest.raises(InputError, match="too small"):
        network_costs(
            CellSpace(4), kind="imagenet", channels=4, num_cells=3, num_classes=10, image_channels=3, image_size=9
        )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 9999))
def test_the_latency_of_any_genotype_is_the_sum_of_its_parts_and_the_overhead(seed):
    table = made_table()  # of which the overhead is a fifth
    costs = network_costs(SPACE, **vars(SIZES), latencies=table)
    genotype = random_genotype(SPACE, seed)
    counts = counts_of(genotype, SPACE, parts_of(SPACE, SIZES))
    expected = 1.2 * sum(count * table.times[part] for part, count in counts.items()) / 1000
    assert costs.of(genotype)["latency_ms"] == pytest.approx(expected, rel=1e-4)
    assert costs.smallest()["latency_ms"] <= costs.of(genotype)["latency_ms"]
    assert {**costs.of(genotype), "latency_ms": None} == {
        **network_costs(SPACE, **vars(SIZES)).of(genotype),
        "latency_ms": None,
    }


def test_a_table_without_networks_of_this_size_is_refused():
    other = Sizes("cifar", 4, 4, 10, 1, 8)
    with pytest.raises(InputError, match="the latency table has no networks of this size"):
        network_costs(SPACE, **vars(other), latencies=made_table())
