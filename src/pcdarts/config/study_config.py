"""What `pcdarts study run`, `pcdarts study status`, `pcdarts report` and `pcdarts score` can be told."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from pcdarts.config.fields import Count, DataName, DataRoot, Device, HubName
from pcdarts.config.job_config import JobConfig

Scale = Literal["paper", "small", "smoke"]
TableKind = Annotated[
    str | None,
    Field(min_length=1, description="which rows of the table are used, by its column `kind` (none: the largest kind)"),
]
TableColumn = Annotated[
    str | None,
    Field(min_length=1, description="column of the table's accuracies (none: the one with `acc` in its name)"),
]


class StudyRunConfig(JobConfig):
    """Run a study: a grid of methods, settings and seeds, each a search, trained or scored; or go on with one."""

    job: Literal["study run"] = "study run"
    study: str = Field(
        min_length=1,
        description="table3, table3-imagenet, figure3, table4-runs, table4-epochs, table4-nodes, or a YAML file",
    )
    scale: Scale | None = Field(
        default=None,
        description="the paper's own (the default), small (hours on two cores) or smoke (minutes, embedded data)",
    )
    folder: Path | None = Field(default=None, description="folder of the study (none: studies/NAME-SCALE)")
    seeds: Count | None = Field(default=None, description="number of seeds, from 0 on (none: as the study says)")
    data: DataName | None = Field(default=None, description="data set of all its runs (none: as the study says)")
    data_root: DataRoot = None
    hub_name: HubName = None
    table: Path | None = Field(
        default=None,
        description="CSV file of cells with known accuracy, which scores what is found, as in `pcdarts score`; without "
        "a `train:` section in the study nothing is trained then (none: as the study says)",
    )
    kind: TableKind = None
    column: TableColumn = None
    train: bool = Field(default=True, description="train what is found, or only score it (unset: as the study says)")
    reuse: tuple[str, ...] = Field(
        default=(), description="folders of other studies, from which finished runs of the same settings are copied"
    )
    retries: int = Field(default=2, ge=0, description="how often a failed run is tried again before it is listed")
    parallel: Count | None = Field(
        default=None, description="runs at once on this machine, or SLURM jobs (none: one per GPU, else per core)"
    )
    scheduler: str | None = Field(
        default=None, description="address of a running Dask scheduler (tcp://HOST:PORT), whose workers do the runs"
    )
    slurm: bool = Field(
        default=False, description="start the workers as SLURM jobs, as Dask's configuration (jobqueue.slurm) says"
    )
    device: Device = "auto"
    threads: Count | None = Field(
        default=None, description="CPU threads of every run (none: its share of this machine or of a SLURM job)"
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
    studies: tuple[Path, ...] = Field(default=(), description="study folders (none: all below studies/)")
    as_json: bool = Field(default=False, alias="json", description="print a list of JSON objects and nothing else")


class ReportConfig(JobConfig):
    """Write a page about runs and studies, finished or not: tables, learning curves, cells and how they came about."""

    job: Literal["report"] = "report"
    runs: tuple[Path, ...] = Field(min_length=1, description="run folders and study folders, finished or not")
    out: Path | None = Field(
        default=None,
        description="folder for report.html and report.md (none: that of the run or the study; of several, report/)",
    )
    table: Path | None = Field(
        default=None, description="CSV file of cells with known accuracy, by which cells are scored, epoch by epoch"
    )
    kind: TableKind = None
    column: TableColumn = None

    @field_validator("kind", "column")
    @classmethod
    def _of_a_table(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("table") is None:
            raise ValueError(f"{info.field_name} is about a table, and none is given: name it with --table")
        return value


class ScoreConfig(JobConfig):
    """Say how good cells are: their accuracy by a table of known cells, or as predicted by a regressor fitted on it."""

    job: Literal["score"] = "score"
    genotypes: tuple[str, ...] = Field(
        min_length=1,
        description="runs (RUN, RUN:EPOCH, latest), files, published names, random:SEED: as `pcdarts show` takes them",
    )
    table: Path | None = Field(
        default=None,
        description="needed: CSV file (plain, .gz, .bz2, .xz) with a column of genotypes and one of accuracies",
    )
    kind: TableKind = None
    column: TableColumn = None
    as_json: bool = Field(default=False, alias="json", description="print a JSON object and nothing else")

    @field_validator("table")
    @classmethod
    def _a_yardstick_needs_a_table(cls, table: Path | None) -> Path | None:
        if table is None:
            raise ValueError("table is not given: name a file of cells with known accuracy with --table")
        return table
