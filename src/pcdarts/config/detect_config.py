"""What `pcdarts detect train` and `pcdarts detect test` can be told."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from pcdarts.config.fields import (
    Amp,
    BatchSize,
    Channels,
    CheckpointMinutes,
    Count,
    Deterministic,
    Device,
    Epochs,
    GradientClip,
    LearningRate,
    LearningRateSchedule,
    LrWarmupEpochs,
    MaxSkippedBatches,
    Momentum,
    NumCells,
    OnBadImage,
    Probability,
    Recipe,
    Seed,
    SynchronizeBatchNorm,
    Threads,
    Track,
    WeightDecay,
    Workers,
)
from pcdarts.config.job_config import JobConfig


class DetectTrainConfig(JobConfig):
    """Train a detector, SSD on the network of a genotype; the defaults are those of the recipe coco."""

    job: Literal["detect train"] = "detect train"
    recipe: Recipe = None
    classifier: Path | None = Field(
        default=None,
        description="finished train run (kind imagenet), exported file, or weights.pt of other scripts (with "
        "--genotype): with its weights, genotype, channels, cells and pixel statistics the detector begins (none: "
        "random weights)",
    )
    genotype: str = Field(
        default="pc_darts_imagenet",
        min_length=1,
        description="published name, JSON or text file, log (LOG:EPOCH), genotypes.py (FILE:NAME), run folder "
        "(RUN:EPOCH), or random:SEED[:NODES]; a run or exported file has its own",
    )
    channels: Channels = 48
    num_cells: NumCells = 14
    head_channels: Count = Field(
        default=24, description="channels of the map of stride 8 that the head sees; doubled at strides 16 and 32"
    )
    data_root: Path | None = Field(
        default=None,
        description="folder in COCO's layout (a folder of images per set, and annotations/) or in Roboflow's",
    )
    train_sets: tuple[str, ...] = Field(
        default=("train2017",), description="sets trained on together, such as train2017 (COCO) or train (Roboflow)"
    )
    test_set: str | None = Field(
        default="val2017", description="set on which average precision is measured (none: the images held out)"
    )
    held_out: int = Field(default=0, ge=0, description="images held out of the last training set to test on")
    train_images: Count | None = Field(default=None, description="keep so many training images at most (none: all)")
    test_images: Count | None = Field(default=None, description="keep so many test images at most (none: all)")
    image_size: int = Field(default=320, ge=64, description="height and width to which images are resized, in pixels")
    augment: bool = Field(
        default=True, description="train on random crops, zooms, mirror images and colours, boxes included"
    )
    epochs: Epochs = 660
    batch_size: BatchSize = 192
    learning_rate: LearningRate = 0.15
    learning_rate_schedule: LearningRateSchedule = "cosine"
    lr_warmup_epochs: LrWarmupEpochs = 0
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 4e-5
    gradient_clip: GradientClip = 10.0
    test_every: Count = Field(
        default=10,
        description="epochs between two measurements of the average precision; the last epoch always has one",
    )
    amp: Amp = "off"
    synchronize_batch_norm: SynchronizeBatchNorm = False
    on_bad_image: OnBadImage = "stop"
    max_skipped_batches: MaxSkippedBatches = 0
    checkpoint_minutes: CheckpointMinutes = 10.0
    track: Track = "none"
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = None
    workers: Workers = None
    deterministic: Deterministic = False

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


class DetectTestConfig(JobConfig):
    """Measure the average precision of a trained detector again, or write down or draw what it finds."""

    __test__: ClassVar[bool] = False  # for pytest: not a test class

    job: Literal["detect test"] = "detect test"
    run: Path = Field(description="folder of a finished detect train run")
    data_root: Path | None = Field(default=None, description="folder in COCO's layout (none: that of the run)")
    test_set: str | None = Field(
        default=None,
        description="set of images (none: that of the run); one without annotations, such as test-dev2015, needs "
        "--submission or --draw",
    )
    test_images: Count | None = Field(default=None, description="keep so many test images at most (none: all)")
    submission: Path | None = Field(
        default=None, description="file for all detections as COCO's evaluation server wants them"
    )
    draw: Path | None = Field(default=None, description="PNG file for a sheet of test images with what was found")
    threshold: Probability = Field(default=0.3, description="smallest score of what is drawn")

    on_bad_image: Literal["stop", "skip"] | None = Field(
        default=None, description="what to do about an image file that cannot be read (none: as in the run)"
    )
    batch_size: BatchSize = 32
    device: Device = "auto"
    threads: Threads = None
    workers: Workers = None

    @field_validator("draw")
    @classmethod
    def _a_sheet_is_a_png(cls, draw: Path | None) -> Path | None:
        if draw is not None and draw.suffix.lower() != ".png":
            raise ValueError(f"draw is {draw}, but it must be a file called .png")
        return draw
