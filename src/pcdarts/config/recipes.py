"""The recipes by job and name, and how a job's configuration comes about: recipe < YAML file < flags."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.groups.group import ConfigError, with_origin
from pcdarts.config.groups.method_settings import for_another_method
from pcdarts.config.job_config import JobConfig, settings
from pcdarts.config.methods.recipes import PUBLISHED, SMALL, SMALL_VARIANTS, VARIANTS
from pcdarts.config.published.searches import (
    random_search_amoebanet,
    random_search_cifar10,
    random_search_cifar10_small,
    random_search_fashion_mini,
    random_search_nasbench201,
    random_search_nasbench201_small,
    random_search_own_images,
    search_by_method,
    search_by_method_small,
    search_cifar10,
    search_cifar10_small,
    search_darts_v1,
    search_darts_v2,
    search_fashion_mini,
    search_imagenet,
    search_nasbench201,
    search_nasbench201_small,
    search_own_images,
)
from pcdarts.config.published.trainings import (
    detect_train_coco,
    detect_train_coco_mini,
    train_cifar10,
    train_cifar10_small,
    train_fashion_mini,
    train_imagenet,
    train_imagenet_100,
    train_nasbench201,
    train_nasbench201_small,
    train_own_images,
)
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.yaml_files import read_yaml
from pcdarts.errors import InputError, did_you_mean, shown

DEFAULT = "fashion-mini"
OWN_IMAGES = "own-images"
OWN_DATA = ("folder", "huggingface")
"""Data of the user's own, for which `OWN_IMAGES` is the recipe of jobs that have it and are not told otherwise."""
NASBENCH201, NASBENCH201_SMALL = "nasbench201", "nasbench201-small"
"""Of searches and random searches of that space, and of trainings of its cells; the small one is the usual one."""

RECIPES: dict[str, dict[str, Callable[[], JobConfig]]] = {
    "search": {
        "fashion-mini": search_fashion_mini,
        "cifar10": search_cifar10,
        "cifar10-small": search_cifar10_small,
        "darts-v1": search_darts_v1,
        "darts-v2": search_darts_v2,
        "imagenet": search_imagenet,
        NASBENCH201: search_nasbench201,
        NASBENCH201_SMALL: search_nasbench201_small,
        OWN_IMAGES: search_own_images,
        **{method: partial(search_by_method, method) for method in (*VARIANTS, *PUBLISHED)},
        **{f"{method}-small": partial(search_by_method_small, method) for method in (*SMALL_VARIANTS, *SMALL)},
    },
    "random search": {
        "fashion-mini": random_search_fashion_mini,
        "cifar10": random_search_cifar10,
        "cifar10-small": random_search_cifar10_small,
        "amoebanet": random_search_amoebanet,
        NASBENCH201: random_search_nasbench201,
        NASBENCH201_SMALL: random_search_nasbench201_small,
        OWN_IMAGES: random_search_own_images,
    },
    "train": {
        "fashion-mini": train_fashion_mini,
        "cifar10": train_cifar10,
        "cifar10-small": train_cifar10_small,
        "imagenet": train_imagenet,
        "imagenet-100": train_imagenet_100,
        NASBENCH201: train_nasbench201,
        NASBENCH201_SMALL: train_nasbench201_small,
        OWN_IMAGES: train_own_images,
    },
    "detect train": {
        "coco-mini": detect_train_coco_mini,
        "coco": detect_train_coco,
    },
}
"""By job; the first one is what a job does that is not told otherwise, and has no images of the user's own."""

LIMITS = ("train_images", "test_images", "network_image_size")
"""What a recipe says of the size of its own data; other data is used whole, but in the proxy `NASBENCH201_SMALL`."""

Config = TypeVar("Config", bound=JobConfig)


def recipe(config_class: type[Config], name: str) -> Config:
    """The published setting `name` of a job.

    Raises:
        InputError: the job has no recipe of this name.
    """
    job = config_class.job_name()
    recipes = RECIPES[job]
    if name not in recipes:
        of_methods = [each for each in recipes if each.removesuffix("-small") in PUBLISHED]
        own = [each for each in recipes if each not in of_methods]
        about = "METHOD or METHOD-small (`pcdarts methods`)"
        raise InputError(f"{job} has no recipe {shown(name)}: {did_you_mean(name, own, of_methods, about)}")
    config: Any = recipes[name]()
    return config


