"""Published settings, one function each, and how a job's configuration comes about: recipe < YAML file < flags."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.errors import InputError, did_you_mean, shown
from pcdarts.job_config import ConfigError, JobConfig, read_yaml

DEFAULT = "fashion-mini"


def search_fashion_mini() -> SearchConfig:
    """Search on the data set inside the package; ends in under three minutes on two cores.

    1,200 images in each split, 5 cells of 8 channels, 8 epochs; α and β take few steps, hence a high learning rate.
    """
    return SearchConfig(
        recipe="fashion-mini",
        data="fashion-mini",
        train_images=2400,
        channels=8,
        num_cells=5,
        epochs=8,
        arch_frozen_epochs=3,
        batch_size=64,
        learning_rate=0.05,
        arch_learning_rate=6e-3,
    )


def search_cifar10() -> SearchConfig:
    """The paper's search on CIFAR-10 (Sec. 4.2): 0.1 GPU-days."""
    return SearchConfig(recipe="cifar10", data="cifar10")


def search_cifar10_small() -> SearchConfig:
    """The paper's search on CIFAR-10 made small: minutes to half an hour on two cores.

    2,000 images in each split, 5 cells of 8 channels, 15 epochs; α and β take a tenth of the paper's steps, hence ten
    times its learning rate.
    """
    return SearchConfig(
        recipe="cifar10-small",
        data="cifar10",
        train_images=4000,
        channels=8,
        num_cells=5,
        epochs=15,
        arch_frozen_epochs=5,
        batch_size=64,
        learning_rate=0.05,
        arch_learning_rate=6e-3,
    )


def search_darts_v1() -> SearchConfig:
    """The first-order search of DARTS (Liu et al., 2019) on CIFAR-10: all channels, a plain sum over edges."""
    return SearchConfig(
        recipe="darts-v1",
        data="cifar10",
        k=1,
        edge_normalization=False,
        epochs=50,
        arch_frozen_epochs=0,
        batch_size=64,
        learning_rate=0.025,
        learning_rate_min=0.001,
        arch_learning_rate=3e-4,
        arch_weight_decay=1e-3,
    )


def search_darts_v2() -> SearchConfig:
    """The second-order search of DARTS (Liu et al., 2019) on CIFAR-10."""
    return SearchConfig(**search_darts_v1().model_dump() | {"recipe": "darts-v2", "second_order": True})


def train_fashion_mini() -> TrainConfig:
    """A small network on the data set inside the package; trains in under three minutes on two cores."""
    return TrainConfig(
        recipe="fashion-mini",
        data="fashion-mini",
        channels=8,
        num_cells=5,
        epochs=6,
        batch_size=64,
        learning_rate=0.05,
        drop_path=0.1,
        cutout=8,
    )


def train_cifar10() -> TrainConfig:
    """The paper's evaluation on CIFAR-10 (Sec. 4.2): 20 cells, 36 channels, 600 epochs."""
    return TrainConfig(recipe="cifar10", data="cifar10")


def train_cifar10_small() -> TrainConfig:
    """The paper's evaluation on CIFAR-10 made small, to compare cells: 4,000 images, 5 cells of 8 channels."""
    return TrainConfig(
        recipe="cifar10-small",
        data="cifar10",
        train_images=4000,
        channels=8,
        num_cells=5,
        epochs=10,
        batch_size=64,
        learning_rate=0.05,
        drop_path=0.1,
        cutout=8,
        test_every=10,
    )


RECIPES: dict[type[JobConfig], dict[str, Callable[[], JobConfig]]] = {
    SearchConfig: {
        "fashion-mini": search_fashion_mini,
        "cifar10": search_cifar10,
        "cifar10-small": search_cifar10_small,
        "darts-v1": search_darts_v1,
        "darts-v2": search_darts_v2,
    },
    TrainConfig: {
        "fashion-mini": train_fashion_mini,
        "cifar10": train_cifar10,
        "cifar10-small": train_cifar10_small,
    },
}

Config = TypeVar("Config", bound=JobConfig)


def recipe(config_class: type[Config], name: str) -> Config:
    """The published setting `name` of a job.

    Raises:
        InputError: the job has no recipe of this name.
    """
    recipes = RECIPES[config_class]
    if name not in recipes:
        job = config_class.model_fields["job"].default
        raise InputError(f"{job} has no recipe {shown(name)}: {did_you_mean(name, recipes)}")
    config = recipes[name]()
    assert isinstance(config, config_class)
    return config


def resolve(
    config_class: type[Config],
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
) -> Config:
    """The configuration of a job: the recipe, overridden by a YAML file, overridden by flags (by setting).

    The recipe is the one that the flags name, else the one that the file names, else fashion-mini. `problems`, found
    while the flags were read, are reported together with those found here.

    Raises:
        ConfigError: lists everything that is wrong with file and flags.
        InputError: the file cannot be read, there is no such recipe, or the file leaves it nothing to decide.
    """
    from_file = {} if file is None else read_yaml(file, config_class)
    given = {**from_file, **(flags or {})}
    if given.get("recipe") != from_file.get("recipe") and config_class.model_fields.keys() <= from_file.keys():
        raise InputError(
            f"{file} holds every setting, so --recipe {shown(given['recipe'])} would be no more than a name: "
            "drop --recipe, or --config"
        )
    base = recipe(config_class, str(given.get("recipe") or DEFAULT)).model_dump() if config_class in RECIPES else {}
    try:
        config = config_class(**{**base, **given})
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError([*problems])
    return config
