"""Published settings, one function each, and how a job's configuration comes about: recipe < YAML file < flags."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.groups.group import ConfigError, with_origin
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.job_config import JobConfig, settings
from pcdarts.config.methods.recipes import PUBLISHED, SMALL, SMALL_VARIANTS, VARIANTS
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.yaml_files import read_yaml
from pcdarts.errors import InputError, did_you_mean, shown

DEFAULT = "fashion-mini"
OWN_IMAGES = "own-images"
OWN_DATA = ("folder", "huggingface")
"""Data of the user's own, for which `OWN_IMAGES` is the recipe of jobs that have it and are not told otherwise."""
_OWN: dict[str, Any] = {
    "recipe": OWN_IMAGES, "data": DEFAULT, "train_images": None, "image_size": 64, "network_image_size": None,
    "kind": "stride2", "validation_fraction": 0.15,
}  # fmt: skip


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
    """A search on CIFAR-10 of minutes on two cores that finds better cells than chance (docs/results.md).

    2,000 images of 16x16 pixels in each split, 5 cells of 4 channels, 30 epochs; α and β take a sixth of the paper's
    steps, hence ten times its learning rate. All channels go through the operations: in searches as short as this one,
    partial channel connections find cells no better than chance.
    """
    return SearchConfig(
        recipe="cifar10-small",
        data="cifar10",
        image_size=16,
        network_image_size=32,
        train_images=4000,
        channels=4,
        num_cells=5,
        k=1,
        epochs=30,
        arch_frozen_epochs=10,
        batch_size=64,
        learning_rate=0.05,
        arch_learning_rate=6e-3,
    )


def search_own_images() -> SearchConfig:
    """A search on images of your own, resized to 64x64: as cifar10-small, without the validation images.

    Settings for a few thousand images; `pcdarts fit` chooses by data and time.
    """
    return SearchConfig(**search_cifar10_small().model_dump() | _OWN)


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


def search_by_method(method: str) -> SearchConfig:
    """The search of a method, or of a variant of one, as its authors published it, on CIFAR-10."""
    published = {**PUBLISHED, **VARIANTS}[method]
    return SearchConfig(**{"recipe": method, "data": "cifar10", "method": method} | published)


def search_by_method_small(method: str) -> SearchConfig:
    """The same made small: the images and the supernet of `cifar10-small`."""
    own = METHOD_SETTINGS["darts"].model_fields
    base = {name: value for name, value in search_cifar10_small().model_dump().items() if name not in own}
    small = {**SMALL, **SMALL_VARIANTS}[method]
    return SearchConfig(**base | {"recipe": f"{method}-small", "method": method} | small)


def search_imagenet() -> SearchConfig:
    """The paper's search on ImageNet (Sec. 4.3): 3.8 GPU-days; batch 1,024 over 8 processes (torchrun).

    10 % of the images of each class train the weights, 2.5 % α and β. Augmentation, where the paper is silent, is that
    of the authors' script.
    """
    return SearchConfig(
        recipe="imagenet",
        data="imagenet",
        image_size=224,
        kind="imagenet",
        k=2,
        epochs=50,
        arch_frozen_epochs=35,
        batch_size=1024,
        learning_rate=0.5,
        weight_decay=3e-5,
        arch_learning_rate=6e-3,
        weight_fraction=0.1,
        arch_fraction=0.025,
        split_each_class=True,
        crop="resized",
        crop_padding=0,
        color_jitter=0.4,
    )


def random_search_fashion_mini() -> RandomSearchConfig:
    """Random search on the data set inside the package: splits and size of that search, at about its cost."""
    return RandomSearchConfig(
        recipe="fashion-mini",
        data="fashion-mini",
        train_images=2400,
        candidates=6,
        epochs=2,
        channels=8,
        num_cells=5,
        batch_size=64,
        learning_rate=0.05,
    )


def random_search_cifar10() -> RandomSearchConfig:
    """Random search at the size of the paper's search on CIFAR-10.

    The baseline of DARTS (Liu et al., 2019, Table 1): the best of 24 random cells after 100 epochs each; here with the
    channels and cells of the search, and batches and learning rate of the evaluation (Sec. 4.2), since a single cell is
    trained as there. That is far more than a search by PC-DARTS costs: lower --epochs for one at equal cost.
    """
    return RandomSearchConfig(recipe="cifar10", data="cifar10")


def random_search_amoebanet() -> RandomSearchConfig:
    """Regularised evolution as AmoebaNet was found (Real et al., 2019), with far fewer cells: there 20,000.

    Population, tournament and the networks that are trained are theirs; batches and learning rate are those of the
    recipe cifar10.
    """
    return RandomSearchConfig(
        recipe="amoebanet",
        data="cifar10",
        strategy="evolution",
        candidates=1000,
        population=100,
        sample=25,
        unchanged=0.05,
        epochs=25,
        channels=24,
        num_cells=11,
    )


def random_search_cifar10_small() -> RandomSearchConfig:
    """The same made small: the splits of the search of this name, networks of 8 channels, at about its cost."""
    return RandomSearchConfig(
        recipe="cifar10-small",
        data="cifar10",
        image_size=16,
        network_image_size=32,
        train_images=4000,
        candidates=8,
        epochs=5,
        channels=8,
        num_cells=5,
        batch_size=64,
        learning_rate=0.05,
    )


def random_search_own_images() -> RandomSearchConfig:
    """Random search on images of your own: the images and splits of the search of this name, at about its cost."""
    return RandomSearchConfig(**random_search_cifar10_small().model_dump() | _OWN)


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


