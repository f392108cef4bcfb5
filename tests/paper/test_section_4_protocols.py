"""Section 4: the protocols, as the recipes state them, and the sizes in the tables."""

from functools import cache

import pytest
import torch

import pcdarts
from pcdarts.cell.space import macro_plan
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.recipes import recipe


def test_section_4_2_the_search_on_cifar10():
    search = recipe(SearchConfig, "cifar10")
    assert (search.num_cells, search.num_nodes, search.channels, search.k) == (8, 6, 16, 4)
    assert (search.epochs, search.arch_frozen_epochs, search.batch_size) == (50, 15, 256)
    assert (search.learning_rate, search.learning_rate_min, search.momentum) == (0.1, 0, 0.9)
    assert search.weight_decay == 3e-4
    assert (search.arch_learning_rate, search.arch_adam_betas, search.arch_weight_decay) == (6e-4, (0.5, 0.999), 1e-3)
    assert (search.weight_fraction, search.channel_sampling, search.edge_normalization) == (0.5, "first", True)
    assert not search.second_order


def test_section_4_2_eight_cells_are_six_normal_and_two_reduction_cells():
    kinds = [plan.kind for plan in macro_plan("cifar", 16, 8, {"normal": 4, "reduce": 4}, 48)]
    assert (kinds.count("normal"), kinds.count("reduce")) == (6, 2)


def test_section_4_2_the_evaluation_on_cifar10():
    train = recipe(TrainConfig, "cifar10")
    assert (train.num_cells, train.channels, train.epochs, train.batch_size) == (20, 36, 600, 128)
    assert (train.learning_rate, train.learning_rate_min, train.momentum) == (0.025, 0, 0.9)
    assert (train.weight_decay, train.gradient_clip) == (3e-4, 5)
    assert (train.drop_path, train.cutout, train.auxiliary, train.auxiliary_weight) == (0.3, 16, True, 0.4)


def test_section_4_3_the_search_on_imagenet():
    search = recipe(SearchConfig, "imagenet")
    assert (search.kind, search.image_size, search.num_cells, search.num_nodes, search.k) == ("imagenet", 224, 8, 6, 2)
    assert (search.weight_fraction, search.arch_fraction, search.split_each_class) == (0.1, 0.025, True)
    assert (search.epochs, search.arch_frozen_epochs, search.batch_size) == (50, 35, 1024)
    assert (search.learning_rate, search.learning_rate_min, search.momentum) == (0.5, 0, 0.9)
    assert search.weight_decay == 3e-5
    assert (search.arch_learning_rate, search.arch_adam_betas, search.arch_weight_decay) == (6e-3, (0.5, 0.999), 1e-3)


def test_section_4_3_the_evaluation_on_imagenet():
    train = recipe(TrainConfig, "imagenet")
    assert (train.kind, train.image_size, train.num_cells, train.channels) == ("imagenet", 224, 14, 48)
    assert (train.epochs, train.batch_size, train.momentum, train.weight_decay) == (250, 1024, 0.9, 3e-5)
    assert (train.learning_rate, train.learning_rate_min, train.learning_rate_schedule) == (0.5, 0, "linear")
    assert train.lr_warmup_epochs == 5
    assert (train.label_smoothing, train.auxiliary, train.auxiliary_weight) == (0.1, True, 0.4)


def test_table_3_retrains_for_100_epochs_on_imagenet():
    shorter, train = recipe(TrainConfig, "imagenet-100"), recipe(TrainConfig, "imagenet")
    assert shorter == train.model_copy(update={"recipe": "imagenet-100", "epochs": 100})


def test_darts_is_the_same_search_with_every_channel_and_a_plain_sum():
    first, second = recipe(SearchConfig, "darts-v1"), recipe(SearchConfig, "darts-v2")
    for search in (first, second):
        assert (search.k, search.edge_normalization, search.arch_frozen_epochs) == (1, False, 0)
    assert (first.second_order, second.second_order) == (False, True)


@cache
def parameters_in_millions(name: str, kind: str) -> float:
    channels, num_cells, classes, size = (36, 20, 10, 32) if kind == "cifar" else (48, 14, 1000, 224)
    with torch.device("meta"):
        network = pcdarts.Network(
            pcdarts.published(name), kind=kind, channels=channels, num_cells=num_cells, num_classes=classes
        )
    return pcdarts.complexity(network, (3, size, size)).params / 1e6


@pytest.mark.parametrize(("name", "paper"), [("darts_v2", 3.3), ("p_darts", 3.4), ("pc_darts_cifar10", 3.6)])
def test_table_1_parameters(name, paper):
    assert parameters_in_millions(name, "cifar") == pytest.approx(paper, abs=0.05)


@pytest.mark.parametrize(
    ("name", "paper"),
    [("darts_v2", 4.7), ("p_darts", 4.9), ("pc_darts_cifar10", 5.3), ("pc_darts_imagenet", 5.3)],
)
def test_table_2_parameters(name, paper):
    assert parameters_in_millions(name, "imagenet") == pytest.approx(paper, abs=0.05)


def test_counts_of_the_published_cells_to_the_last_digit():
    assert round(parameters_in_millions("pc_darts_cifar10", "cifar"), 2) == 3.63
    assert round(parameters_in_millions("pc_darts_imagenet", "imagenet"), 2) == 5.34


def test_section_4_3_the_imagenet_stem_reduces_224_to_28_and_the_network_stays_mobile():
    network = pcdarts.Network(
        pcdarts.published("pc_darts_imagenet"), kind="imagenet", channels=48, num_cells=14, num_classes=1000
    )
    assert [tuple(x.shape[2:]) for x in network.stem(torch.empty(1, 3, 224, 224))] == [(56, 56), (28, 28)]
    assert pcdarts.complexity(network, (3, 224, 224)).mult_adds < 600e6
