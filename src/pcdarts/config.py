"""What a job can be told: one flat, frozen, checked configuration per job, whose fields are also the flags."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pcdarts.cell.space import NetworkKind
from pcdarts.errors import InputError, closest, listed, shown

DataName = Literal["fashion-mini", "fashion-mnist", "cifar10", "cifar100", "folder"]

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

# The fields that more than one job has.
Recipe = Annotated[str | None, Field(description="published setting that every other field starts from")]
Data = Annotated[DataName, Field(description="data set; 'folder' is any folder of class folders, given by data_root")]
DataRoot = Annotated[Path | None, Field(description="folder of the data set (none: the data set's own default)")]
ImageSize = Annotated[
    Count | None, Field(description="side of the images in pixels, resized to it (none: as they are)")
]
TrainImages = Annotated[
    Count | None, Field(description="keep so many training images at most, as many per class (none: all)")
]
Kind = Annotated[NetworkKind, Field(description="stem: 'cifar' keeps the resolution, 'imagenet' reduces it eightfold")]
Nodes = Annotated[int, Field(ge=3, description="nodes N of a cell, its two inputs included")]
K = Annotated[Count, Field(description="1/K of the channels go through the operations, the others bypass them (Eq. 1)")]
Channels = Annotated[int, Field(ge=1, le=4096, description="initial number of channels")]
NumCells = Annotated[int, Field(ge=3, description="number of cells L; those at 1/3 and 2/3 of the depth reduce")]
Epochs = Annotated[Count, Field(description="passes over the training images")]
BatchSize = Annotated[Count, Field(description="images per step")]
LearningRate = Annotated[Positive, Field(description="initial learning rate of momentum SGD, annealed by a cosine")]
LearningRateMin = Annotated[NotNegative, Field(description="learning rate that the cosine schedule ends with")]
Momentum = Annotated[Probability, Field(description="momentum of SGD")]
WeightDecay = Annotated[NotNegative, Field(description="weight decay of the network weights")]
GradientClip = Annotated[Positive, Field(description="largest norm of the gradient of the network weights")]
CropPadding = Annotated[int, Field(ge=0, description="pixels of padding before a random crop (0: no crop)")]
Flip = Annotated[bool, Field(description="mirror training images at random")]
Cutout = Annotated[int, Field(ge=0, description="side of the square cut out of training images, in pixels (0: off)")]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="seed of every random stream")]
Device = Annotated[str, Field(description="auto, cpu, cuda or cuda:N; auto takes the GPU if there is one")]
Threads = Annotated[Count | None, Field(description="CPU threads (none: as many as PyTorch likes)")]
Amp = Annotated[
    Literal["off", "bf16"],
    Field(description="bf16 learns in mixed precision: convolutions in bfloat16, weights and losses in float32"),
]


class ConfigError(InputError):
    """Everything that is wrong with a configuration: a single problem as it is, several under one heading."""

    def __init__(self, problems: list[str]) -> None:
        heading = [f"{len(problems)} problems with the configuration:"] if len(problems) > 1 else []
        super().__init__("\n  ".join([*heading, *problems]))
        self.problems = problems


class JobConfig(BaseModel):
    """What the configurations of all jobs have in common: fields are checked together, once, and never change.

    Raises:
        ConfigError: lists everything that is wrong, one line each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    elsewhere: ClassVar[frozenset[str]] = frozenset({"data_root", "device", "threads", "kernels"})
    """Fields that say where and how fast, not what: a run may be resumed with other values of these."""

    job: str

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigError([_in_words(e, type(self)) for e in error.errors(include_url=False)]) from None

    @field_validator("*", mode="before")
    @classmethod
    def _a_truth_value_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"{info.field_name} is {str(value).lower()}, but it is not a switch")
        return value

    @field_validator("device", check_fields=False)
    @classmethod
    def _device_is_known(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"device is {shown(device)}, but it must be auto, cpu, cuda or cuda:N")
        return device

    @field_validator("data_root", check_fields=False)
    @classmethod
    def _a_folder_needs_a_root(cls, root: Path | None, info: ValidationInfo) -> Path | None:
        if root is None and info.data.get("data") == "folder":
            raise ValueError("data is folder, but data_root is not given: name the folder of class folders")
        return root

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

    def to_yaml(self) -> str:
        """Every field on a line of its own, as a file that `--config` reads back to an equal configuration."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, default_flow_style=False, width=math.inf)


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
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = None
    kernels: Literal["auto", "native", "plain"] = Field(
        default="auto", description="native (compiled on first use), plain (PyTorch alone), or auto: native if possible"
    )

    @field_validator("kernels")
    @classmethod
    def _native_kernels_know_float32_alone(cls, kernels: str, info: ValidationInfo) -> str:
        if kernels == "native" and info.data.get("amp") == "bf16":
            raise ValueError("kernels is native, but these compute in float32: drop amp, or use plain")
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
    seed: Seed = 0
    seeds: Count = Field(default=1, description="number of seeds trained in a row, for a mean ± std")
    device: Device = "auto"
    threads: Threads = None


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
    batch_size: BatchSize = 256
    device: Device = "auto"
    threads: Threads = None


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


_EXPECTATIONS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "missing": "two numbers",
    "path_type": "a path",
    "string_too_short": "a name",
    "string_type": "a text",
    "too_long": "two numbers",
    "tuple_type": "two numbers",
}


def _in_words(problem: ErrorDetails, config_class: type[JobConfig]) -> str:
    name, value, context = str(problem["loc"][0]), problem["input"], problem.get("ctx", {})
    if problem["type"] == "value_error":
        return str(context["error"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {name}{closest(name, settings(config_class))}"
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        return f"{name} is missing: {settings(config_class)[name].description}"
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{name} is {shown(value)}, but it must be {listed(choices)}{closest(str(value), choices)}"
    if problem["type"] in _EXPECTATIONS:
        return f"{name} is {shown(value)}, but it must be {_EXPECTATIONS[problem['type']].format(**context)}"
    return f"{name} is {shown(value)}: {problem['msg']}"


def settings(config_class: type[JobConfig]) -> dict[str, FieldInfo]:
    """What a user may set, by name: every field but the job's name."""
    return {field.alias or name: field for name, field in config_class.model_fields.items() if name != "job"}


def read_yaml(path: Path, config_class: type[JobConfig]) -> dict[str, Any]:
    """Read a configuration file of the job of `config_class`: some or all of its fields, not yet checked.

    Raises:
        InputError: no such file, too large, not YAML, not a mapping, a key twice, or written for another job.
    """
    fields = _load_mapping(path)
    job = config_class.model_fields["job"].default
    if fields.get("job", job) != job:
        raise InputError(
            f"{path} configures the job {shown(fields['job'])}, not {job}: "
            f"use it with `pcdarts {shown(fields['job'])}`, or give that of a {job} run"
        )
    return fields


MAX_YAML_BYTES = 64 * 1024


class _FlatLoader(yaml.SafeLoader):
    """Safe YAML in which a key stands once and nothing refers to something else (so nothing can blow up)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias (*) is not accepted")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _load_mapping(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the configuration {path}: {error.strerror}") from None
    if len(content) > MAX_YAML_BYTES:
        raise InputError(f"{path} is too large for a configuration (over {MAX_YAML_BYTES // 1024} KiB)")
    try:
        fields = yaml.load(content.decode("utf-8"), _FlatLoader)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path} is not a configuration: {error.problem}{where}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise InputError(f"{path} is not a configuration: not readable as YAML") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise InputError(f"{path} is not a configuration: expected lines such as `epochs: 50`")
    return {str(key): value for key, value in fields.items()}
