"""What `pcdarts bench` and `pcdarts tables` can be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pcdarts.config.fields import Channels, Count, Device, K, Kind, Nodes, NumCells, Threads
from pcdarts.config.job_config import JobConfig


class TablesConfig(JobConfig):
    """Count what Tables 1, 2 and 5 of the paper count, beside the paper's figures; nothing is trained or downloaded."""

    job: Literal["tables"] = "tables"
    table: Literal["all", "1", "2", "5"] = Field(default="all", description="which table")
    json_file: Path | None = Field(default=None, alias="json", description="file to write all figures to")


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
        default="auto",
        description="the supernet's kernels: native (compiled, for a lesser processor where the environment has "
        "PCDARTS_NATIVE_TARGET=avx2 or baseline), plain (PyTorch alone), both, or auto",
    )
