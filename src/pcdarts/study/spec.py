"""The description of a study: methods, settings and seeds, from a YAML file of the user or of the package."""

import os
import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import Field, ValidationInfo, field_validator, model_validator

from pcdarts.config.groups.group import ConfigError, setting
from pcdarts.config.job_config import JobConfig
from pcdarts.config.methods.recipes import SMALL, SMALL_VARIANTS
from pcdarts.config.study_config import Scale, Table
from pcdarts.config.yaml_files import load_mapping
from pcdarts.errors import InputError, did_you_mean, in_one_line, listed, shown

BUILTIN = ("table3", "table3-imagenet", "figure3", "table4-runs", "table4-epochs", "table4-nodes", "methods", "truth")
"""The studies of Sec. 4.4 and one of every method, each a file in `builtin/`."""
PLACEHOLDER = "METHOD"
"""A row that stands for many: one for each search method, and variant of DARTS, that has a small recipe."""

Settings = dict[str, Any]
"""Settings of a job by name, as in a recipe's YAML file; checked when the grid is made."""

Seeds = tuple[int, ...]
SOURCES = ("searched", "random search", "random")
"""Where the cells of a method come from, unless they are given."""
SEEDS_BELOW = 10**6
"""So that random cells of a study, whose numbers come from seed and setting, differ."""
PartType = TypeVar("PartType", bound="Part")


