"""The network of NAS-Bench-201: computed as the benchmark says, and counted as the benchmark publishes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.errors import InputError
from pcdarts.network.complexity import complexity
from pcdarts.network.costs import network_costs
from pcdarts.network.from_weights import weights_of
from pcdarts.network.latency.parts import Sizes, parts_of
from pcdarts.network.network import Network, network_without_data

ALL_SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
INDEX_0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
INDEX_1 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
ISSUE_36 = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
ISSUE_134 = "|skip_connect~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"

PUBLISHED = [
    # Cell, classes, pixels; millions of FLOPs and of parameters, with the digits that were published.
    # The least and the most of all cells, which several users of the benchmark report.
    (ALL_SKIP, 10, 32, "7.78305", "0.073306"),
    (ALL_SKIP, 100, 32, "7.7889", "0.079156"),
    (ALL_SKIP, 120, 16, "1.9534", "0.080456"),
    (ALL_3X3, 10, 32, "220.11969", "1.531546"),
    (ALL_3X3, 100, 32, "220.12554", "1.537396"),
    (ALL_3X3, 120, 16, "55.03756", "1.538696"),
    # Issues 24, 18 and 36 of D-X-Y/NATS-Bench; the parameters of the first from a test of NASLib.
    (INDEX_0, 10, 32, "15.64737", "0.129306"),
    (INDEX_0, 100, 32, "15.65322", None),
    (INDEX_0, 120, 16, "3.91948", None),
    (INDEX_1, 10, 32, "113.95", "0.802"),
    (INDEX_1, 100, 32, "113.96", "0.808"),
    (INDEX_1, 120, 16, "28.50", "0.810"),
    (ISSUE_36, 10, 32, "113.95137", "0.802426"),
    # Issue 134 of D-X-Y/AutoDL-Projects. (Of another cell with as many convolutions it says 0.48, which cannot be.)
    (ISSUE_134, 10, 32, None, "0.56"),
]


def counts(text: str, classes: int, pixels: int) -> tuple[int, int]:
    """FLOPs as the benchmark counts them (mult-adds, and the additions of the classifier's bias), and parameters."""
    network = network_without_data(Genotype.from_text(text), channels=16, num_cells=15, num_classes=classes)
    found = complexity(network, (3, pixels, pixels))
    return found.mult_adds + classes, found.params


@pytest.mark.parametrize(("text", "classes", "pixels", "flops", "params"), PUBLISHED)
def test_flops_and_parameters_are_the_published_ones(text, classes, pixels, flops, params):
    for found, published in zip(counts(text, classes, pixels), (flops, params), strict=True):
        if published is not None:
            digits = len(published.partition(".")[2])
            assert round(found / 1e6, digits) == float(published)


def by_hand(genotype: Genotype) -> tuple[int, int]:
    """FLOPs and parameters for CIFAR-10, from those of all skips and of each convolution in its 3 x 5 places."""
    size = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
    taps = sum(size.get(primitive, 0) for primitive, _ in genotype.normal)
    convolutions = sum(primitive in size for primitive, _ in genotype.normal)
    widths = (16, 32, 64)
    params = 73_306 + 5 * (taps * sum(c * c for c in widths) + convolutions * sum(2 * c for c in widths))
    return 7_783_050 + 5 * taps * sum(c * c * (512 // c) ** 2 for c in widths), params


@pytest.mark.parametrize("seed", range(10))
def test_flops_and_parameters_of_random_cells_are_those_of_a_formula(seed):
    genotype = random_genotype(NASBENCH201, seed)
    assert counts(genotype.to_text(), 10, 32) == by_hand(genotype)


@pytest.mark.parametrize("image_size", [32, 19])
def test_the_costs_of_any_cell_are_those_of_its_network(image_size):
    sizes = {"kind": "cifar", "channels": 4, "num_cells": 6, "num_classes": 7, "image_channels": 3}
    costs = network_costs(NASBENCH201, image_size=image_size, **sizes)
    for seed in range(3):
        genotype = random_genotype(NASBENCH201, seed)
        found = complexity(network_without_data(genotype, **sizes), (3, image_size, image_size))
        assert costs.of(genotype)["mult_adds"] == found.mult_adds
        assert costs.of(genotype)["params"] == found.params


# What it computes, word for word


def convolution(x: Tensor, layers: nn.Sequential, stride: int = 1) -> Tensor:
    """ReLU, convolution, BatchNorm by the batch."""
    weight, norm = layers[1].weight, layers[2]
    x = F.conv2d(x.relu(), weight, stride=stride, padding=weight.shape[-1] // 2)
    return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)


def literally(network: Network, x: Tensor) -> Tensor:
    conv, norm = network.stem
    x = F.batch_norm(F.conv2d(x, conv.weight, padding=1), None, None, norm.weight, norm.bias, training=True)
    for position, cell in enumerate(network.cells):
        if position in (len(network.cells) // 3, 2 * len(network.cells) // 3):
            block = cell.preprocess1
            shortcut = F.conv2d(F.avg_pool2d(x, 2), block.shortcut.weight)
            x = shortcut + convolution(convolution(x, block.first, stride=2), block.second)
        nodes, edge = [x], 0
        for target in (1, 2, 3):
            terms = []
            for source in range(target):
                primitive, read = network.genotype.normal[edge][0], nodes[source]
                if primitive == "skip_connect":
                    terms.append(read)
                elif primitive == "avg_pool_3x3":
                    terms.append(F.avg_pool2d(read, 3, 1, 1, count_include_pad=False))
                elif primitive != "none":
                    terms.append(convolution(read, cell.ops[edge]))
                edge += 1
            nodes.append(sum(terms, torch.zeros_like(x)))
        x = nodes[3]
    norm = network.closing[0]
    x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True).relu()
    return network.classifier(x.mean(dim=(2, 3)))


@pytest.mark.parametrize("text", [ALL_3X3, INDEX_0, INDEX_1, ISSUE_36])
def test_it_computes_what_the_benchmark_says(text):
    torch.manual_seed(0)
    network = Network(Genotype.from_text(text), channels=4, num_cells=6, num_classes=5, auxiliary=False).double()
    images = torch.randn(3, 3, 16, 12, dtype=torch.float64, requires_grad=True)
    inputs, found = [images, *network.parameters()], []
    for compute in (network, lambda x: literally(network, x)):
        logits = compute(images)
        found.append([logits, *torch.autograd.grad(logits.square().sum(), inputs, materialize_grads=True)])
    for ours, literal in zip(*found, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-9, atol=1e-9)


def test_it_trains_with_drop_path_and_a_second_classifier_and_takes_images_of_any_size():
    torch.manual_seed(0)
    network = Network(Genotype.from_text(INDEX_1), channels=4, num_cells=3, num_classes=5, drop_path=0.3)
    logits, auxiliary = network(torch.randn(4, 3, 13, 9))
    (logits.square().sum() + auxiliary.square().sum()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    maps = network.features(torch.randn(2, 3, 13, 9))
    assert [map_.shape[1:] for map_ in maps] == [(4, 13, 9), (8, 7, 5), (16, 4, 3)]
    assert all((map_ >= 0).all() for map_ in maps)


def test_a_cell_that_nothing_flows_through_says_so():
    network = Network(Genotype.from_text(ALL_SKIP.replace("skip_connect", "none")), channels=4, num_cells=3)
    assert network.has_idle_weights
    assert not Network(Genotype.from_text(ALL_SKIP), channels=4, num_cells=3).has_idle_weights


def test_its_weights_say_how_large_it_is():
    genotype = Genotype.from_text(INDEX_1)
    network = Network(genotype, channels=4, num_cells=3, num_classes=5, auxiliary=False)
    weights = weights_of(network.state_dict())
    assert (weights.sizes.channels, weights.sizes.num_cells, weights.misfits(genotype)) == (4, 3, [])
    assert weights.misfits(Genotype.from_text(ALL_3X3))


def test_what_it_is_not_made_for_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"num_cells is 20, but a network of NAS-Bench-201 .*: use 3, 6, 9"):
        Network(Genotype.from_text(INDEX_0))
    with pytest.raises(InputError, match="latencies are those of networks of the DARTS papers, not of NAS-Bench-201"):
        parts_of(NASBENCH201, Sizes("cifar", 16, 15, 10, 3, 32))
