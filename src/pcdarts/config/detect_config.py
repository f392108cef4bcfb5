"""What `pcdarts detect train` and `pcdarts detect test` can be told."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import argument, setting
from pcdarts.config.groups.image_settings import Workers
from pcdarts.config.groups.learning_settings import BatchSize, Epochs, Precision, Schedule, Sgd
from pcdarts.config.groups.machine_settings import Determinism, Machine, Safety, Seed
from pcdarts.config.groups.network_settings import NO_GENOTYPE, Size
from pcdarts.config.groups.values import Count, NaturalNumber, Probability
from pcdarts.config.job_config import JobConfig, RunConfig
from pcdarts.errors import listed, shown

_CELL = "pc_darts_imagenet"


class DetectTrainConfig(
    RunConfig, Size, Epochs, Sgd, Schedule, Precision, Safety, Seed, Machine, Workers, Determinism
):  # fmt: skip
    """Train a detector, SSD on the network of a genotype or SSDLite on a stock one; defaults are the recipe coco's."""

    defaults: ClassVar = {
        "channels": 48, "num_cells": 14, "epochs": 660, "batch_size": 192, "learning_rate": 0.15, "weight_decay": 4e-5,
        "gradient_clip": 10.0,
    }  # fmt: skip
    changeable = frozenset({"data_root"})

    job: Literal["detect train"] = "detect train"
    classifier: Path | None = setting(
        None,
        "finished train run (kind imagenet), exported file, or weights.pt of other scripts (with "
        "--genotype): with its weights, genotype, channels, cells and pixel statistics the detector begins (none: "
        "random weights)",
        after="recipe",
    )
    genotype: str = setting(
        _CELL,
        "published name, JSON or text file, log (LOG:EPOCH), genotypes.py (FILE:NAME), run folder "
        "(RUN:EPOCH), or random:SEED[:NODES]; a run or exported file has its own",
        min_length=1,
    )
    backbone: str | None = setting(
        None,
        "SSDLite on this network in place of SSD on one of cells: timm/NAME, such as timm/mobilenetv2_100, or of "
        "torchvision, such as mobilenet_v3_large",
        min_length=1,
    )
    pretrained: bool = setting(
        False, "the backbone begins with its weights learnt on ImageNet, from the cache of its library"
    )
    pretrained_file: Path | None = setting(None, "the backbone begins with the weights in this file, which fit it")
    head_channels: Count = setting(
        24, "channels of the map of stride 8 that the head sees; doubled at strides 16 and 32", after="num_cells"
    )
    data_root: Path | None = setting(
        None, "folder in COCO's layout (a folder of images per set, and annotations/) or in Roboflow's"
    )
    train_sets: tuple[str, ...] = setting(
        ("train2017",), "sets trained on together, such as train2017 (COCO) or train (Roboflow)"
    )
    test_set: str | None = setting("val2017", "set on which average precision is measured (none: the images held out)")
    held_out: NaturalNumber = setting(0, "images held out of the last training set to test on")
    train_images: Count | None = setting(None, "largest number of training images (none: all)")
    test_images: Count | None = setting(None, "largest number of test images (none: all)")
    image_size: int = setting(320, "height and width to which images are resized, in pixels", ge=64)
    augment: bool = setting(True, "train on random crops, zooms, mirror images and colours, boxes included")
    test_every: Count = setting(
        10,
        "epochs between two measurements of the average precision; the last epoch always has one",
        after="gradient_clip",
    )

    @field_validator("backbone")
    @classmethod
    def _it_is_this_or_a_cell(cls, backbone: str | None, info: ValidationInfo) -> str | None:
        usual = {"classifier": (None,), "genotype": (_CELL, NO_GENOTYPE)}
        given = [name for name, values in usual.items() if info.data.get(name, values[0]) not in values]
        if backbone is not None and given:
            raise ValueError(
                f"backbone is {shown(backbone)}, but {listed(given, 'and')} would be of cells: drop one of them"
            )
        return backbone

    @field_validator("pretrained", "pretrained_file")
    @classmethod
    def _it_goes_with_a_backbone(cls, value: object, info: ValidationInfo) -> object:
        if value and not info.data.get("backbone") and "backbone" in info.data:
            raise ValueError(f"{info.field_name} goes with backbone, the name of a network: name one, or drop it")
        return value

    @property
    def is_pretrained(self) -> bool:
        """Whether a stock network begins with weights learnt on ImageNet."""
        return self.pretrained or self.pretrained_file is not None

    @field_validator("train_sets")
    @classmethod
    def _something_is_trained_on(cls, sets: tuple[str, ...]) -> tuple[str, ...]:
        if not sets or len(set(sets)) < len(sets):
            raise ValueError("train_sets must name one set or more, each once, such as train2017")
        return sets

    @field_validator("held_out")
    @classmethod
    def _something_is_tested_on(cls, held_out: int, info: ValidationInfo) -> int:
        test_set = info.data.get("test_set")
        if test_set is None and held_out == 0 and "test_set" in info.data:
            raise ValueError("held_out is 0 and test_set none, but something must be tested on: give one of them")
        if test_set is not None and held_out:
            raise ValueError(f"held_out is {held_out} and test_set {test_set}, but they exclude each other: drop one")
        return held_out


class DetectTestConfig(JobConfig, BatchSize, Machine, Workers):
    """Measure the average precision of a trained detector again, or write down or draw what it finds."""

    __test__: ClassVar[bool] = False  # for pytest: not a test class

    defaults: ClassVar = {"batch_size": 32}

    job: Literal["detect test"] = "detect test"
    run: Path = argument("folder of a finished detect train run")
    data_root: Path | None = setting(None, "folder in COCO's layout (none: that of the run)")
    test_set: str | None = setting(
        None,
        "set of images (none: that of the run); one without annotations, such as test-dev2015, needs "
        "--submission or --draw",
    )
    test_images: Count | None = setting(None, "largest number of test images (none: all)")
    submission: Path | None = setting(None, "file for all detections as COCO's evaluation server wants them")
    draw: Path | None = setting(None, "PNG file for a sheet of test images with what was found")
    threshold: Probability = setting(0.3, "smallest score of what is drawn")
    on_bad_image: Literal["stop", "skip"] | None = setting(
        None, "what to do about an image file that cannot be read (none: as in the run)"
    )

    @field_validator("draw")
    @classmethod
    def _a_sheet_is_a_png(cls, draw: Path | None) -> Path | None:
        if draw is not None and draw.suffix.lower() != ".png":
            raise ValueError(f"draw is {draw}, but it must be a file called .png")
        return draw
