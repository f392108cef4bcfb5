"""The configuration of a job: flat, frozen and checked, with what identifies it and its YAML file."""

import math
import os
import re
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from pcdarts.config.group import Group
from pcdarts.errors import listed, shown

WHERE_THE_SETS_ARE = frozenset({"test_set", "train_set"})
"""Fields that are among those `elsewhere` where they say which folders the images are in: these are compared."""


class JobConfig(Group):
    """What the configurations of all jobs have in common."""

    elsewhere: ClassVar[frozenset[str]] = frozenset(
        {
            "checkpoint_minutes",
            "compile",
            "data_root",
            "deterministic",
            "device",
            "hub_name",
            "kernels",
            "max_mult_adds",
            "max_params",
            "max_skipped_batches",
            "max_skips",
            "network_cells",
            "network_channels",
            "network_image_size",
            "on_bad_image",
            "split_file",
            "threads",
            "track",
            "workers",
        }
    )
    """Fields that say where, how fast and how carefully, not what: a run may be resumed with other values of these.

    What may be skipped is among them, so that a run that a bad batch or image has stopped can go on; and the budget
    with the network that it is about, which say what is derived when all is learnt.
    """

    extendable: ClassVar[frozenset[str]] = frozenset({"epochs"})
    """Fields that a run may be resumed with other values of, though they decide what comes out: it is trained on."""

    job: str

    @classmethod
    def job_name(cls) -> str:
        """What the job is called, on the command line too."""
        return str(cls.model_fields["job"].default)

    @classmethod
    def variants(cls) -> tuple[type[Self], ...]:
        """The classes that configurations of this job are of, the usual one first: each may have other settings."""
        return (cls,)

    @field_validator("device", check_fields=False)
    @classmethod
    def _device_is_known(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,2})?", device):
            raise ValueError(f"device is {shown(device)}, but it must be auto, cpu, cuda or cuda:N")
        return device

    @field_validator("data_root", check_fields=False)
    @classmethod
    def _a_folder_needs_a_root(cls, root: Path | None, info: ValidationInfo) -> Path | None:
        if root is None and info.data.get("data") == "folder":
            raise ValueError("data is folder, but data_root is not given: name the folder of class folders")
        return root

    @field_validator("arch_fraction", check_fields=False)
    @classmethod
    def _parts_are_no_more_than_all(cls, arch_fraction: float | None, info: ValidationInfo) -> float | None:
        weight_fraction = info.data.get("weight_fraction")
        if arch_fraction is not None and weight_fraction is not None and arch_fraction + weight_fraction > 1 + 1e-9:
            raise ValueError(
                f"arch_fraction is {arch_fraction:g}, but with weight_fraction {weight_fraction:g} it must be at most 1"
            )
        return arch_fraction

    @field_validator("lr_warmup_epochs", check_fields=False)
    @classmethod
    def _warm_up_within_epochs(cls, warm_up: int, info: ValidationInfo) -> int:
        epochs = info.data.get("epochs")
        if epochs is not None and warm_up > epochs:
            raise ValueError(f"lr_warmup_epochs is {warm_up}, but it must be at most epochs ({epochs})")
        return warm_up

    @field_validator("crop", check_fields=False)
    @classmethod
    def _photographs_are_files(cls, crop: str, info: ValidationInfo) -> str:
        if crop == "resized":
            if info.data.get("data") not in ("folder", "imagenet", "huggingface", None):
                raise ValueError(
                    f"crop is resized, which needs images in files, but data is {info.data['data']}: use data folder, "
                    "imagenet or huggingface, or crop padded"
                )
            if info.data.get("loading") == "resident":
                raise ValueError("crop is resized, which needs the files: drop loading resident, or use crop padded")
            if info.data.get("image_size") is None:
                raise ValueError("crop is resized, but image_size is not given: 224 is that of ImageNet")
        return crop

    @field_validator("color_jitter", check_fields=False)
    @classmethod
    def _jitter_is_for_photographs(cls, jitter: float, info: ValidationInfo) -> float:
        if jitter > 0 and info.data.get("crop") == "padded":
            raise ValueError(f"color_jitter is {jitter:g}, but it goes with crop resized: use that, or 0")
        return jitter

    @field_validator("crop_padding", check_fields=False)
    @classmethod
    def _padding_is_for_padded_crops(cls, padding: int, info: ValidationInfo) -> int:
        if padding > 0 and info.data.get("crop") == "resized":
            raise ValueError(f"crop_padding is {padding}, but it goes with crop padded: use that, or 0")
        return padding

    @field_validator("hub_name", check_fields=False)
    @classmethod
    def _the_hub_needs_a_name(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None and info.data.get("data") == "huggingface":
            raise ValueError("data is huggingface, but hub_name is not given: name a data set, such as ylecun/mnist")
        if name is not None and info.data.get("data") not in ("huggingface", None):
            raise ValueError(f"hub_name is {shown(name)}, but data is {info.data['data']}: use data huggingface")
        return name

    @field_validator("pixel_range", check_fields=False)
    @classmethod
    def _a_pixel_range_rises(
        cls, given: tuple[float, float] | None, info: ValidationInfo
    ) -> tuple[float, float] | None:
        if given is not None and not 0 < given[1] - given[0] < math.inf:
            raise ValueError(
                f"pixel_range is {given[0]:g} {given[1]:g}, but it must be the value of black and a larger one of white"
            )
        if given is not None and info.data.get("data") not in ("folder", "imagenet", "huggingface", None):
            raise ValueError(
                f"pixel_range is for images in files, but data is {info.data['data']}, which has 8 bits: drop it"
            )
        return given

    @field_validator("learning_rate_min", check_fields=False)
    @classmethod
    def _learning_rate_falls(cls, end: float, info: ValidationInfo) -> float:
        start = info.data.get("learning_rate")
        if start is not None and end > start:
            raise ValueError(f"learning_rate_min is {end:g}, but it must be at most learning_rate ({start:g})")
        return end

    @field_validator("k", check_fields=False)
    @classmethod
    def _k_divides_channels(cls, k: int, info: ValidationInfo) -> int:
        channels = info.data.get("channels")
        if channels is not None and channels % k:
            divisors = [str(d) for d in range(1, channels + 1) if channels % d == 0]
            raise ValueError(f"k is {k}, but it must divide channels ({channels}): use {listed(divisors)}")
        return k

    def fingerprint(self) -> dict[str, Any]:
        """The fields that decide what is computed, as plain values: a checkpoint fits a run with the same ones."""
        return self.model_dump(mode="json", exclude=set(self.elsewhere))

    def identity(self) -> dict[str, Any]:
        """The same but for what a run may be given more of: what stays, however long a run is trained on."""
        return {name: value for name, value in self.fingerprint().items() if name not in self.extendable}

    def to_yaml(self) -> str:
        """Every field on a line of its own, as a file that `--config` reads back to an equal configuration.

        Where data, split and first weights are, is written in full, so that they are found from any folder.
        """
        fields = self.model_dump(mode="json")
        for name in ("data_root", "split_file", "init"):
            if fields.get(name) is not None:
                fields[name] = os.path.abspath(os.path.expanduser(fields[name]))
        if os.path.isdir(fields.get("hub_name") or ""):
            fields["hub_name"] = os.path.abspath(fields["hub_name"])
        return yaml.safe_dump(fields, sort_keys=False, default_flow_style=False, width=math.inf)


def settings(config_class: type[JobConfig]) -> dict[str, FieldInfo]:
    """What a user may set where nothing chooses other settings, by name: every field but the job's name."""
    fields = config_class.variants()[0].model_fields
    return {field.alias or name: field for name, field in fields.items() if name != "job"}


def every_setting(config_class: type[JobConfig]) -> dict[str, FieldInfo]:
    """What a user may set with one variant of the job or another, by name."""
    return {name: field for variant in reversed(config_class.variants()) for name, field in settings(variant).items()}
