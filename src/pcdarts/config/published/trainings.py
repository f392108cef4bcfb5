"""The published settings of trainings, also of detectors, and small ones."""

from pcdarts.config.configs import TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.published.searches import OWN


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


def train_nasbench201() -> TrainConfig:
    """The training by which NAS-Bench-201 was made (Dong and Yang, 2020): 200 epochs; its short version has 12."""
    return TrainConfig(
        recipe="nasbench201",
        data="cifar10",
        channels=16,
        num_cells=15,
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        nesterov=True,
        weight_decay=5e-4,
        gradient_clip=1e9,
        drop_path=0.0,
        auxiliary=False,
        cutout=0,
    )


def train_nasbench201_small() -> TrainConfig:
    """The same made small: images and network of the search of this name, 12 epochs."""
    small = {"data": "fashion-mini", "image_size": 16, "train_images": 10_000, "num_cells": 3, "epochs": 12}
    own = {"recipe": "nasbench201-small", "batch_size": 64, "learning_rate": 0.05, "test_every": 12}
    return TrainConfig(**train_nasbench201().model_dump() | small | own)


def train_own_images() -> TrainConfig:
    """A small network for images of your own, resized to 64x64; validation images choose the epoch, tested once."""
    own = {name: value for name, value in OWN.items() if name != "network_image_size"}
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
