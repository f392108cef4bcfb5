"""What each job can be told: a configuration is made of groups of settings and has some of its own."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ValidationInfo, create_model, field_validator, model_validator
from pydantic_core import ErrorDetails

from pcdarts.cell.space import NetworkKind
from pcdarts.config.groups.few_images_settings import FewImages, Sampling
from pcdarts.config.groups.group import argument, at_most, setting
from pcdarts.config.groups.image_settings import (
    Crops,
    Cutout,
    DataPlace,
    Fractions,
    Images,
    PixelRange,
    Splits,
    TrainSet,
    Validation,
    Workers,
)
from pcdarts.config.groups.learning_settings import (
    Accumulation,
    BatchSize,
    Epochs,
    LowestLearningRate,
    Precision,
    Schedule,
    Sgd,
)
from pcdarts.config.groups.machine_settings import Compilation, Determinism, Machine, Safety, Seed, Threads
from pcdarts.config.groups.method_settings import METHOD_SETTINGS, DartsSettings, wrong_method
from pcdarts.config.groups.network_settings import (
    Budget,
    CellOrStock,
    OfWeightsFile,
    OfWeightsFileAndImages,
    PartialChannels,
    Size,
    Space,
    Stem,
    TrainedNetwork,
    Truth,
)
from pcdarts.config.groups.values import (
    Channels,
    Count,
    DataName,
    Fraction,
    NaturalNumber,
    NotNegative,
    NumCells,
    Percentage,
    Positive,
    Probability,
)
from pcdarts.config.job_config import JobConfig, RunConfig
from pcdarts.config.methods.settings import MethodSettings
from pcdarts.errors import listed


class SearchConfig(
    RunConfig, Images, Workers, Stem, Size, Space, Truth, PartialChannels, Epochs, Sgd, LowestLearningRate,
    TrainedNetwork, Budget, Splits, Crops, Cutout, Sampling, Precision, Accumulation, Safety, Seed, Machine,
    Determinism, Compilation,
):  # fmt: skip
    """Search a cell; the defaults are those of the paper's search on CIFAR-10 (Sec. 4.2)."""

    changeable = frozenset({"kernels"})

    job: Literal["search"] = "search"
    method: str = setting(
        "darts", "how alpha and beta are learnt; --method NAME --help shows the method's settings", after="recipe"
    )
    channel_sampling: Literal["first", "random"] = setting(
        "first", "channels sampled: the first 1/K, then a shuffle (Sec. 4.1), or a fresh random mask (Eq. 1)", after="k"
    )
    edge_normalization: bool = setting(True, "weigh the edges that enter a node by softmaxed betas (Eq. 2)")
    arch_frozen_epochs: NaturalNumber = setting(
        15, "number of first epochs in which alpha and beta do not change", after="epochs"
    )
    kernels: Literal["auto", "native", "plain"] = setting(
        "auto", "native (compiled on first use), plain (PyTorch alone), or auto: the faster ones here", after="compile"
    )

    def __new__(cls, **fields: Any) -> Self:
        """A configuration with the settings of its method: it is of the class of these too."""
        wanted: Any = cls  # which is the right one where a configuration is copied
        if fields or not issubclass(cls, MethodSettings):
            wanted = _with(METHOD_SETTINGS.get(str(fields.get("method")), DartsSettings))
        return super().__new__(wanted)

    def __init__(self, **fields: Any) -> None:  # those of the method are among them
        super().__init__(**fields)

    @classmethod
    def variants(cls) -> tuple[Any, ...]:
        return (cls,) if issubclass(cls, MethodSettings) else tuple(map(_with, METHOD_SETTINGS.values()))

    @classmethod
    def _in_words(cls, problems: Sequence[ErrorDetails]) -> list[str]:
        """All settings of another method are told in one line, and not at all if the name of the method is wrong."""
        of_others: dict[tuple[str, ...], list[str]] = {}
        others = []
        for problem in problems:
            name = problem["loc"][0] if problem["loc"] else ""
            methods = tuple(method for method, group in METHOD_SETTINGS.items() if name in group.model_fields)
            if methods and problem["type"] == "extra_forbidden":
                of_others.setdefault(methods, []).append(str(name))
            else:
                others.append(problem)
        lines = super()._in_words(others)
        if any(problem["loc"] == ("method",) for problem in others):
            return lines
        ours = next(method for method, group in METHOD_SETTINGS.items() if group in cls.__bases__)
        for methods, names in of_others.items():
            are, them = ("is", "it") if len(names) == 1 else ("are", "them")
            theirs = listed(methods)
            lines.append(
                f"{listed(names, 'and')} {are} for the method {theirs}, not for {ours}: drop {them}, or use method "
                f"{theirs}"
            )
        return lines

    @field_validator("method")
    @classmethod
    def _the_method_is_known(cls, method: str) -> str:
        if method not in METHOD_SETTINGS:
            raise ValueError(wrong_method(method))
        return method

    @field_validator("max_mult_adds", "max_params", "max_skips", "max_latency")
    @classmethod
    def _the_method_knows_budgets(cls, limit: Any, info: ValidationInfo) -> Any:
        if limit is not None and not getattr(cls, "has_budgets", True):
            raise ValueError(
                f"{info.field_name} limits the cells that a method weighs operation by operation, and "
                f"{info.data.get('method')} {cls.without_budgets}: drop it, or use method darts"  # type: ignore[attr-defined]
            )
        return limit

    @field_validator("kernels")
    @classmethod
    def _native_kernels_know_float32_alone(cls, kernels: str, info: ValidationInfo) -> str:
        if kernels == "native" and info.data.get("amp") in ("bf16", "fp16"):
            raise ValueError("kernels is native, but these compute in float32: drop amp, or use plain")
        if kernels == "native" and info.data.get("synchronize_batch_norm"):
            raise ValueError("kernels is native, but these know one process: drop synchronize_batch_norm, or use plain")
        return kernels

    @field_validator("arch_frozen_epochs")
    @classmethod
    def _frozen_within_epochs(cls, frozen: int, info: ValidationInfo) -> int:
        return at_most(frozen, info, "epochs")


