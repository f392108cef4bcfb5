"""The published settings of searches and random searches, and small ones."""

from typing import Any

from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.methods.recipes import PUBLISHED, SMALL, SMALL_VARIANTS, VARIANTS
from pcdarts.config.random_search_config import RandomSearchConfig

OWN: dict[str, Any] = {
    "recipe": "own-images", "data": "fashion-mini", "train_images": None, "image_size": 64, "network_image_size": None,
    "kind": "stride2", "validation_fraction": 0.15,
}  # fmt: skip
"""What recipes for images of one's own say otherwise than those for CIFAR-10 made small."""


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
    return SearchConfig(**search_cifar10_small().model_dump() | OWN)


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


def search_nasbench201() -> SearchConfig:
    """A first-order search of NAS-Bench-201 as in its authors' code (Dong and Yang, 2020), on CIFAR-10.

    All channels and a plain sum of edges, as DARTS has them; what weighs edges or takes partial channels is asked for.
    """
    return SearchConfig(
        recipe="nasbench201",
        data="cifar10",
        space="nasbench201",
        k=1,
        edge_normalization=False,
        epochs=100,
        arch_frozen_epochs=0,
        batch_size=64,
        learning_rate=0.025,
        learning_rate_min=0.001,
        nesterov=True,
        weight_decay=5e-4,
        arch_learning_rate=3e-4,
    )


def search_nasbench201_small() -> SearchConfig:
    """The same made small, a proxy of minutes on two cores: 10,000 images of 16x16 pixels, 3 cells, 20 epochs.

    α and β take a twenty-fifth of the steps, hence ten times the learning rate.
    """
    small = {"data": "fashion-mini", "image_size": 16, "train_images": 10_000, "num_cells": 3, "epochs": 20}
    own = {"recipe": "nasbench201-small", "learning_rate": 0.05, "arch_learning_rate": 3e-3}
    return SearchConfig(**search_nasbench201().model_dump() | small | own)


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


def random_search_nasbench201() -> RandomSearchConfig:
    """Random search of NAS-Bench-201 as in its authors' code: by the accuracy after a schedule of 12 epochs.

    Their budget of time is enough for about 100 cells on CIFAR-10.
    """
    return RandomSearchConfig(
        recipe="nasbench201",
        data="cifar10",
        space="nasbench201",
        candidates=100,
        epochs=12,
        batch_size=256,
        learning_rate=0.1,
        nesterov=True,
        weight_decay=5e-4,
        gradient_clip=1e9,
    )


def random_search_nasbench201_small() -> RandomSearchConfig:
    """The same made small: images, splits and network of the search of this name, at about its cost."""
    small = {"data": "fashion-mini", "image_size": 16, "train_images": 10_000, "num_cells": 3, "candidates": 6}
    own = {"recipe": "nasbench201-small", "batch_size": 64, "learning_rate": 0.05}
    return RandomSearchConfig(**random_search_nasbench201().model_dump() | small | own)


def random_search_own_images() -> RandomSearchConfig:
    """Random search on images of your own: the images and splits of the search of this name, at about its cost."""
    return RandomSearchConfig(**random_search_cifar10_small().model_dump() | OWN)