class Part(JobConfig):
    """What is common to some cells of the grid: settings of their searches and of their trainings."""

    job: Literal["part"] = "part"
    search: Settings = setting({}, "settings of `pcdarts search`")
    random_search: Settings = setting({}, "settings of `pcdarts random search`")
    train: Settings = setting({}, "settings of `pcdarts train`")

    @field_validator("search", "random_search", "train", mode="before")
    @classmethod
    def _seeds_are_the_grids(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and (own := {"seed", "seeds", "genotype"} & settings.keys()):
            raise ValueError(f"{listed(sorted(own), 'and')} of a run: the study gives them, by seeds and methods")
        if not isinstance(settings, dict):
            return settings
        places = {name for name in ("data_root", "split_file", "init", "table") if isinstance(settings.get(name), str)}
        return {**settings, **{name: os.path.abspath(os.path.expanduser(settings[name])) for name in places}}


class Method(Part):
    """A row of the study: where its cells come from, and what the paper says of it."""

    cells: str = setting(
        "searched",
        "where its genotypes come from: searched, random search, random (a new one for every seed), or one "
        "that `pcdarts train --genotype` takes",
        min_length=1,
    )
    paper: tuple[str, ...] = setting((), "the paper's test errors as printed, one for each setting")
    paper_cost: str | None = setting(None, "the paper's search cost as printed")

    @field_validator("paper", mode="before")
    @classmethod
    def _one_is_enough(cls, paper: Any) -> Any:
        return (paper,) if isinstance(paper, str) else paper


class StudySpec(Part, Table):
    """A study as its file describes it, for one scale.

    Raises:
        ConfigError: lists everything that is wrong, one line each.
    """

    title: str = setting("", "what the study is about, in one line", after="train")
    note: str = setting("", "what a reader of its results has to know, such as how small they are")
    scale: Scale | Literal["own"] = setting("own", "how large its runs are, beside the paper's")
    seeds: Seeds = setting((0, 1, 2), "seeds of the searches: how many, from 0 on, or a list")
    train_seeds: int = setting(1, "trainings of every genotype", ge=1, le=1000)
    table: Path | None = setting(None, "cells with known accuracy, as in `pcdarts score --table`")
    no_train: bool = setting(False, "train nothing: what is found is only scored by the table", after="column")
    methods: dict[str, Method] = Field(description="the rows, by name")
    settings: dict[str, Part] = setting({}, "the columns, by name; none: a single one")

    @field_validator("title", "note")
    @classmethod
    def _in_one_line(cls, text: str) -> str:
        return in_one_line(" ".join(text.split()))

    @field_validator("table")
    @classmethod
    def _the_same_file_from_everywhere(cls, table: Path | None) -> Path | None:
        return None if table is None else Path(os.path.abspath(table.expanduser()))

    @field_validator("seeds", mode="before")
    @classmethod
    def _a_number_of_seeds(cls, seeds: Any) -> Any:
        if type(seeds) is int and 0 < seeds <= 1000:
            return tuple(range(seeds))
        if not isinstance(seeds, list | tuple):
            raise ValueError(f"seeds is {shown(seeds)}, but it must be a number from 1 to 1000 or a list")
        return seeds

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: Seeds) -> Seeds:
        if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < SEEDS_BELOW for seed in seeds):
            raise ValueError(
                f"seeds is {shown(seeds)}, but it must be a number from 1 on or a list of different ones, under 10**6"
            )
        return seeds

    @field_validator("methods", "settings", mode="before")
    @classmethod
    def _parts_by_name(cls, parts: Any, info: ValidationInfo) -> Any:
        """A part without a word is one without settings of its own; problems say whose they are."""
        if not isinstance(parts, dict):
            raise ValueError(f"{info.field_name} is {shown(parts)}, but it must be a mapping of names to settings")
        made: dict[str, Part] = {}
        for name, part in parts.items():
            if not isinstance(part, dict | Part | None):
                raise ValueError(f"{info.field_name}: {shown(name)} is {shown(part)}, but it must be a mapping")
            try:
                made[str(name)] = part if isinstance(part, Part) else _part(info.field_name == "methods", part or {})
            except ConfigError as error:
                raise ValueError(f"{info.field_name}: {shown(name)}: {'; '.join(error.problems)}") from None
        return made

    @model_validator(mode="after")
    def _folders_differ(self) -> Self:
        for axis, names in (("methods", self.methods), ("settings", self.settings)):
            if axis == "methods" and not names:
                raise ValueError("methods is empty: name at least one, such as `PC-DARTS: {}`")
            folders: dict[str, str] = {}
            for name in names:
                other = folders.setdefault(folder_name(name), name)
                if not folder_name(name) or other != name or len(name) > 100 or not name.isprintable():
                    raise ValueError(
                        f"{axis}: {shown(name)} needs a name of letters or digits that no other one has, of 100 at most"
                    )
        return self

    @model_validator(mode="after")
    def _one_figure_for_each_setting(self) -> Self:
        wanted = len(self.settings) or 1
        for name, method in self.methods.items():
            if method.paper and len(method.paper) != wanted:
                raise ValueError(f"methods: {shown(name)} has {len(method.paper)} figures of the paper, not {wanted}")
        return self

    @property
    def has_train_section(self) -> bool:
        """Whether the file says something of trainings, if only that they have the usual settings (`train: {}`)."""
        parts = (self, *self.methods.values(), *self.settings.values())
        return any("train" in part.model_fields_set for part in parts)

    def given(self, settings: Settings, known: Mapping[str, Collection[str]]) -> "StudySpec":
        """The study with these settings in all its runs, whatever methods say; `known` are the settings of each job."""

        def without(part: PartType) -> PartType:
            own = {job: getattr(part, job).items() for job in known}
            left = {job: {key: value for key, value in items if key not in settings} for job, items in own.items()}
            return part.model_copy(update=left)

        study = without(self)
        mine = {job: {key: value for key, value in settings.items() if key in names} for job, names in known.items()}
        return study.model_copy(
            update={
                **{job: merged(getattr(study, job), mine[job]) for job in known},
                "methods": {name: without(method) for name, method in self.methods.items()},
                "settings": {name: without(part) for name, part in self.settings.items()},
            }
        )

    def to_yaml(self) -> str:
        """A file that `StudySpec.from_file` reads back to an equal study."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        if not self.no_train:
            fields.setdefault("train", {})  # a file without this section describes a study that trains nothing
        return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def from_file(cls, path: Path, scale: Scale | None = None) -> "StudySpec":
        """The study that a YAML file describes, at one of its scales if it has several.

        Raises:
            InputError: it cannot be read, or has no such scale.
            ConfigError: lists everything that is wrong with it.
        """
        return _at_scale(load_mapping(path, "study"), str(path), scale)


def _part(of_a_method: bool, fields: dict[Any, Any]) -> Part:
    named = {str(name): value for name, value in fields.items()}
    return Method(**named) if of_a_method else Part(**named)


def find_spec(name: str, scale: Scale | None) -> tuple[str, StudySpec]:
    """The study meant by `name`, a file or one of those in the package, and the first part of its folder's name.

    Raises:
        InputError: there is no such study or scale, or the file cannot be read.
        ConfigError: lists everything that is wrong with the file.
    """
    path = Path(name).expanduser()
    if name in BUILTIN:
        builtin = files("pcdarts.study") / "builtin" / f"{name}.yaml"
        return name, _at_scale(yaml.safe_load(builtin.read_text("utf-8")), name, scale or "paper")
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return folder_name(path.stem) or "study", StudySpec.from_file(path, scale)
    raise InputError(f"there is no study {shown(name)}: {did_you_mean(name, BUILTIN)}, or give a YAML file")


def folder_name(name: str) -> str:
    """`name` in small letters, digits and dashes, as folders are called."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def merged(*parts: Settings) -> Settings:
    """Settings of several parts, the last one strongest; where both have mappings, these are merged too."""
    result: Settings = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
    return result