@cache
def _with(group: type[MethodSettings]) -> type[SearchConfig]:
    """The class of the configurations of a search by the method of these settings."""
    bases: Any = (SearchConfig, group)
    return create_model("SearchConfig", __base__=bases, __module__=__name__)


class TrainConfig(
    RunConfig, CellOrStock, Images, Workers, Stem, Size, Epochs, Sgd, LowestLearningRate, Schedule, Cutout, Crops,
    Sampling, FewImages, Precision, Accumulation, Safety, Seed, Machine, Determinism, Compilation,
):  # fmt: skip
    """Train the network of a genotype from scratch; the defaults are those of the paper on CIFAR-10 (Sec. 4.2)."""

    defaults: ClassVar = {
        "channels": 36, "num_cells": 20, "epochs": 600, "batch_size": 128, "learning_rate": 0.025, "cutout": 16,
    }  # fmt: skip

    job: Literal["train"] = "train"
    test_images: Count | None = setting(
        None, "largest number of test images, the same number of each class (none: all)", after="train_images"
    )
    drop_path: Probability = setting(
        0.3, "probability of dropping a path, reached linearly at the end", after="gradient_clip"
    )
    auxiliary: bool = setting(True, "train an auxiliary head at 2/3 of the depth", after="color_jitter")
    auxiliary_weight: NotNegative = setting(0.4, "weight of the auxiliary head's loss")
    label_smoothing: Probability = setting(0.0, "label smoothing of the training loss")
    test_every: Count = setting(
        1,
        "epochs between two measurements of the error, on the validation set if there is one, else on the test set; "
        "the last epoch always has one",
    )
    select: Literal["last", "best"] = setting(
        "last", "which weights are the result: those after the last epoch, or those with the least validation error"
    )
    patience: Count | None = setting(
        None, "stop after so many epochs without a lower validation error (select best; none: all epochs)"
    )
    test: bool = setting(
        True, "measure the test images at the end (no: a training that only helps to choose, by validation images)"
    )
    max_minutes: Positive | None = setting(
        None,
        "minutes that the epochs of a seed may take: where the machine is slower there are fewer, and the schedules of "
        "learning rate and drop-path end with them (none: all epochs)",
        after="epochs",
    )
    most_epochs: Count | None = setting(
        None,
        "with max_minutes: where the machine is faster than planned, up to so many epochs (none: no more than epochs)",
        after="max_minutes",
    )
    seeds: Count = setting(1, "number of seeds trained in a row, for a mean ± std", after="seed")

    @field_validator("most_epochs")
    @classmethod
    def _more_epochs_are_for_the_time_that_is_left(cls, most: int | None, info: ValidationInfo) -> int | None:
        if most is not None and info.data.get("max_minutes") is None:
            raise ValueError(
                "most_epochs goes with max_minutes, the time that they may take: give that too, or drop it"
            )
        if most is not None and most < (epochs := info.data.get("epochs", 1)):
            raise ValueError(f"most_epochs is {most}, but it must be at least epochs, which is {epochs}")
        return most

    @field_validator("test")
    @classmethod
    def _something_is_measured(cls, test: bool, info: ValidationInfo) -> bool:
        if not test and not info.data.get("validation_fraction") and info.data.get("validation_set") is None:
            raise ValueError(
                "test is off, but there are no validation images to measure instead: give validation_fraction, such as "
                "0.15, or validation_set"
            )
        return test

    @field_validator("seeds")
    @classmethod
    def _seeds_are_tested(cls, seeds: int, info: ValidationInfo) -> int:
        if seeds > 1 and info.data.get("test") is False:
            raise ValueError(f"seeds is {seeds}, of which the mean test error is told, but test is off: use one seed")
        return seeds

    @field_validator("select")
    @classmethod
    def _choosing_takes_validation_images(cls, select: str, info: ValidationInfo) -> str:
        none_is_kept = info.data.get("validation_fraction") == 0  # it is not there if it is wrong itself
        if select == "best" and none_is_kept and info.data.get("validation_set") is None:
            raise ValueError(
                "select is best, but there are no validation images to choose by: give validation_fraction, such as "
                "0.15, or validation_set; or use select last"
            )
        return select

    @field_validator("patience")
    @classmethod
    def _patience_waits_for_a_better_epoch(cls, patience: int | None, info: ValidationInfo) -> int | None:
        if patience is not None and info.data.get("select") == "last":
            raise ValueError(
                f"patience is {patience}, but select is last, for which nothing is chosen: use select best, or drop it"
            )
        if patience is not None and patience < (every := info.data.get("test_every", 1)):
            raise ValueError(
                f"patience is {patience}, but the error is measured every {every} epochs only (test_every): give "
                f"patience {every} or more"
            )
        return patience


