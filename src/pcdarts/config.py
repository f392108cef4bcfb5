"""What each job can be told: the fields of its configuration, which are also its flags."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from pcdarts.config_fields import (
    AccumulationSteps,
    Amp,
    BatchSize,
    Channels,
    CheckpointMinutes,
    Compile,
    Count,
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
    ImageSize,
    K,
    Kind,
    LearningRate,
    LearningRateMin,
    MaxSkippedBatches,
    Momentum,
    Nodes,
    NotNegative,
    NumCells,
    OnBadImage,
    Positive,
    Probability,
    Recipe,
    Seed,
    SynchronizeBatchNorm,
    Threads,
    Track,
    TrainImages,
    WeightDecay,
)
from pcdarts.job_config import JobConfig


class SearchConfig(JobConfig):
    """Search a cell; the defaults are those of the paper's search on CIFAR-10 (Sec. 4.2)."""

    job: Literal["search"] = "search"
    recipe: Recipe = None
    data: Data = "fashion-mini"
    data_root: DataRoot = None
    image_size: ImageSize = None
    train_images: TrainImages = None
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
    second_order: bool = Field(default=False, description="second-order architecture gradient, as in DARTS v2")
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
    arch_learning_rate: Positive = Field(default=6e-4, description="fixed learning rate of Adam on alpha and beta")
    arch_adam_betas: tuple[Probability, Probability] = Field(default=(0.5, 0.999), description="momenta of Adam")
    arch_weight_decay: NotNegative = Field(default=1e-3, description="weight decay of alpha and beta")
    weight_fraction: Fraction = Field(default=0.5, description="part of the training images that trains the weights")
    crop_padding: CropPadding = 4
    flip: Flip = True
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
        default="auto", description="native (compiled on first use), plain (PyTorch alone), or auto: native if possible"
    )

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


class TrainConfig(JobConfig):
    """Train the network of a genotype from scratch; the defaults are those of the paper on CIFAR-10 (Sec. 4.2)."""

    job: Literal["train"] = "train"
    recipe: Recipe = None
    genotype: str = Field(
        default="latest",
        min_length=1,
        description="'latest' (the last search under runs/), a run folder, a JSON or text file, a published name, "
        "or random:SEED",
    )
    data: Data = "fashion-mini"
    data_root: DataRoot = None
    image_size: ImageSize = None
    train_images: TrainImages = None
    kind: Kind = "cifar"
    channels: Channels = 36
    num_cells: NumCells = 20
    epochs: Epochs = 600
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 0.025
    learning_rate_min: LearningRateMin = 0.0
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 3e-4
    gradient_clip: GradientClip = 5.0
    drop_path: Probability = Field(
        default=0.3, description="probability of dropping a path, reached linearly at the end"
    )
    cutout: Cutout = 16
    crop_padding: CropPadding = 4
    flip: Flip = True
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
    run: Path = Field(description="folder of a finished train run")
    data: DataName | None = Field(default=None, description="data set (none: the one the run was trained on)")
    data_root: DataRoot = None
    image_size: Count | None = Field(default=None, description="side to which images are resized (none: as in the run)")
    test_images: Count | None = Field(
        default=None, description="keep so many test images at most, as many per class (none: all)"
    )
    on_bad_image: Literal["stop", "skip"] | None = Field(
        default=None, description="what to do about an image file that cannot be read (none: as in the run)"
    )
    batch_size: BatchSize = 256
    device: Device = "auto"
    threads: Threads = None


class StatusConfig(JobConfig):
    """Say how runs stand: running, interrupted, failed or done, how far they are and how long they will take."""

    job: Literal["status"] = "status"
    runs: tuple[Path, ...] = Field(default=(), description="run folders (none: all below runs/)")
    as_json: bool = Field(default=False, alias="json", description="print a list of JSON objects and nothing else")


class ShowConfig(JobConfig):
    """Print and draw a genotype, and count what the paper's evaluation networks made of it need."""

    job: Literal["show"] = "show"
    genotype: str = Field(min_length=1, description="published name, JSON or text file, run folder, or random:SEED")
    svg: Path | None = Field(default=None, description="folder to write the drawings of both cells to")
    as_json: bool = Field(default=False, alias="json", description="print the genotype as JSON and nothing else")


class BenchConfig(JobConfig):
    """Time the supernet side by side with a plain one that computes edge by edge, once both are found to be equal."""

    job: Literal["bench"] = "bench"
    kind: Kind = "cifar"
    image_size: int = Field(default=32, ge=8, description="side of the random images in pixels")
    channels: Channels = 16
    num_cells: NumCells = 8
    num_nodes: Nodes = 6
    k: K = 4
    batch_size: int = Field(default=64, ge=2, description="images per step")
    repeats: Count = Field(default=5, description="times that each step is measured, by turns and after a warm-up")
    shapes: bool = Field(default=False, description="time other shapes too: a table of minutes")
    compare_with: Path | None = Field(
        default=None,
        description="folder with a model_search.py of the DARTS interface, whose Network is timed too: RUNS ITS CODE",
    )
    json_file: Path | None = Field(default=None, alias="json", description="file to write all figures to")
    device: Device = "auto"
    threads: Threads = None
    kernels: Literal["auto", "native", "plain", "both"] = Field(
        default="auto", description="the supernet's kernels: native (compiled), plain (PyTorch alone), both, or auto"
    )
