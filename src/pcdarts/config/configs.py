"""What each job can be told: the fields of its configuration, which are also its flags."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, create_model, field_validator, model_validator
from pydantic_core import ErrorDetails

from pcdarts.cell.space import NetworkKind
from pcdarts.config.fields import (
    AccumulationSteps,
    Amp,
    BatchSize,
    Channels,
    CheckpointMinutes,
    ColorJitter,
    Compile,
    Count,
    Crop,
    CropPadding,
    Cutout,
    Data,
    DataName,
    DataRoot,
    Deterministic,
    Device,
    Epochs,
    Flip,
    Fraction,
    GradientClip,
    HubName,
    ImageSize,
    K,
    Kind,
    LearningRate,
    LearningRateMin,
    LearningRateSchedule,
    Loading,
    LrWarmupEpochs,
    MaxMultAdds,
    MaxParams,
    MaxSkippedBatches,
    MaxSkips,
    Momentum,
    NetworkCells,
    NetworkChannels,
    NetworkImageSize,
    Nodes,
    NotNegative,
    NumCells,
    OfFileCells,
    OfFileChannels,
    OfFileClasses,
    OfFileGenotype,
    OfFileImageSize,
    OfFileKind,
    OnBadImage,
    PixelRange,
    Probability,
    Recipe,
    Seed,
    SynchronizeBatchNorm,
    TestSet,
    Threads,
    Track,
    TrainImages,
    TrainSet,
    WeightDecay,
    Workers,
)
from pcdarts.config.job_config import WHERE_THE_SETS_ARE, JobConfig
from pcdarts.config.method_settings import METHOD_SETTINGS, DartsSettings, MethodSettings
from pcdarts.errors import closest, listed, shown


class SearchConfig(JobConfig):
    """Search a cell; the defaults are those of the paper's search on CIFAR-10 (Sec. 4.2)."""

    elsewhere: ClassVar[frozenset[str]] = JobConfig.elsewhere | WHERE_THE_SETS_ARE

    job: Literal["search"] = "search"
    recipe: Recipe = None
    method: str = Field(
        default="darts", description="how alpha and beta are learnt; --method NAME --help shows the method's settings"
    )
    data: Data = "fashion-mini"
    data_root: DataRoot = None
    hub_name: HubName = None
    train_set: TrainSet = None
    test_set: TestSet = None
    image_size: ImageSize = None
    pixel_range: PixelRange = None
    train_images: TrainImages = None
    loading: Loading = "auto"
    workers: Workers = None
    kind: Kind = "cifar"
    channels: Channels = 16
    num_cells: NumCells = 8
    num_nodes: Nodes = 6
    k: K = 4
    channel_sampling: Literal["first", "random"] = Field(
        default="first",
        description="channels sampled: the first 1/K, then a shuffle (Sec. 4.1), or a fresh random mask (Eq. 1)",
    )
    edge_normalization: bool = Field(
        default=True, description="weigh the edges that enter a node by softmaxed betas (Eq. 2)"
    )
    epochs: Epochs = 50
    arch_frozen_epochs: int = Field(
        default=15, ge=0, description="first epochs, in which alpha and beta stay as they are"
    )
    batch_size: BatchSize = 256
    learning_rate: LearningRate = 0.1
    learning_rate_min: LearningRateMin = 0.0
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 3e-4
    gradient_clip: GradientClip = 5.0
    network_channels: NetworkChannels = None
    network_cells: NetworkCells = None
    network_image_size: NetworkImageSize = None
    max_mult_adds: MaxMultAdds = None
    max_params: MaxParams = None
    max_skips: MaxSkips = None
    weight_fraction: Fraction = Field(default=0.5, description="part of the training images that trains the weights")
    arch_fraction: Fraction | None = Field(
        default=None, description="part of them that trains alpha and beta (none: all that the weights leave)"
    )
    split_each_class: bool = Field(default=False, description="take these parts of each class, not of all images")
    split_file: Path | None = Field(
        default=None,
        description="manifest of the two parts, of `pcdarts data split` or another run, whatever the fractions",
    )
    crop: Crop = "padded"
    crop_padding: CropPadding = 4
    flip: Flip = True
    color_jitter: ColorJitter = 0.0
    cutout: Cutout = 0
    amp: Amp = "off"
    gradient_accumulation_steps: AccumulationSteps = 1
    synchronize_batch_norm: SynchronizeBatchNorm = False
    on_bad_image: OnBadImage = "stop"
    max_skipped_batches: MaxSkippedBatches = 0
    checkpoint_minutes: CheckpointMinutes = 10.0
    track: Track = "none"
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = None
    deterministic: Deterministic = False
    compile: Compile = False
    kernels: Literal["auto", "native", "plain"] = Field(
        default="auto",
        description="native (compiled on first use), plain (PyTorch alone), or auto: the faster ones here",
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
            raise ValueError(
                f"method is {shown(method)}, but it must be {listed(METHOD_SETTINGS)}{closest(method, METHOD_SETTINGS)}"
            )
        return method

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
        epochs = info.data.get("epochs")
        if epochs is not None and frozen > epochs:
            raise ValueError(f"arch_frozen_epochs is {frozen}, but it must be at most epochs ({epochs})")
        return frozen


@cache
def _with(group: type[MethodSettings]) -> type[SearchConfig]:
    """The class of the configurations of a search by the method of these settings."""
    bases: Any = (SearchConfig, group)
    return create_model("SearchConfig", __base__=bases, __module__=__name__)


class TrainConfig(JobConfig):
    """Train the network of a genotype from scratch; the defaults are those of the paper on CIFAR-10 (Sec. 4.2)."""

    elsewhere: ClassVar[frozenset[str]] = JobConfig.elsewhere | WHERE_THE_SETS_ARE

    job: Literal["train"] = "train"
    recipe: Recipe = None
    genotype: str = Field(
        default="latest",
        min_length=1,
        description="'latest' (the last search under runs/), a run folder (RUN:EPOCH), a JSON or text file, a log "
        "(LOG:EPOCH), a genotypes.py (FILE:NAME), a published name, or random:SEED[:NODES]",
    )
    init: Path | None = Field(
        default=None,
        description="weights to begin with: a train run, finished or not, an export, or a file of the authors' scripts "
        "with its --genotype; cell, kind, channels and cells are taken too (none: random weights)",
    )
    data: Data = "fashion-mini"
    data_root: DataRoot = None
    hub_name: HubName = None
    train_set: TrainSet = None
    test_set: TestSet = None
    image_size: ImageSize = None
    pixel_range: PixelRange = None
    train_images: TrainImages = None
    test_images: Count | None = Field(
        default=None, description="keep so many test images at most, as many per class (none: all)"
    )
    loading: Loading = "auto"
    workers: Workers = None
    kind: Kind = "cifar"
    channels: Channels = 36
    num_cells: NumCells = 20
    epochs: Epochs = 600
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 0.025
    learning_rate_min: LearningRateMin = 0.0
    learning_rate_schedule: LearningRateSchedule = "cosine"
    lr_warmup_epochs: LrWarmupEpochs = 0
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 3e-4
    gradient_clip: GradientClip = 5.0
    drop_path: Probability = Field(
        default=0.3, description="probability of dropping a path, reached linearly at the end"
    )
    cutout: Cutout = 16
    crop: Crop = "padded"
    crop_padding: CropPadding = 4
    flip: Flip = True
    color_jitter: ColorJitter = 0.0
    auxiliary: bool = Field(default=True, description="train an auxiliary head at 2/3 of the depth")
    auxiliary_weight: NotNegative = Field(default=0.4, description="weight of the auxiliary head's loss")
    label_smoothing: Probability = Field(default=0.0, description="label smoothing of the training loss")
    test_every: Count = Field(
        default=1, description="epochs between two measurements of the test error; the last epoch always has one"
    )
    amp: Amp = "off"
    gradient_accumulation_steps: AccumulationSteps = 1
    synchronize_batch_norm: SynchronizeBatchNorm = False
    on_bad_image: OnBadImage = "stop"
    max_skipped_batches: MaxSkippedBatches = 0
    checkpoint_minutes: CheckpointMinutes = 10.0
    track: Track = "none"
    seed: Seed = 0
    seeds: Count = Field(default=1, description="number of seeds trained in a row, for a mean ± std")
    device: Device = "auto"
    threads: Threads = None
    deterministic: Deterministic = False
    compile: Compile = False


class TestConfig(JobConfig):
    """Measure the test error of a trained run; data that is not named is the run's own."""

    __test__: ClassVar[bool] = False  # for pytest: not a test class

    job: Literal["test"] = "test"
    run: Path = Field(description="folder of a finished train run, an exported file, or weights.pt of other scripts")
    genotype: OfFileGenotype = None
    channels: OfFileChannels = None
    num_cells: OfFileCells = None
    kind: OfFileKind = None
    classes: OfFileClasses = None
    data: DataName | None = Field(default=None, description="data set (none: the one the run was trained on)")
    data_root: DataRoot = None
    hub_name: HubName = None
    test_set: str | None = Field(
        default=None,
        min_length=1,
        description="folder below data_root, or split of hub_name, to measure on (none: the test set, or of other "
        "data without one all images)",
    )
    image_size: Count | None = Field(default=None, description="side to which images are resized (none: as in the run)")
    test_images: Count | None = Field(
        default=None,
        description="keep so many test images at most, as many per class (none: as in the run; of other data all)",
    )
    pixel_range: tuple[float, float] | None = Field(
        default=None, description="values that are black and white in images of more than 8 bits (none: as in the run)"
    )
    on_bad_image: Literal["stop", "skip"] | None = Field(
        default=None, description="what to do about an image file that cannot be read (none: as in the run)"
    )
    batch_size: BatchSize = 256
    workers: Workers = None
    device: Device = "auto"
    threads: Threads = None


class StatusConfig(JobConfig):
    """Say how runs stand: running, interrupted, failed or done, how far they are and how long they will take."""

    job: Literal["status"] = "status"
    runs: tuple[Path, ...] = Field(default=(), description="run folders (none: all below runs/)")
    as_json: bool = Field(default=False, alias="json", description="print a list of JSON objects and nothing else")


class DataSplitConfig(JobConfig):
    """Draw the weight and the arch split of an image folder once, and keep them as a manifest for any later search."""

    job: Literal["data split"] = "data split"
    data_root: Path = Field(
        default=Path("data/imagenet"), description="image folder, of which the training set is split"
    )
    train_set: TrainSet = None
    out: Path = Field(default=Path("split.json"), description="file to write")
    weight_fraction: Fraction = Field(default=0.1, description="part of each class that trains the weights (Sec. 4.3)")
    arch_fraction: Fraction = Field(default=0.025, description="part of each class that trains alpha and beta")
    seed: Seed = 0


class ShowConfig(JobConfig):
    """Print and draw a genotype, and count what the paper's evaluation networks made of it need."""

    job: Literal["show"] = "show"
    genotype: str = Field(
        min_length=1,
        description="published name, JSON or text file, log (LOG:EPOCH), genotypes.py (FILE:NAME), run folder "
        "(RUN:EPOCH), or random:SEED[:NODES]",
    )
    svg: Path | None = Field(default=None, description="folder to write the drawings of both cells to")
    as_json: bool = Field(default=False, alias="json", description="print the genotype as JSON and nothing else")
    budget: bool = Field(
        default=False, description="list the best cells of a finished search within a budget (none given: the run's)"
    )
    max_mult_adds: MaxMultAdds = None
    max_params: MaxParams = None
    max_skips: MaxSkips = None
    best: Count = Field(default=5, description="how many cells to list")
    rank: Count = Field(default=1, description="which of them to save")
    save: Path | None = Field(default=None, description="file to save one of them to, for `pcdarts train --genotype`")
    kind: NetworkKind | None = Field(
        default=None,
        description="the network that the budget is for (none: the run's own): cifar and imagenet, that of the paper; "
        "stride2 and stride4, the run's own with this stem",
    )
    channels: Channels | None = Field(default=None, description="its channels (none: the run's or the paper's)")
    num_cells: NumCells | None = Field(default=None, description="its cells (none: the run's or the paper's)")
    image_size: Count | None = Field(default=None, description="side of its images (none: the run's or the paper's)")
    num_classes: Count | None = Field(default=None, description="its classes (none: the run's or the paper's)")

    @model_validator(mode="after")
    def _a_budget_is_wanted(self) -> Self:
        others = self.model_fields_set - {"job", "genotype", "svg", "as_json", "budget"}
        if others and not self.budget:
            raise ValueError(
                f"{listed(sorted(others), 'and')}: only with --budget, which lists the best cells of a search"
            )
        if self.budget and self.svg:
            raise ValueError("svg draws one cell, but budget lists several: save one of them, then show that file")
        return self


class ExportConfig(JobConfig):
    """Export the network of a trained run with a model card, once the exported file is found to give its logits."""

    job: Literal["export"] = "export"
    run: Path = Field(
        description="folder of a finished train run (of several seeds the first, or name RUN/seed-N), or "
        "weights.pt of other scripts"
    )
    genotype: OfFileGenotype = None
    channels: OfFileChannels = None
    num_cells: OfFileCells = None
    kind: OfFileKind = None
    classes: OfFileClasses = None
    image_size: OfFileImageSize = None
    format: Literal["safetensors", "onnx", "torch-export"] = Field(
        default="safetensors", description="weights for pcdarts, an ONNX model, or an exported program of PyTorch"
    )
    out: Path | None = Field(
        default=None, description="folder to export to (none: RUN/export; beside a file of weights, its name-export)"
    )
    data_root: DataRoot = None
    push: str | None = Field(
        default=None, description="also upload the folder to this repository of the Hugging Face Hub"
    )
    private: bool = Field(default=False, description="make that repository a private one if it is new")
    threads: Threads = None


class PredictConfig(JobConfig):
    """Print the most probable classes of images, by a trained run or what was exported from one."""

    job: Literal["predict"] = "predict"
    run: Path = Field(
        description="folder of a finished train run, an exported safetensors file or its folder, or weights.pt of "
        "other scripts"
    )
    images: tuple[Path, ...] = Field(min_length=1, description="image files, and folders of image files")
    pixel_range: tuple[float, float] | None = Field(
        default=None,
        description="values that are black and white in images of more than 8 bits (none: as in the training)",
    )
    genotype: OfFileGenotype = None
    channels: OfFileChannels = None
    num_cells: OfFileCells = None
    kind: OfFileKind = None
    classes: OfFileClasses = None
    image_size: OfFileImageSize = None
    top: Count = Field(default=5, description="how many classes to print for each image")
    as_json: bool = Field(default=False, alias="json", description="print a list of JSON objects and nothing else")
    device: Device = "auto"
    threads: Threads = None
