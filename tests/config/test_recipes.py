"""Recipes say what papers published, and recipe < file < flags."""

from pathlib import Path

import pytest

from pcdarts.cell.space import NASBENCH201
from pcdarts.config.configs import SearchConfig, ShowConfig, TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.config.job_config import JobConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.recipes import DEFAULT, RECIPES, recipe, resolve, training_recipe
from pcdarts.errors import InputError
from pcdarts.study.grid import grid
from pcdarts.study.spec import find_spec


def differing(config: JobConfig, other: JobConfig) -> dict[str, object]:
    """The fields of `config` that are not as in `other`."""
    return {name: value for name, value in config.model_dump().items() if value != other.model_dump()[name]}


@pytest.mark.parametrize("config_class", [SearchConfig, RandomSearchConfig, TrainConfig])
def test_every_recipe_has_its_name_its_job_and_a_line_about_it(config_class: type[JobConfig]) -> None:
    for name, make in RECIPES[config_class.job_name()].items():
        assert isinstance(make(), config_class)
        assert make().model_dump()["recipe"] == name
        assert make.__doc__


def test_cifar10_is_the_paper() -> None:
    assert differing(recipe(SearchConfig, "cifar10"), SearchConfig()) == {"recipe": "cifar10", "data": "cifar10"}
    assert differing(recipe(TrainConfig, "cifar10"), TrainConfig()) == {"recipe": "cifar10", "data": "cifar10"}


def test_darts_v1_is_the_first_order_search_of_its_paper() -> None:
    config = recipe(SearchConfig, "darts-v1")
    assert (config.k, config.edge_normalization, config.second_order) == (1, False, False)
    assert (config.epochs, config.arch_frozen_epochs, config.batch_size) == (50, 0, 64)
    assert (config.channels, config.num_cells) == (16, 8)
    assert (config.learning_rate, config.learning_rate_min) == (0.025, 0.001)
    assert (config.arch_learning_rate, config.arch_weight_decay) == (3e-4, 1e-3)


def test_darts_v2_is_darts_v1_in_second_order() -> None:
    v1, v2 = recipe(SearchConfig, "darts-v1"), recipe(SearchConfig, "darts-v2")
    assert differing(v2, v1) == {"recipe": "darts-v2", "second_order": True}


def test_a_random_search_has_the_splits_and_the_networks_of_the_search_of_its_name() -> None:
    for name in RECIPES["random search"].keys() - {"amoebanet"}:  # there is no search of this name
        ours, theirs = recipe(RandomSearchConfig, name), recipe(SearchConfig, name)
        for field in ("data", "train_images", "num_cells", "num_nodes", "weight_fraction", "arch_fraction"):
            assert getattr(ours, field) == getattr(theirs, field)
        # A supernet of 4 channels is cheap and good enough; networks of 8 were measured beside it, at the same cost.
        assert ours.channels == (2 if name in ("cifar10-small", "own-images") else 1) * theirs.channels
    assert (recipe(RandomSearchConfig, "cifar10").candidates, recipe(RandomSearchConfig, "cifar10").epochs) == (24, 100)


def test_a_misspelt_recipe_is_refused_with_the_right_one_and_the_list() -> None:
    with pytest.raises(InputError, match=r"search has no recipe darts_v1: did you mean 'darts-v1'\?.*cifar10-small"):
        recipe(SearchConfig, "darts_v1")


def test_a_recipe_of_another_job_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="train has no recipe darts-v2: use one of fashion-mini, cifar10"):
        recipe(TrainConfig, "darts-v2")


def test_without_file_and_flags_the_default_recipe_holds() -> None:
    assert resolve(SearchConfig) == recipe(SearchConfig, DEFAULT)


@pytest.mark.parametrize("config_class", [SearchConfig, RandomSearchConfig, TrainConfig])
def test_images_of_ones_own_have_a_recipe_of_their_own_unless_another_is_named(
    tmp_path: Path, config_class: type[SearchConfig | RandomSearchConfig | TrainConfig]
) -> None:
    own = {"data": "folder", "data_root": "photos"}
    config = resolve(config_class, flags=own)
    assert differing(config, recipe(config_class, "own-images")) == {"data": "folder", "data_root": Path("photos")}
    assert (config.validation_fraction, config.image_size) == (0.15, 64)
    hub = {"data": "huggingface", "hub_name": "ylecun/mnist"}
    assert resolve(config_class, flags=hub).recipe == "own-images"
    file = tmp_path / "mine.yaml"
    file.write_text("data: folder\ndata_root: photos\n")
    assert resolve(config_class, file=file, flags={"epochs": "12"}).recipe == "own-images"
    assert resolve(config_class, flags={**own, "recipe": "fashion-mini"}).recipe == "fashion-mini"
    assert resolve(config_class, file=file, flags={"recipe": "cifar10"}).recipe == "cifar10"
    assert resolve(config_class, flags={"data": "imagenet"}).recipe == "fashion-mini"


