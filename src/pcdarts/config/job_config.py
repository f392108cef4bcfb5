"""The configuration of a job: flat, frozen and checked, with what identifies it and its YAML file."""

import math
import os
from typing import Any, ClassVar, Self

import yaml
from pydantic.fields import FieldInfo

from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.learning_settings import Epochs, Precision, Sgd
from pcdarts.config.groups.machine_settings import Determinism, Machine, Safety, Seed


class JobConfig(Group):
    """What the configurations of all jobs have in common."""

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

    def fingerprint(self) -> dict[str, Any]:
        """The fields that decide what is computed, as plain values: a checkpoint fits a run with the same ones."""
        changeable = {name for group in type(self).__mro__ for name in group.__dict__.get("changeable", ())}
        return self.model_dump(mode="json", exclude=changeable)

    def identity(self) -> dict[str, Any]:
        """The same but for what a run may be given more of: what stays, however long a run is trained on."""
        return {name: value for name, value in self.fingerprint().items() if name not in self.extendable}

    def to_yaml(self) -> str:
        """Every field on a line of its own, as a file that `--config` reads back to an equal configuration.

        Where data, split and first weights are, is written in full, so that they are found from any folder.
        """
        fields = self.model_dump(mode="json")
        for name in (
            "data_root",
            "split_file",
            "init",
            "pretrained_file",
            "folder",
            "latency_table",
            "table",
            "trained",
            "searched",
        ):
            if fields.get(name) is not None:
                fields[name] = os.path.abspath(os.path.expanduser(fields[name]))
        if os.path.isdir(fields.get("hub_name") or ""):
            fields["hub_name"] = os.path.abspath(fields["hub_name"])
        return yaml.safe_dump(fields, sort_keys=False, default_flow_style=False, width=math.inf)


class FolderConfig(JobConfig, Machine):
    """What the configurations of all jobs with a run folder have in common."""


class RunConfig(FolderConfig, Epochs, Sgd, Precision, Safety, Seed, Machine, Determinism):
    """What the configurations of all jobs that learn have in common."""

    recipe: str | None = setting(None, "published settings, which are the defaults of all others", after="job")


def settings(config_class: type[JobConfig]) -> dict[str, FieldInfo]:
    """What a user may set where nothing chooses other settings, by name: every field but the job's name."""
    fields = config_class.variants()[0].model_fields
    return {field.alias or name: field for name, field in fields.items() if name != "job"}


def every_setting(config_class: type[JobConfig]) -> dict[str, FieldInfo]:
    """What a user may set with one variant of the job or another, by name."""
    every: dict[str, FieldInfo] = {}
    for variant in config_class.variants():
        every = {**every, **settings(variant), **every}
    return every