class TestConfig(JobConfig, OfWeightsFile, DataPlace, PixelRange, BatchSize, Workers, Machine):
    """Measure the test error of a trained run; data that is not named is the run's own."""

    __test__: ClassVar[bool] = False  # for pytest: not a test class

    job: Literal["test"] = "test"
    run: Path = argument("folder of a finished train run, an exported file, or weights.pt of other scripts")
    data: DataName | None = setting(None, "data set (none: the one the run was trained on)", after="classes")
    test_set: str | None = setting(
        None,
        "folder below data_root, or split of hub_name, to measure on (none: the test set, or of other "
        "data without one all images)",
        min_length=1,
        after="hub_name",
    )
    image_size: Count | None = setting(None, "side to which images are resized (none: as in the run)")
    test_images: Count | None = setting(
        None, "largest number of test images, the same number of each class (none: as in the run; of other data all)"
    )
    pixel_range: tuple[float, float] | None = setting(
        None, "values that are black and white in images of more than 8 bits (none: as in the run)"
    )
    on_bad_image: Literal["stop", "skip"] | None = setting(
        None, "what to do about an image file that cannot be read (none: as in the run)", after="pixel_range"
    )
    mistakes: Path | None = setting(None, "PNG file for a sheet of the images that it was surest of and wrong about")
    as_json: bool = setting(False, "print a list of JSON objects, one of each seed, and nothing else", alias="json")

    @field_validator("mistakes")
    @classmethod
    def _a_sheet_is_a_png(cls, mistakes: Path | None) -> Path | None:
        if mistakes is not None and mistakes.suffix.lower() != ".png":
            raise ValueError(f"mistakes is {mistakes}, but it must be a file called .png")
        return mistakes


class StatusConfig(JobConfig):
    """Say how runs stand: running, interrupted, failed or done, how far they are and how long they will take."""

    job: Literal["status"] = "status"
    runs: tuple[Path, ...] = setting((), "run folders (none: all below runs/)")
    as_json: bool = setting(False, "print a list of JSON objects and nothing else", alias="json")


class DataSplitConfig(JobConfig, TrainSet, Validation, Fractions, Seed):
    """Draw the weight and the arch split of an image folder once, and keep them as a manifest for any later search."""

    job: Literal["data split"] = "data split"
    data_root: Path = setting(Path("data/imagenet"), "image folder, of which the training set is split", after="job")
    out: Path = setting(Path("split.json"), "file to write", after="train_set")
    weight_fraction: Fraction = setting(0.1, "part of each class that trains the weights (Sec. 4.3)")
    arch_fraction: Fraction = setting(0.025, "part of each class that trains alpha and beta")