def test_a_run_of_before_there_was_validation_keeps_the_settings_that_it_had(tmp_path: Path) -> None:
    old = TrainConfig(data="folder", data_root=tmp_path)
    file = tmp_path / "config.yaml"
    lines = old.to_yaml().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(("validation", "select", "patience"))))
    assert "recipe: null" in file.read_text()
    assert resolve(TrainConfig, file=file) == old
    assert (old.select, old.validation_fraction, old.validation_set) == ("last", 0, None)


def test_flags_are_stronger_than_the_file_and_the_file_than_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("recipe: darts-v1\nepochs: 7\nbatch_size: 32\n")
    config = resolve(SearchConfig, file=file, flags={"batch_size": "16", "arch_adam_betas": ("0.4", "0.9")})
    expected = {"epochs": 7, "batch_size": 16, "arch_adam_betas": (0.4, 0.9)}
    assert differing(config, recipe(SearchConfig, "darts-v1")) == expected


def test_the_recipe_of_the_flags_replaces_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("recipe: darts-v1\nepochs: 20\n")
    config = resolve(SearchConfig, file=file, flags={"recipe": "cifar10"})
    assert differing(config, recipe(SearchConfig, "cifar10")) == {"epochs": 20}


def test_a_recipe_that_a_file_leaves_nothing_to_decide_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(recipe(SearchConfig, "cifar10").to_yaml())
    with pytest.raises(InputError, match="holds every setting, so --recipe darts-v1 would be no more than a name"):
        resolve(SearchConfig, file=file, flags={"recipe": "darts-v1"})
    assert resolve(SearchConfig, file=file, flags={"recipe": "cifar10"}) == recipe(SearchConfig, "cifar10")


@pytest.mark.parametrize("config", [recipe(SearchConfig, "darts-v2"), TrainConfig(seeds=3), SearchConfig(k=2)])
def test_a_resolved_configuration_resolves_to_itself(tmp_path: Path, config: SearchConfig | TrainConfig) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert resolve(type(config), file=file) == config


def test_problems_of_file_and_flags_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("channels: 16\nepoch: 7\nbatch_size: none at all\n")
    with pytest.raises(ConfigError) as refusal:
        resolve(SearchConfig, file=file, flags={"k": "3"}, problems=["there is no flag --kk"])
    assert refusal.value.problems == [
        "there is no flag --kk",
        f"k is 3, but it must divide channels (16): use 1, 2, 4, 8 or 16 (channels comes from {file})",
        f"batch_size is none at all, but it must be a whole number (batch_size comes from {file})",
        "there is no setting epoch: did you mean epochs?",
    ]


def test_problems_of_the_flags_alone_are_reported() -> None:
    with pytest.raises(ConfigError, match="there is no flag --kk"):
        resolve(SearchConfig, problems=["there is no flag --kk"])


def test_a_job_without_recipes_has_its_own_defaults() -> None:
    assert resolve(ShowConfig, flags={"genotype": "darts_v1"}) == ShowConfig(genotype="darts_v1")


