"""How a job is told what to do: a flat, frozen, checked configuration, its YAML file, and the words of its problems."""

import math
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pcdarts.config.foreign_flags import meant_setting
from pcdarts.errors import InputError, closest, listed, shown


class ConfigError(InputError):
    """Everything that is wrong with a configuration: a single problem as it is, several under one heading."""

    def __init__(self, problems: list[str]) -> None:
        heading = [f"{len(problems)} problems with the configuration:"] if len(problems) > 1 else []
        super().__init__(*heading, *problems)
        self.problems = problems


WHERE_THE_SETS_ARE = frozenset({"test_set", "train_set"})
"""Fields that are among those `elsewhere` where they say which folders the images are in: these are compared."""


class JobConfig(BaseModel):
    """What the configurations of all jobs have in common: fields are checked together, once, and never change.

    Raises:
        ConfigError: lists everything that is wrong, one line each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)

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

    @field_validator("*")
    @classmethod
    def _a_number_can_be_counted_to(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int) and value >= 2**63:
            raise ValueError(f"{info.field_name} is {shown(value)}, but it must be less than 2**63")
        return value

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


_EXPECTATIONS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "dict_type": "a mapping",
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
    value, context = problem["input"], problem.get("ctx", {})
    name = str(problem["loc"][0]) if problem["loc"] else "the name of a setting"  # it may be no Unicode text
    if problem["type"] == "value_error":
        return str(context["error"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {name}{meant_setting(name, settings(config_class))}"
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        return f"{name} is missing: {settings(config_class)[name].description}"
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        if name == "data" and (os.sep in str(value) or os.path.isdir(str(value))):
            folder = f"--data folder --data-root {shown(value)}"
            return f"data is {shown(value)}, but it must be {listed(choices)}: for a folder of class folders {folder}"
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
    fields = load_mapping(path)
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
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="the name of a setting is one word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_mapping(path: Path, what: str = "configuration") -> dict[str, Any]:
    """What a YAML file holds, not yet checked; `what` it is meant to be.

    Raises:
        InputError: no such file, too large, not YAML, not a mapping, or a key twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror}") from None
    if len(content) > MAX_YAML_BYTES:
        raise InputError(f"{path} is too large for a {what} (over {MAX_YAML_BYTES // 1024} KiB)")
    try:
        fields = yaml.load(content.decode("utf-8"), _FlatLoader)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path} is not a {what}: {error.problem}{where}") from None
    except Exception:  # what PyYAML makes of odd values may fail in any way
        raise InputError(f"{path} is not a {what}: not readable as YAML") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise InputError(f"{path} is not a {what}: expected lines such as `epochs: 50`")
    return {str(key): value for key, value in fields.items()}