def train_own_images() -> TrainConfig:
    """A small network for images of your own, resized to 64x64; validation images choose the epoch, tested once."""
    own = {name: value for name, value in _OWN.items() if name != "network_image_size"}
    own |= {"channels": 16, "epochs": 30, "cutout": 16, "test_every": 1, "select": "best"}
    return TrainConfig(**train_cifar10_small().model_dump() | own)


def train_imagenet() -> TrainConfig:
    """The paper's evaluation on ImageNet (Sec. 4.3): 14 cells, 48 channels, 250 epochs of batches of 1,024.

    The values of label smoothing and of the auxiliary weight, and the augmentation, are those of the authors' script.
    """
    return TrainConfig(
        recipe="imagenet",
        data="imagenet",
        image_size=224,
        kind="imagenet",
        channels=48,
        num_cells=14,
        epochs=250,
        batch_size=1024,
        learning_rate=0.5,
        learning_rate_schedule="linear",
        lr_warmup_epochs=5,
        weight_decay=3e-5,
        drop_path=0.0,
        cutout=0,
        crop="resized",
        crop_padding=0,
        color_jitter=0.4,
        label_smoothing=0.1,
    )


def train_imagenet_100() -> TrainConfig:
    """The same for 100 epochs, as in the ablation of Table 3."""
    return TrainConfig(**train_imagenet().model_dump() | {"recipe": "imagenet-100", "epochs": 100})


def detect_train_coco() -> DetectTrainConfig:
    """The paper's detector on COCO (Sec. 4.5): SSD at 320x320 on the network for ImageNet, given by --classifier.

    The paper learns from trainval without 5,000 images: train2017, and val2017 are these 5,000 (from the files of 2014,
    it is --train-sets train2014 val2014 --test-set none --held-out 5000). Its figures are those of test-dev:
    `pcdarts detect test RUN --test-set test-dev2015 --submission FILE`. It says nothing of epochs, batch and learning
    rate: these are those of torchvision's SSDLite (660 epochs, batches of 192, 0.15 falling by a cosine).
    """
    return DetectTrainConfig(recipe="coco")


def detect_train_coco_mini() -> DetectTrainConfig:
    """A small detector on a few hundred images in COCO's format; a quarter of an hour on two cores."""
    return DetectTrainConfig(
        recipe="coco-mini",
        channels=16,
        num_cells=8,
        epochs=30,
        batch_size=16,
        learning_rate=0.05,
        lr_warmup_epochs=2,
        test_every=10,
    )


RECIPES: dict[str, dict[str, Callable[[], JobConfig]]] = {
    "search": {
        "fashion-mini": search_fashion_mini,
        "cifar10": search_cifar10,
        "cifar10-small": search_cifar10_small,
        "darts-v1": search_darts_v1,
        "darts-v2": search_darts_v2,
        "imagenet": search_imagenet,
        OWN_IMAGES: search_own_images,
        **{method: partial(search_by_method, method) for method in (*VARIANTS, *PUBLISHED)},
        **{f"{method}-small": partial(search_by_method_small, method) for method in (*SMALL_VARIANTS, *SMALL)},
    },
    "random search": {
        "fashion-mini": random_search_fashion_mini,
        "cifar10": random_search_cifar10,
        "cifar10-small": random_search_cifar10_small,
        "amoebanet": random_search_amoebanet,
        OWN_IMAGES: random_search_own_images,
    },
    "train": {
        "fashion-mini": train_fashion_mini,
        "cifar10": train_cifar10,
        "cifar10-small": train_cifar10_small,
        "imagenet": train_imagenet,
        "imagenet-100": train_imagenet_100,
        OWN_IMAGES: train_own_images,
    },
    "detect train": {
        "coco-mini": detect_train_coco_mini,
        "coco": detect_train_coco,
    },
}
"""By job; the first one is what a job does that is not told otherwise, and has no images of the user's own."""

LIMITS = ("train_images", "test_images", "network_image_size")
"""What a recipe says of the size of its own data; other data is used whole."""

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


_BY_DATA = {"cifar10": "cifar10", "cifar100": "cifar10", "imagenet": "imagenet"}
"""By data, the training recipe for a search whose own recipe training does not have."""


def training_recipe(search: SearchConfig | RandomSearchConfig) -> TrainConfig:
    """By which the cells of a search are trained: the recipe of its name, else that for its data, else the first."""
    name = str(search.recipe)
    if name.removesuffix("-small") in (*SMALL, *SMALL_VARIANTS) and name.endswith("-small"):
        name = "cifar10-small"
    return recipe(TrainConfig, name if name in RECIPES["train"] else _BY_DATA.get(search.data, DEFAULT))


def chosen_recipe(job: str, given: Mapping[str, Any]) -> str:
    """The recipe that settings by name choose, or leave to the job: its first one, or that for images of one's own.

    A file of a run says which recipe it had, even if that is none.
    """
    recipes = RECIPES[job]
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
    whole = settings(config_class).keys() - {"method"}  # which files of older versions do not have
    if given.get("recipe") != from_file.get("recipe") and whole <= from_file.keys():
        raise InputError(
            f"{file} holds every setting, so --recipe {shown(given['recipe'])} would be no more than a name: "
            "drop --recipe, or --config"
        )
    base = {}
    if (job := config_class.job_name()) in RECIPES:
        base = recipe(config_class, chosen_recipe(job, given)).model_dump()
    if "method" in base and given.get("method", base["method"]) != base["method"]:  # what it says of its own method
        base = {name: value for name, value in base.items() if name not in METHOD_SETTINGS[base["method"]].model_fields}
    if given.get("data", base.get("data")) != base.get("data"):
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
