"""What `pcdarts fit` can be told: a folder, the time, what the network may cost, and settings that a user fixes."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from pcdarts.cell.space import NetworkKind
from pcdarts.config.configs import ExportConfig, TrainConfig
from pcdarts.config.groups.few_images_settings import Alpha
from pcdarts.config.groups.group import argument, setting
from pcdarts.config.groups.values import (
    Amount,
    Channels,
    Count,
    NaturalNumber,
    NumCells,
    Positive,
    Probability,
)
from pcdarts.config.job_config import FolderConfig
from pcdarts.errors import closest, listed, shown


def _chosen(name: str, by: str = "chosen by the rules of docs/own-images.md") -> Any:
    """A setting of the training that is None where nobody fixes it."""
    words = str(TrainConfig.model_fields[name].description).partition(" (none:")[0]
    return setting(None, f"{words} (none: {by})")


class FitConfig(FolderConfig):
    """From a folder of images to a network to ship: looks, plans, searches where that pays, trains, tests, exports."""

    changeable = frozenset({"folder", "train_set", "test_set", "validation_set", "on_bad_image", "workers"})

    job: Literal["fit"] = "fit"
    folder: Path = argument("folder of images: class folders, or train and test (and val) with class folders")
    minutes: Positive = setting(30.0, "how long all of it may take, on this machine", le=100_000, after="folder")
    search: Literal["auto", "always", "never"] = setting(
        "auto",
        "whether a cell is searched: where that is shown to beat chance and takes little of the time (auto); otherwise "
        "a published cell is taken",
    )
    search_epochs: Count | None = setting(
        None, "epochs of the search (none: chosen by the rules of docs/own-images.md)"
    )
    max_mult_adds: Amount | None = setting(None, "mult-adds of the network, at most: 50M or the like")
    max_params: Amount | None = setting(None, "parameters of the network, at most, such as 5.3M or 300k")
    max_latency: Positive | None = setting(
        None, "milliseconds of the network for one image, at most, through onnxruntime on the CPU of this machine"
    )
    latency_table: Path | None = setting(
        None,
        "table of another device, made there by `pcdarts latency`, by which the limit is meant: only networks that it "
        "has are possible (none: measured here)",
    )
    compare: str | None = setting(
        "auto",
        "stock networks that are trained beside it, separated by commas, as in `pcdarts compare --with` (auto: "
        "mobilenet_v3_small, from 20 minutes on; none: no comparison)",
        min_length=1,
    )
    export: tuple[str, ...] = setting(
        ("onnx", "onnx-int8"), "formats of the files to ship, as `pcdarts export --format` has them"
    )
    genotype: str | None = setting(
        None, "its cell, as `pcdarts train --genotype` takes it (none: a published or a searched one)", min_length=1
    )
    train_set: str | None = setting(
        None, "folder below FOLDER that is the training set (none: found by its name)", min_length=1
    )
    test_set: str | None = setting(
        None, "the same for the test set (none: found by its name; without one a fifth of each class)", min_length=1
    )
    validation_set: str | None = setting(
        None,
        "the same for the validation set (none: found by its name; without one a part of each class)",
        min_length=1,
    )
    validation_fraction: Probability | None = _chosen("validation_fraction")
    image_size: Count | None = _chosen("image_size")
    kind: NetworkKind | None = _chosen("kind")
    channels: Channels | None = _chosen("channels")
    num_cells: NumCells | None = _chosen("num_cells")
    epochs: Count | None = _chosen("epochs", "as many as the time allows")
    batch_size: Count | None = _chosen("batch_size")
    learning_rate: Positive | None = _chosen("learning_rate")
    weight_decay: Positive | None = _chosen("weight_decay", "as in `pcdarts train`")
    drop_path: Probability | None = _chosen("drop_path")
    auxiliary: bool | None = _chosen("auxiliary", "as in `pcdarts train`")
    label_smoothing: Probability | None = _chosen("label_smoothing", "as in `pcdarts train`")
    crop_padding: NaturalNumber | None = _chosen("crop_padding")
    flip: bool | None = _chosen("flip", "as in `pcdarts train`")
    cutout: NaturalNumber | None = _chosen("cutout")
    sampling: Literal["shuffled", "balanced"] | None = _chosen("sampling", "as in `pcdarts train`")
    class_weights: Literal["none", "balanced"] | None = _chosen("class_weights", "as in `pcdarts train`")
    randaugment: Annotated[int, Field(ge=0, le=30)] | None = _chosen("randaugment", "as in `pcdarts train`")
    mixup: Alpha | None = _chosen("mixup", "as in `pcdarts train`")
    cutmix: Alpha | None = _chosen("cutmix", "as in `pcdarts train`")
    ema: Probability | None = _chosen("ema", "as in `pcdarts train`")
    train_images: Count | None = _chosen("train_images", "all")
    pixel_range: tuple[float, float] | None = _chosen("pixel_range", "found over the training images")
    on_bad_image: Literal["stop", "skip"] | None = _chosen("on_bad_image", "stop")
    workers: NaturalNumber | None = _chosen("workers", "as many as cores and device suggest")
    select: Literal["last", "best"] | None = _chosen("select")
    patience: Count | None = _chosen("patience", "all epochs")
    amp: Literal["off", "bf16", "fp16"] | None = _chosen("amp", "off")
    seed: NaturalNumber | None = _chosen("seed", "0")

    @field_validator("latency_table")
    @classmethod
    def _a_table_is_for_a_limit(cls, table: Path | None, info: ValidationInfo) -> Path | None:
        if table is not None and info.data.get("max_latency") is None:
            raise ValueError("latency_table is about a limit, and none is given: name it with --max-latency")
        return table

    @field_validator("compare")
    @classmethod
    def _none_is_no_network(cls, compare: str | None) -> str | None:
        return None if compare == "none" else compare

    @field_validator("export")
    @classmethod
    def _formats_are_known(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        known = get_args(ExportConfig.model_fields["format"].annotation)
        for name in formats:
            if name not in known:
                raise ValueError(f"export is {shown(name)}, but it must be {listed(known)}{closest(name, known)}")
        return formats

    def fixed(self) -> dict[str, Any]:
        """The settings of the training that the user has fixed."""
        own = {
            "job",
            "folder",
            "minutes",
            "search",
            "search_epochs",
            "max_mult_adds",
            "max_params",
            "max_latency",
            "latency_table",
            "compare",
            "export",
            "device",
            "threads",
        }
        return {name: value for name, value in self.model_dump(exclude=own).items() if value is not None}
