"""What `pcdarts study run`, `study status`, `report`, `score` and `rank` can be told."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import Group, argument, setting
from pcdarts.config.groups.image_settings import DataPlace
from pcdarts.config.groups.machine_settings import Device, Seed
from pcdarts.config.groups.values import Count, DataName
from pcdarts.config.job_config import FolderConfig, JobConfig

Scale = Literal["paper", "small", "smoke"]


class Table(Group):
    """Which cells of a table, whose accuracy it knows, are used."""

    kind: str | None = setting(
        None, "which rows of the table are used, by its column `kind` (none: the largest kind)", min_length=1
    )
    column: str | None = setting(
        None, "column of the table's accuracies (none: the one with `acc` in its name)", min_length=1
    )


class StudyRunConfig(JobConfig, DataPlace, Table, Device):
    """Run a study: a grid of methods, settings and seeds, each a search, trained or scored; or continue one."""

    job: Literal["study run"] = "study run"
    study: str = argument(
        "table3, table3-imagenet, figure3, table4-runs, table4-epochs, table4-nodes, methods, truth, or a YAML file",
        min_length=1,
    )
    scale: Scale | None = setting(
        None, "the paper's own (the default), small (hours on two cores) or smoke (minutes, embedded data)"
    )
    folder: Path | None = setting(None, "folder of the study (none: studies/NAME-SCALE)")
    seeds: Count | None = setting(None, "number of seeds, from 0 on (none: as the study says)")
    data: DataName | None = setting(None, "data set of all its runs (none: as the study says)")
    table: Path | None = setting(
        None,
        "CSV file of cells with known accuracy, which scores what is found, as in `pcdarts score`; without "
        "a `train:` section in the study nothing is trained then (none: as the study says)",
        after="hub_name",
    )
    train: bool = setting(True, "train what is found, or only score it (unset: as the study says)", after="column")
    reuse: tuple[str, ...] = setting(
        (), "folders of other studies, from which finished runs of the same settings are copied"
    )
    retries: int = setting(2, "how often a failed run is tried again before it is listed", ge=0)
    parallel: Count | None = setting(
        None, "runs at once on this machine, or SLURM jobs (none: one per GPU, else per core)"
    )
    scheduler: str | None = setting(
        None, "address of a running Dask scheduler (tcp://HOST:PORT), whose workers do the runs"
    )
    slurm: bool = setting(False, "start the workers as SLURM jobs, as Dask's configuration (jobqueue.slurm) says")
    threads: Count | None = setting(
        None, "CPU threads of every run (none: its share of this machine or of a SLURM job)", after="device"
    )

    @field_validator("slurm")
    @classmethod
    def _one_cluster(cls, slurm: bool, info: ValidationInfo) -> bool:
        if slurm and info.data.get("scheduler") is not None:
            raise ValueError("slurm starts workers, but scheduler names a cluster that has its own: drop one of them")
        return slurm

    @field_validator("scheduler")
    @classmethod
    def _workers_are_there_or_made(cls, scheduler: str | None, info: ValidationInfo) -> str | None:
        if scheduler is not None and info.data.get("parallel") is not None:
            raise ValueError("parallel makes workers, but scheduler names a cluster that has its own: drop one of them")
        return scheduler


class StudyStatusConfig(JobConfig):
    """Say how studies stand: what every run of the grid is doing, what failed and why, and the time left."""

    job: Literal["study status"] = "study status"
    studies: tuple[Path, ...] = setting((), "study folders (none: all below studies/)")
    as_json: bool = setting(False, "print a list of JSON objects and nothing else", alias="json")


class ReportConfig(JobConfig, Table):
    """Write a page about runs and studies, finished or not: tables, learning curves, cells and how they came about."""

    job: Literal["report"] = "report"
    runs: tuple[Path, ...] = argument("run folders and study folders, finished or not", min_length=1)
    out: Path | None = setting(
        None, "folder for report.html and report.md (none: that of the run or the study; of several, report/)"
    )
    table: Path | None = setting(
        None, "CSV file of cells with known accuracy, by which cells are scored, epoch by epoch"
    )

    @field_validator("kind", "column")
    @classmethod
    def _of_a_table(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("table") is None:
            raise ValueError(f"{info.field_name} is about a table, and none is given: name it with --table")
        return value


class ScoreConfig(JobConfig, Table):
    """Say how good cells are: their accuracy by a table of known cells, or as predicted by a regressor fitted on it."""

    job: Literal["score"] = "score"
    genotypes: tuple[str, ...] = argument(
        "runs (RUN, RUN:EPOCH, latest), files, published names, random:SEED: as `pcdarts show` takes them", min_length=1
    )
    table: Path | None = setting(
        None, "needed: CSV file (plain, .gz, .bz2, .xz) with a column of genotypes and one of accuracies"
    )
    as_json: bool = setting(False, "print a JSON object and nothing else", alias="json", after="column")

    @field_validator("table")
    @classmethod
    def _a_yardstick_needs_a_table(cls, table: Path | None) -> Path | None:
        if table is None:
            raise ValueError("table is not given: name a file of cells with known accuracy with --table")
        return table


class RankConfig(FolderConfig, Seed):
    """Say how well a search of NAS-Bench-201 ranks random cells: its scores of them beside their true accuracy."""

    changeable = frozenset({"searched", "table", "data_root"})

    job: Literal["rank"] = "rank"
    searched: Path = argument("folder of a search of the space nasbench201, finished or not: its newest checkpoint")
    table: Path | None = setting(
        None, "needed: CSV file (plain, .gz, .bz2, .xz) with the true accuracy of the cells, or a folder of NATS-Bench"
    )
    column: str | None = setting(None, "the only column of accuracies that counts (none: all of them)", min_length=1)
    cells: int = setting(200, "random cells, of which no two are one network", ge=10, le=6000)
    batches: Count = setting(10, "batches of the arch split on which the one-shot accuracy of each is measured")
    te_nas: bool = setting(True, "also take both measures of TE-NAS, for which at least half of the time goes")
    data_root: Path | None = setting(None, "folder with the images of the search (none: where they were)")

    @field_validator("table")
    @classmethod
    def _the_truth_is_there(cls, table: Path | None) -> Path | None:
        if table is None:
            raise ValueError("table is not given: name a file with the true accuracy of cells with --table")
        return table
