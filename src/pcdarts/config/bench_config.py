"""What `pcdarts bench`, `pcdarts tables` and `pcdarts methods` can be told."""

from pathlib import Path
from typing import Literal

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.learning_settings import BatchSize
from pcdarts.config.groups.machine_settings import Machine
from pcdarts.config.groups.network_settings import Nodes, PartialChannels, Size, Stem
from pcdarts.config.groups.values import Count
from pcdarts.config.job_config import JobConfig


class TablesConfig(JobConfig):
    """Count what Tables 1, 2 and 5 of the paper count, beside the paper's figures; nothing is trained or downloaded."""

    job: Literal["tables"] = "tables"
    table: Literal["all", "1", "2", "5"] = setting("all", "which table")
    json_file: Path | None = setting(None, "file to write all figures to", alias="json")


class MethodsConfig(JobConfig):
    """List the search methods, each with a line; into another program only their names."""

    job: Literal["methods"] = "methods"


class BenchConfig(JobConfig, Stem, Size, Nodes, PartialChannels, BatchSize, Machine):
    """Time the supernet side by side with a plain one that computes edge by edge, once both are found to be equal."""

    job: Literal["bench"] = "bench"
    image_size: int = setting(32, "side of the random images in pixels", ge=8, after="kind")
    batch_size: int = setting(64, "images per step", ge=2)
    repeats: Count = setting(5, "times that each step is measured, by turns and after a warm-up", after="batch_size")
    shapes: bool = setting(False, "time other shapes too: a table of minutes")
    compare_with: Path | None = setting(
        None, "folder with a model_search.py of the DARTS interface, whose Network is timed too: RUNS ITS CODE"
    )
    json_file: Path | None = setting(None, "file to write all figures to", alias="json")
    kernels: Literal["auto", "native", "plain", "both"] = setting(
        "auto",
        "the supernet's kernels: native (compiled, for a lesser processor where the environment has "
        "PCDARTS_NATIVE_TARGET=avx2 or baseline), plain (PyTorch alone), both, or auto",
        after="threads",
    )
