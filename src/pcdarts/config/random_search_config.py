"""What `pcdarts random search` can be told."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pcdarts.config.configs import TrainConfig
from pcdarts.config.fields import (
    AccumulationSteps,
    Amp,
    BatchSize,
    Channels,
    CheckpointMinutes,
    ColorJitter,
    Count,
    Crop,
    CropPadding,
    Cutout,
    Data,
    DataRoot,
    Deterministic,
    Device,
    Flip,
    Fraction,
    GradientClip,
    HubName,
    ImageSize,
    Kind,
    LearningRate,
    LearningRateMin,
    Loading,
    MaxSkippedBatches,
    Momentum,
    NetworkCells,
    NetworkChannels,
    NetworkImageSize,
    Nodes,
    NumCells,
    OnBadImage,
    PixelRange,
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


class RandomSearchConfig(JobConfig):
    """Search a cell by drawing some at random; the defaults are those of the recipe cifar10."""

    extendable: ClassVar[frozenset[str]] = frozenset()  # the epochs are those of a candidate, not of the run
    elsewhere: ClassVar[frozenset[str]] = JobConfig.elsewhere | WHERE_THE_SETS_ARE

    job: Literal["random search"] = "random search"
    recipe: Recipe = None
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
    candidates: Annotated[int, Field(ge=1, le=1000, description="random cells that are trained and compared")] = 24
    epochs: Annotated[Count, Field(description="passes over the weight split, for each of them")] = 100
    kind: Kind = "cifar"
    channels: Channels = 16
    num_cells: NumCells = 8
    num_nodes: Nodes = 6
    network_channels: NetworkChannels = None
    network_cells: NetworkCells = None
    network_image_size: NetworkImageSize = None
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 0.025
    learning_rate_min: LearningRateMin = 0.0
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 3e-4
    gradient_clip: GradientClip = 5.0
    weight_fraction: Fraction = Field(default=0.5, description="part of the training images that trains the weights")
    arch_fraction: Fraction | None = Field(
        default=None, description="part of them that compares the cells (none: all that the weights leave)"
    )
    split_each_class: bool = Field(default=False, description="take these parts of each class, not of all images")
    split_file: Path | None = Field(
        default=None,
        description="manifest of the two parts, of `pcdarts data split` or another run, whatever the fractions",
    )
    cutout: Cutout = 0
    crop: Crop = "padded"
    crop_padding: CropPadding = 4
    flip: Flip = True
    color_jitter: ColorJitter = 0.0
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

    def training(self) -> TrainConfig:
        """How each candidate is trained, in the words of `pcdarts train`; which genotype is left open."""
        shared = {
            name: value
            for name, value in self.model_dump().items()
            if name in TrainConfig.model_fields and name not in ("job", "recipe")
        }
        return TrainConfig(**shared, drop_path=0.0, auxiliary=False)