@pytest.mark.parametrize(
    ("config_class", "flags", "origin"),
    [
        (SearchConfig, {"channels": "6"}, "k comes from the recipe fashion-mini: give k as well"),
        (SearchConfig, {"k": "3"}, "channels comes from the recipe fashion-mini: give channels as well"),
        (
            SearchConfig,
            {"recipe": "imagenet", "data": "cifar10"},
            "crop comes from the recipe imagenet: give crop as well",
        ),
        (DetectTrainConfig, {"held_out": "5"}, "test_set comes from the recipe coco-mini: give test_set as well"),
    ],
)
def test_a_problem_says_where_a_value_comes_from_that_nobody_typed(
    config_class: type[JobConfig], flags: dict[str, str], origin: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        resolve(config_class, flags=flags)
    assert str(refusal.value).endswith(f" ({origin})")


def test_nothing_is_said_about_the_origin_of_what_was_typed() -> None:
    with pytest.raises(ConfigError, match=r"use 1, 2, 4 or 8$"):
        resolve(SearchConfig, flags={"k": "3", "channels": "8"})


@pytest.mark.parametrize("config_class", [SearchConfig, RandomSearchConfig, TrainConfig])
def test_a_recipes_limit_to_its_own_data_does_not_hold_for_other_data(
    config_class: type[SearchConfig | RandomSearchConfig | TrainConfig],
) -> None:
    own = recipe(config_class, "cifar10-small")
    assert own.train_images == 4000
    for flags in ({}, {"data": "cifar10"}, {"data_root": "elsewhere"}):
        assert resolve(config_class, flags={"recipe": "cifar10-small", **flags}).train_images == 4000
    other = {"recipe": "cifar10-small", "data": "folder", "data_root": "photos"}
    assert resolve(config_class, flags=other).train_images is None
    assert resolve(config_class, flags={**other, "train_images": "300"}).train_images == 300


def test_a_small_study_is_as_small_on_other_data() -> None:
    for name in ("table3", "figure3", "table4-runs", "table4-epochs", "table4-nodes"):
        _, spec = find_spec(name, "small")
        jobs = {"search": SearchConfig, "random_search": RandomSearchConfig, "train": TrainConfig}
        known = {job: config_class.model_fields for job, config_class in jobs.items()}
        other = spec.given({"data": "fashion-mnist"}, known)
        sizes = {config.train_images for cell in grid(other, Path("study")) for config, _ in cell.steps()}
        assert sizes == {4000}


def test_nasbench201_is_the_protocol_of_the_benchmark() -> None:
    search, training = recipe(SearchConfig, "nasbench201"), recipe(TrainConfig, "nasbench201")
    assert (search.space, search.k, search.edge_normalization, search.second_order) == ("nasbench201", 1, False, False)
    assert (search.channels, search.num_cells, search.num_nodes) == (16, 15, 4)
    assert (search.epochs, search.arch_frozen_epochs, search.batch_size) == (100, 0, 64)
    assert (search.learning_rate, search.learning_rate_min, search.nesterov) == (0.025, 0.001, True)
    assert (search.weight_decay, search.gradient_clip, search.cutout) == (5e-4, 5, 0)
    assert (search.arch_learning_rate, search.arch_weight_decay, search.arch_adam_betas) == (3e-4, 1e-3, (0.5, 0.999))
    assert (search.weight_fraction, search.arch_fraction) == (0.5, None)
    assert (training.channels, training.num_cells, training.epochs, training.batch_size) == (16, 15, 200, 256)
    assert (training.learning_rate, training.learning_rate_min, training.nesterov) == (0.1, 0, True)
    assert (training.weight_decay, training.auxiliary, training.drop_path, training.cutout) == (5e-4, False, 0, 0)
    candidates = recipe(RandomSearchConfig, "nasbench201")
    assert (candidates.candidates, candidates.epochs, candidates.batch_size) == (100, 12, 256)


@pytest.mark.parametrize("config_class", [SearchConfig, RandomSearchConfig])
def test_the_space_alone_chooses_its_small_recipe_with_images_of_16_pixels_whatever_the_data(
    config_class: type[SearchConfig | RandomSearchConfig],
) -> None:
    small = recipe(config_class, "nasbench201-small")
    assert resolve(config_class, flags={"space": "nasbench201"}) == small
    assert (small.channels, small.num_cells, small.image_size, small.train_images) == (16, 3, 16, 10_000)
    own = {"space": "nasbench201", "data": "folder", "data_root": "CIFAR"}
    assert differing(resolve(config_class, flags=own), small) == {"data": "folder", "data_root": Path("CIFAR")}


@pytest.mark.parametrize(
    ("name", "cells"), [("gdas", 15), ("gdas-small", 3), ("cifar10", 15), ("cifar10-small", 3), ("fashion-mini", 3)]
)
def test_another_recipe_has_the_sizes_of_the_space_that_is_named(name: str, cells: int) -> None:
    theirs, ours = (resolve(SearchConfig, flags={"recipe": name, "space": s}) for s in ("darts", "nasbench201"))
    assert (ours.channels, ours.num_cells, ours.num_nodes) == (16, cells, 4)
    assert differing(ours, theirs).keys() <= {"space", "channels", "num_cells", "num_nodes"}
    assert training_recipe(ours).recipe == ("nasbench201" if cells == 15 else "nasbench201-small")
    back = resolve(SearchConfig, flags={"recipe": "nasbench201", "space": "darts"})
    assert (back.channels, back.num_cells, back.num_nodes) == (16, 8, 6)


def test_from_python_the_space_has_its_own_sizes() -> None:
    config = SearchConfig(space="nasbench201")
    assert (config.channels, config.num_cells, config.num_nodes) == (16, 15, 4)
    assert config.cell_space == NASBENCH201