class ShowConfig(JobConfig, Budget):
    """Print and draw a genotype, and count what the paper's evaluation networks made of it need."""

    job: Literal["show"] = "show"
    genotype: str = argument(
        "published name, JSON or text file, log (LOG:EPOCH), genotypes.py (FILE:NAME), run folder "
        "(RUN:EPOCH), or random:SEED[:NODES or :nasbench201]",
        min_length=1,
    )
    svg: Path | None = setting(None, "folder to write the drawings of both cells to")
    table: Path | None = setting(
        None,
        "table of NAS-Bench-201 (a CSV file, plain, .gz, .bz2 or .xz, or a folder of NATS-Bench), in which its cell is "
        "looked up: accuracy, rank, regret to the best, share of cells that are worse",
    )
    as_json: bool = setting(False, "print the genotype as JSON and nothing else", alias="json")
    budget: bool = setting(False, "list the best cells of a finished search within a budget (none given: the run's)")
    best: Count = setting(5, "how many cells to list", after="latency_table")
    rank: Count = setting(1, "which of them to save")
    save: Path | None = setting(None, "file to save one of them to, for `pcdarts train --genotype`")
    kind: NetworkKind | None = setting(
        None,
        "the network that the budget is for (none: the run's own): cifar and imagenet, that of the paper; "
        "stride2 and stride4, the run's own with this stem",
    )
    channels: Channels | None = setting(None, "its channels (none: the run's or the paper's)")
    num_cells: NumCells | None = setting(None, "its cells (none: the run's or the paper's)")
    image_size: Count | None = setting(None, "side of its images (none: the run's or the paper's)")
    num_classes: Count | None = setting(None, "its classes (none: the run's or the paper's)")

    @model_validator(mode="after")
    def _a_budget_is_wanted(self) -> Self:
        others = self.model_fields_set - {"job", "genotype", "svg", "table", "as_json", "budget"}
        if others and not self.budget:
            raise ValueError(
                f"{listed(sorted(others), 'and')}: only with --budget, which lists the best cells of a search"
            )
        if self.budget and self.svg:
            raise ValueError("svg draws one cell, but budget lists several: save one of them, then show that file")
        if self.budget and self.table:
            raise ValueError("table looks up one cell, but budget lists several: save one of them, then show that file")
        return self


class ExportConfig(JobConfig, OfWeightsFileAndImages, Threads):
    """Export the network of a trained run with a model card, once the exported file is found to give its logits."""

    job: Literal["export"] = "export"
    run: Path = argument(
        "folder of a finished train run (of several seeds the first, or name RUN/seed-N), or "
        "weights.pt of other scripts"
    )
    format: Literal["safetensors", "onnx", "onnx-int8", "torch-export"] = setting(
        "safetensors",
        "weights for pcdarts, an ONNX model, one of 8-bit integers, or an exported program of PyTorch",
        after="image_size",
    )
    max_loss: Percentage = setting(1.0, "points of accuracy on the test images that onnx-int8 may lose")
    out: Path | None = setting(
        None, "folder to export to (none: RUN/export; beside a file of weights, its name-export)"
    )
    data_root: Path | None = setting(None, "folder of the data set (none: the data set's own default)")
    push: str | None = setting(None, "also upload the folder to this repository of the Hugging Face Hub")
    private: bool = setting(False, "make that repository a private one if it is new")

    @model_validator(mode="after")
    def _int8_alone_loses(self) -> Self:
        if "max_loss" in self.model_fields_set and self.format != "onnx-int8":
            raise ValueError(f"max_loss is for format onnx-int8, not for {self.format}: drop it")
        return self


class PredictConfig(JobConfig, PixelRange, OfWeightsFileAndImages, Machine):
    """Print the most probable classes of images, by a trained run or what was exported from one."""

    job: Literal["predict"] = "predict"
    run: Path = argument(
        "folder of a finished train run, an exported safetensors file or its folder, or weights.pt of other scripts"
    )
    images: tuple[Path, ...] = argument("image files, and folders of image files", after="run", min_length=1)
    pixel_range: tuple[float, float] | None = setting(
        None, "values that are black and white in images of more than 8 bits (none: as in the training)"
    )
    top: Count = setting(5, "how many classes to print for each image", after="image_size")
    as_json: bool = setting(False, "print a list of JSON objects and nothing else", alias="json")