def is_small(name: str) -> bool:
    """Whether a recipe is for minutes on two cores, not as published."""
    return name in (DEFAULT, OWN_IMAGES) or name.endswith("-small")


def has_limits(base: Mapping[str, Any], data: str | None) -> bool:
    """Whether what a recipe says of the number of images, and of their size, holds for this data."""
    return base.get("data") == data or base["recipe"] == NASBENCH201_SMALL


def for_another_space(base: Mapping[str, Any], space: str) -> dict[str, Any]:
    """What a recipe says to another space than its own: all but the sizes of supernet and cells."""
    kept = {name: value for name, value in base.items() if name not in ("channels", "num_cells", "num_nodes", "space")}
    if space == "nasbench201" and is_small(str(base["recipe"])):
        kept["num_cells"] = search_nasbench201_small().num_cells
    return kept


_BY_DATA = {"cifar10": "cifar10", "cifar100": "cifar10", "imagenet": "imagenet"}
"""By data, the training recipe for a search whose own recipe training does not have."""


def training_recipe(search: SearchConfig | RandomSearchConfig) -> TrainConfig:
    """By which the cells of a search are trained: the recipe of its name, else that for its data, else the first."""
    name = str(search.recipe)
    if search.space == "nasbench201":
        return recipe(TrainConfig, NASBENCH201_SMALL if is_small(name) else NASBENCH201)
    if name.removesuffix("-small") in (*SMALL, *SMALL_VARIANTS) and name.endswith("-small"):
        name = "cifar10-small"
    return recipe(TrainConfig, name if name in RECIPES["train"] else _BY_DATA.get(search.data, DEFAULT))


def chosen_recipe(job: str, given: Mapping[str, Any]) -> str:
    """The recipe that settings by name choose, or leave to the job: its first one, or that for the space or data named.

    A file of a run says which recipe it had, even if that is none.
    """
    recipes = RECIPES[job]
    if "recipe" not in given and given.get("space") == "nasbench201":
        return NASBENCH201_SMALL
    if "recipe" not in given and given.get("data") in OWN_DATA and OWN_IMAGES in recipes:
        return OWN_IMAGES
    return str(given.get("recipe") or next(iter(recipes)))


def resolve(
    config_class: type[Config],
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
) -> Config:
    """The configuration of a job: the recipe, overridden by a YAML file, overridden by flags (by setting).

    The recipe is the one that the flags name, else the one that the file names, else that of `chosen_recipe`; its
    limits to the number of images hold for its own data and no other. `problems`, found while the flags were read, are
    reported together with those found here.

    Raises:
        ConfigError: lists everything that is wrong with file and flags.
        InputError: the file cannot be read, there is no such recipe, or the file leaves it nothing to decide.
    """
    from_file = {} if file is None else read_yaml(file, config_class)
    flags = flags or {}
    given = {**from_file, **flags}
    whole = settings(config_class).keys() - {"method", "space"}  # which files of older versions do not have
    if given.get("recipe") != from_file.get("recipe") and whole <= from_file.keys():
        raise InputError(
            f"{file} holds every setting, so --recipe {shown(given['recipe'])} would be no more than a name: "
            "drop --recipe, or --config"
        )
    base = {}
    if (job := config_class.job_name()) in RECIPES:
        base = recipe(config_class, chosen_recipe(job, given)).model_dump()
    if "method" in base and given.get("method", base["method"]) != base["method"]:
        base = for_another_method(base, str(given["method"]))
    if "space" in base and given.get("space", base["space"]) != base["space"]:
        base = for_another_space(base, str(given["space"]))
    if base and not has_limits(base, given.get("data", base.get("data"))):
        limits = (*LIMITS, "image_size") if base.get("network_image_size") else LIMITS  # small for the search alone
        base |= {name: config_class.model_fields[name].default for name in limits if name in base}
    if "image_size" in given and "network_image_size" in base:
        base["network_image_size"] = None  # a size that is named is for both
    try:
        config = config_class(**{**base, **given})
    except ConfigError as error:
        untyped = {name: (value, f"the recipe {base['recipe']}: give {name} as well") for name, value in base.items()}
        untyped |= {name: (value, str(file)) for name, value in from_file.items()}
        untyped = {name: origin for name, origin in untyped.items() if name not in flags}
        raise ConfigError([*problems, *(with_origin(line, untyped) for line in error.problems)]) from None
    if problems:
        raise ConfigError([*problems])
    return config
