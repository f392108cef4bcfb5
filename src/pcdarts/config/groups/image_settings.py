"""Groups of settings about images: where they are, how they are read and split, and how training images are changed."""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.values import IMAGE_FILES, Count, DataName, Fraction, NaturalNumber, Probability
from pcdarts.errors import shown


class Data(Group):
    """Which data set it is."""

    data: DataName = setting(
        "fashion-mini", "data set; 'folder': class folders below data_root, 'huggingface': a data set called hub_name"
    )


class DataPlace(Group):
    """Where a data set is; a class that has `data` too lists it before."""

    changeable = frozenset({"data_root", "hub_name"})

    data_root: Path | None = setting(None, "folder of the data set (none: the data set's own default)")
    hub_name: str | None = setting(
        None, "data set of the Hugging Face hub, or a folder that `datasets` reads", min_length=1
    )

    @field_validator("data_root")
    @classmethod
    def _a_folder_needs_a_root(cls, root: Path | None, info: ValidationInfo) -> Path | None:
        if root is None and info.data.get("data") == "folder":
            raise ValueError("data is folder, but data_root is not given: name the folder of class folders")
        return root

    @field_validator("hub_name")
    @classmethod
    def _the_hub_needs_a_name(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None and info.data.get("data") == "huggingface":
            raise ValueError("data is huggingface, but hub_name is not given: name a data set, such as ylecun/mnist")
        if name is not None and info.data.get("data") not in ("huggingface", None):
            raise ValueError(f"hub_name is {shown(name)}, but data is {info.data['data']}: use data huggingface")
        return name


class TrainSet(Group):
    """Which part of the data is the training set."""

    changeable = frozenset({"train_set"})

    train_set: str | None = setting(
        None,
        "folder below data_root, or split of hub_name, that is the training set (none: found by its name)",
        min_length=1,
    )


class Validation(Group):
    """Which images choose: the best epoch, when to stop, and settings; never learnt from, and never tested on."""

    changeable = frozenset({"validation_set"})

    validation_set: str | None = setting(
        None,
        "the same for the validation set (none: found by its name, or else drawn, if validation_fraction is above 0)",
        min_length=1,
        after=("test_set", "train_set"),
    )
    validation_fraction: Probability = setting(
        0.0,
        "part of each class of the training images kept for validation where the data has no validation set (0: no "
        "validation; a validation set is then training or test data)",
    )


class PixelRange(Group):
    """What the values of pixels mean."""

    pixel_range: tuple[float, float] | None = setting(
        None,
        "values that are black and white in images of more than 8 bits (none: found over the training "
        "images); images of 8 bits stay as they are",
    )

    @field_validator("pixel_range")
    @classmethod
    def _a_pixel_range_rises(
        cls, given: tuple[float, float] | None, info: ValidationInfo
    ) -> tuple[float, float] | None:
        if given is not None and not 0 < given[1] - given[0] < math.inf:
            raise ValueError(
                f"pixel_range is {given[0]:g} {given[1]:g}, but it must be the value of black and a larger one of white"
            )
        if given is not None and info.data.get("data") not in (*IMAGE_FILES, None):
            raise ValueError(
                f"pixel_range is for images in files, but data is {info.data['data']}, which has 8 bits: drop it"
            )
        return given


class Images(Data, DataPlace, TrainSet, Validation, PixelRange):
    """The images that a job of classification learns from."""

    changeable = frozenset({"test_set"})

    test_set: str | None = setting(
        None,
        "the same for the test set (none: found by its name; without one a fifth of each class)",
        min_length=1,
        after="train_set",
    )
    image_size: Count | None = setting(None, "side of the images in pixels, resized to it (none: as they are)")
    train_images: Count | None = setting(
        None, "largest number of training images, the same number of each class (none: all)", after="pixel_range"
    )
    loading: Literal["auto", "resident", "streaming"] = setting(
        "auto",
        "image files: keep all in memory (resident), decode those of each batch (streaming), or this above 2 GB (auto)",
    )


class Workers(Group):
    """Processes that read images."""

    changeable = frozenset({"workers"})

    workers: Annotated[int, Field(ge=0, le=1024)] | None = setting(
        None, "processes that decode streamed images (none: as many as cores and device suggest; 0: this one)"
    )


class Fractions(Group):
    """How the training images are split in two."""

    weight_fraction: Fraction = setting(0.5, "part of the training images that trains the weights")
    arch_fraction: Fraction | None = setting(
        None, "part of them that trains alpha and beta (none: all that the weights leave)"
    )

    @field_validator("arch_fraction")
    @classmethod
    def _parts_are_no_more_than_all(cls, arch_fraction: float | None, info: ValidationInfo) -> float | None:
        weight_fraction = info.data.get("weight_fraction")
        if arch_fraction is not None and weight_fraction is not None and arch_fraction + weight_fraction > 1 + 1e-9:
            raise ValueError(
                f"arch_fraction is {arch_fraction:g}, but with weight_fraction {weight_fraction:g} it must be at most 1"
            )
        return arch_fraction


class Splits(Fractions):
    """The weight split and the arch split of a search."""

    changeable = frozenset({"split_file"})

    split_each_class: bool = setting(False, "take these parts of each class, not of all images")
    split_file: Path | None = setting(
        None, "manifest of the two parts, of `pcdarts data split` or another run, whatever the fractions"
    )


class Crops(Group):
    """How training images are cropped, mirrored and coloured; a class lists it after `Images`."""

    crop: Literal["padded", "resized"] = setting(
        "padded", "random crops: of padded images (CIFAR), or of any part of a photograph, resized (ImageNet)"
    )
    crop_padding: NaturalNumber = setting(4, "pixels of padding before a random crop (0: no crop)")
    flip: bool = setting(True, "mirror training images at random")
    color_jitter: float = setting(
        0.0, "random brightness, contrast and saturation, and half as much hue (crop resized)", ge=0, le=1
    )

    @field_validator("crop")
    @classmethod
    def _photographs_are_files(cls, crop: str, info: ValidationInfo) -> str:
        if crop == "resized":
            if info.data.get("data") not in (*IMAGE_FILES, None):
                raise ValueError(
                    f"crop is resized, which needs images in files, but data is {info.data['data']}: use data folder, "
                    "imagenet or huggingface, or crop padded"
                )
            if info.data.get("loading") == "resident":
                raise ValueError("crop is resized, which needs the files: drop loading resident, or use crop padded")
            if info.data.get("image_size") is None:
                raise ValueError("crop is resized, but image_size is not given: 224 is that of ImageNet")
        return crop

    @field_validator("crop_padding")
    @classmethod
    def _padding_is_for_padded_crops(cls, padding: int, info: ValidationInfo) -> int:
        if padding > 0 and info.data.get("crop") == "resized":
            raise ValueError(f"crop_padding is {padding}, but it goes with crop padded: use that, or 0")
        return padding

    @field_validator("color_jitter")
    @classmethod
    def _jitter_is_for_photographs(cls, jitter: float, info: ValidationInfo) -> float:
        if jitter > 0 and info.data.get("crop") == "padded":
            raise ValueError(f"color_jitter is {jitter:g}, but it goes with crop resized: use that, or 0")
        return jitter


class Cutout(Group):
    """Squares cut out of training images."""

    cutout: NaturalNumber = setting(0, "side of the square cut out of training images, in pixels (0: off)")