def _with_every_method(rows: Settings) -> Settings:
    """The rows with those that the placeholder stands for in its place, each under what is said of it alone."""
    found: Settings = {}
    for name, row in rows.items():
        if name != PLACEHOLDER:
            found.setdefault(name, row)
            continue
        for method in (*SMALL, *SMALL_VARIANTS):
            own = rows.get(method) or {}
            whole = _named(row or {}, method)
            found[method] = merged(whole, own) if isinstance(whole, dict) and isinstance(own, dict) else own
    return found


def _named(value: Any, method: str) -> Any:
    """A value with the method's name wherever the placeholder stands in a text."""
    if isinstance(value, dict):
        return {name: _named(each, method) for name, each in value.items()}
    return value.replace(PLACEHOLDER, method) if isinstance(value, str) else value


def _at_scale(fields: Settings, source: str, scale: Scale | None) -> StudySpec:
    """The description with what one of its `scales` says instead."""
    scales = fields.pop("scales", {})
    if not isinstance(scales, dict) or not all(isinstance(one, dict) for one in scales.values()):
        raise InputError(f"{source}: scales is not a mapping of names to settings")
    if unknown := scales.keys() - get_args(Scale):
        raise InputError(f"{source}: scale {shown(min(map(str, unknown)))} is unknown: use {listed(get_args(Scale))}")
    if scale is not None and scale not in scales:
        known = f"it has {listed(map(str, scales), 'and')}" if scales else "it has no scales: drop --scale"
        raise InputError(f"study {source} has no scale {scale}: {known}")
    if scale is None and scales:
        raise InputError(f"study {source} has scales: choose one with --scale {listed(map(str, scales))}")
    chosen = {**scales[scale], "scale": scale} if scale is not None else {}
    settings = chosen.get("settings") or fields.get("settings")  # those of a scale replace the others as a whole
    both = merged(fields, chosen) | ({"settings": settings} if settings else {})
    if isinstance(rows := both.get("methods"), dict):
        both["methods"] = _with_every_method(rows)
    try:
        return StudySpec(**{str(name): value for name, value in both.items()})
    except ConfigError as error:
        raise ConfigError([f"study {source}: {problem}" for problem in error.problems]) from None
