"""The rules of `pcdarts fit`: from facts, measured times and minutes to settings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from made_facts import CIFAR
from pcdarts.own_images.chance import searched_is_better
from pcdarts.own_images.rules import (
    SIZES,
    Facts,
    Shape,
    StepTime,
    TooShort,
    batch_size_for,
    compared_networks,
    plan_training,
    possible_shapes,
    possible_sides,
    published_cell,
    settings_for,
)
from pcdarts.own_images.search_rules import Search, plan_search, search_settings, why_not_to_search

PHOTOGRAPHS = replace(CIFAR, train=(60,) * 10, test=(20,) * 10, sides=(180, 240, 600), square=False)


def speed(shape: Shape, batch_size: int) -> StepTime:
    """A machine that takes as long as there are cells, channels, pixels of maps and images."""
    side = shape.image_size / {"cifar": 1, "stride2": 2, "stride4": 4, "imagenet": 8}[shape.kind]
    image = 1e-8 * shape.num_cells * shape.channels * (side * side + 500)
    return StepTime(batch_size * image, image / 3)


def anything(shape: Shape) -> bool:
    return True


def planned(
    facts: Facts, minutes: float, fits: Callable[[Shape], bool] = anything, **fixed: Any
) -> tuple[int, str, int, int]:
    shape = plan_training(facts, 60 * minutes, fixed, speed, fits).shape
    return shape.image_size, shape.kind, shape.num_cells, shape.channels


@pytest.mark.parametrize(
    ("median", "sides"),
    [(32, (32,)), (28, (28,)), (4, (8,)), (40, (32,)), (64, (64, 32)), (5000, (224, 160, 128, 96, 64, 32))],
)
def test_images_are_never_made_larger_than_most_of_them_are_but_to_what_a_network_needs(
    median: int, sides: tuple[int, ...]
) -> None:
    assert possible_sides(replace(CIFAR, sides=(median, median, median)), {}) == sides


@pytest.mark.parametrize(("images", "size"), [(50_000, 64), (2000, 64), (1999, 32), (400, 32), (399, 16), (2, 16)])
def test_little_data_has_small_batches_so_that_there_are_enough_steps(images: int, size: int) -> None:
    assert batch_size_for(images) == size


@pytest.mark.parametrize(
    ("minutes", "network"),
    [
        (0.5, (32, "cifar", 5, 8)),
        (3, (32, "cifar", 5, 16)),
        (10, (32, "cifar", 8, 32)),
        (60, (32, "cifar", 20, 32)),
    ],
)
def test_more_time_makes_a_larger_network(minutes: float, network: tuple[int, str, int, int]) -> None:
    assert planned(CIFAR, minutes) == network


@pytest.mark.parametrize(
    ("minutes", "network"),
    [
        (0.4, (160, "imagenet", 5, 8)),  # of whose stem the maps are the smallest
        (1.5, (224, "imagenet", 5, 16)),
        (5, (224, "imagenet", 8, 32)),
    ],
)
def test_more_time_makes_photographs_larger_before_the_network(
    minutes: float, network: tuple[int, str, int, int]
) -> None:
    assert planned(PHOTOGRAPHS, minutes) == network


def test_a_plan_takes_no_longer_than_the_time_and_has_enough_epochs_and_steps() -> None:
    for facts in (CIFAR, PHOTOGRAPHS):
        for minutes in (2, 5, 30, 1000):
            plan = plan_training(facts, 60 * minutes, {}, speed, anything)
            assert plan.seconds <= 60 * minutes
            assert 30 <= plan.epochs <= 600
            assert plan.epochs * facts.images / plan.batch_size >= 1500


def test_what_a_user_fixes_stays_and_the_rest_follows() -> None:
    plan = plan_training(CIFAR, 600, {"channels": 10, "num_cells": 4, "batch_size": 100}, speed, anything)
    assert (plan.shape.channels, plan.shape.num_cells, plan.batch_size) == (10, 4, 100)
    plan = plan_training(PHOTOGRAPHS, 600, {"image_size": 50, "kind": "imagenet", "epochs": 7}, speed, anything)
    assert (plan.shape.image_size, plan.shape.kind, plan.epochs) == (50, "imagenet", 7)


def test_time_that_is_too_short_for_anything_is_refused_with_what_the_least_takes() -> None:
    with pytest.raises(TooShort) as refused:
        plan_training(CIFAR, 10, {}, speed, anything)
    seconds = refused.value.training.all_seconds
    assert seconds > 10
    assert plan_training(CIFAR, seconds + 1, {}, speed, anything).epochs >= 10
    assert refused.value.training.epochs == 10  # and that is what is trained where a search has used the time up


def test_fixed_epochs_for_which_the_time_is_too_short_are_refused() -> None:
    with pytest.raises(TooShort):
        plan_training(CIFAR, 100, {"epochs": 1000}, speed, anything)


@pytest.mark.parametrize(
    ("images", "epochs", "network"),
    [
        (12, 2, (5, 8)),  # 16 steps: far from 1,500
        (12, 187, (5, 8)),
        (12, 188, (20, 32)),  # 1,504 steps
        (300, 29, (5, 8)),  # 1,363 steps in 29 epochs
        (300, 32, (20, 32)),
    ],
)
def test_epochs_that_a_user_fixes_make_a_larger_network_only_where_they_are_a_long_training(
    images: int, epochs: int, network: tuple[int, int]
) -> None:
    few = replace(CIFAR, train=(images,) * 10)
    plan = plan_training(few, 3600, {"epochs": epochs}, speed, anything)
    assert (plan.shape.num_cells, plan.shape.channels) == network
    assert plan.epochs == epochs


def test_a_network_keeps_to_the_budget_and_uses_it_up() -> None:
    def fits(shape: Shape) -> bool:
        return shape.num_cells * shape.channels**2 <= 5 * 14**2

    assert planned(CIFAR, 1000, fits) == (32, "cifar", 5, 14)
    assert [shape.channels for shape in possible_shapes(32, {}, fits)] == [8, 14]


def test_images_become_smaller_where_the_budget_asks_for_it() -> None:
    assert planned(PHOTOGRAPHS, 1000, lambda shape: shape.image_size <= 64) == (64, "stride2", 20, 32)


def test_without_a_budget_all_sizes_are_possible_the_smallest_first() -> None:
    shapes = list(possible_shapes(32, {}, anything))
    assert [(shape.num_cells, shape.channels) for shape in shapes] == list(SIZES)


def test_settings_follow_from_the_size() -> None:
    settings = settings_for(CIFAR, plan_training(CIFAR, 600, {}, speed, anything))
    assert (settings["learning_rate"], settings["crop_padding"], settings["cutout"]) == (0.05, 4, 8)
    settings = settings_for(PHOTOGRAPHS, plan_training(PHOTOGRAPHS, 600, {}, speed, anything))
    assert (settings["learning_rate"], settings["crop_padding"], settings["cutout"]) == (0.025, 28, 56)


def test_short_trainings_drop_no_paths() -> None:
    training = plan_training(CIFAR, 600, {}, speed, anything)
    probabilities = [settings_for(CIFAR, replace(training, epochs=epochs))["drop_path"] for epochs in (49, 50)]
    assert probabilities == [0.0, 0.1]


def test_the_published_cell_is_that_for_images_of_its_kind() -> None:
    assert published_cell("imagenet") == "pc_darts_imagenet"
    assert published_cell("stride2") == published_cell("cifar") == "pc_darts_cifar10"


SHAPE = Shape(32, "cifar", 8, 16)


def test_the_search_has_the_steps_and_the_maps_of_the_shortest_that_beats_chance() -> None:
    large = replace(CIFAR, train=(5000,) * 10)
    assert search_settings(large, SHAPE) == {
        "image_size": 16,
        "kind": "cifar",
        "epochs": 30,
        "arch_frozen_epochs": 10,
        "network_channels": 16,
        "network_cells": 8,
        "network_image_size": 32,
        "train_images": 4000,
    }
    assert search_settings(CIFAR, SHAPE)["epochs"] == 39  # 24 steps each
    assert search_settings(large, replace(SHAPE, image_size=64, kind="stride2"))["image_size"] == 32
    assert search_settings(large, replace(SHAPE, image_size=224, kind="imagenet"))["image_size"] == 128


def test_a_search_is_made_by_itself_where_it_takes_a_tenth_of_the_time_at_most() -> None:
    step = (0.1, 0.1)  # 39 epochs of 24 steps: 171 s with what is around it
    search = plan_search(CIFAR, SHAPE, 1800, "auto", step)
    assert isinstance(search, Search)
    assert 160 < search.seconds < 180
    why = plan_search(CIFAR, SHAPE, 600, "auto", step)
    assert isinstance(why, str)
    assert "takes 2.9 min here, more than a tenth of the time" in why


def test_a_search_that_is_asked_for_is_made_as_long_as_there_is_time() -> None:
    search = plan_search(CIFAR, SHAPE, 300, "always", (0.1, 0.1))
    assert isinstance(search, Search)
    assert 3 <= search.settings["epochs"] < 39
    assert search.seconds <= 0.4 * 300


def test_a_search_is_not_thought_of_on_few_images_or_where_the_user_wants_none() -> None:
    assert why_not_to_search(CIFAR, "auto") is None
    assert "fewer than 2,000 training images" in str(why_not_to_search(PHOTOGRAPHS, "auto"))
    assert why_not_to_search(PHOTOGRAPHS, "always") is None
    assert why_not_to_search(CIFAR, "never") == "--search never"


@pytest.mark.parametrize(
    ("searched", "published", "images", "is_better"),
    [(40, 50, 450, True), (48, 50, 450, False), (48, 50, 4500, True), (50, 40, 450, False), (0, 0, 50, False)],
)
def test_a_searched_cell_is_taken_where_it_is_better_by_more_than_chance(
    searched: float, published: float, images: int, is_better: bool
) -> None:
    assert searched_is_better(searched, published, images) == is_better


def test_epochs_of_a_search_that_are_fixed_are_kept_whatever_they_take() -> None:
    search = plan_search(CIFAR, SHAPE, 60, "auto", (1.0, 1.0), 9)
    assert isinstance(search, Search)
    assert (search.settings["epochs"], search.settings["arch_frozen_epochs"]) == (9, 3)


def test_validation_images_choose_the_epoch_if_there_are_any() -> None:
    training = plan_training(CIFAR, 600, {}, speed, anything)
    with_some = replace(CIFAR, validation=(45,) * 10, validation_fraction=0.15)
    assert settings_for(CIFAR, training)["select"] == "last"
    assert settings_for(with_some, training)["select"] == "best"
    assert settings_for(with_some, training)["validation_fraction"] == 0.15


def test_a_comparison_has_its_share_of_the_time() -> None:
    alone = plan_training(CIFAR, 600, {}, speed, anything)
    beside = plan_training(CIFAR, 600, {}, speed, anything, (0.5, 1.0))
    assert beside.seconds + beside.compare_seconds <= 600
    assert beside.compare_seconds > 1.5 * beside.epochs * beside.epoch_seconds
    assert (beside.shape.num_cells, beside.shape.channels) < (alone.shape.num_cells, alone.shape.channels)


@pytest.mark.parametrize(
    ("wanted", "minutes", "names"),
    [
        ("auto", 20, ("mobilenet_v3_small",)),
        ("auto", 19, ()),
        (None, 60, ()),
        ("resnet18, timm/lcnet_050,resnet18", 1, ("resnet18", "timm/lcnet_050")),
    ],
)
def test_a_stock_network_is_trained_too_where_there_is_time(
    wanted: str | None, minutes: float, names: tuple[str, ...]
) -> None:
    assert compared_networks(wanted, minutes) == names


def test_imbalance_is_how_many_times_as_many_images_the_largest_class_has() -> None:
    assert replace(CIFAR, classes=("a", "b"), train=(40, 10), test=(1, 1)).imbalance == 4


def test_the_time_of_the_export_follows_from_what_is_exported_and_from_the_network() -> None:
    none, onnx, both = (
        plan_training(CIFAR, 600, {"num_cells": 5, "channels": 8}, speed, anything, (), formats)
        for formats in ((), ("onnx",), ("onnx", "onnx-int8"))
    )
    assert none.export_seconds == 0
    assert onnx.export_seconds == pytest.approx(1.3 * (0.4 + 1 + 5 * 0.7))
    assert onnx.export_seconds < both.export_seconds < 30
    assert none.epochs > onnx.epochs > both.epochs
    assert both.all_seconds <= 600
    deep = plan_training(CIFAR, 600, {"num_cells": 14, "channels": 8}, speed, anything, (), ("onnx", "onnx-int8"))
    assert deep.export_seconds > 2 * both.export_seconds
