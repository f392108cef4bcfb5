"""What `pcdarts latency` can be told."""

from pathlib import Path
from typing import ClassVar, Literal

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.network_settings import Nodes, Size, Stem
from pcdarts.config.groups.values import Count
from pcdarts.config.job_config import JobConfig


class LatencyConfig(JobConfig, Stem, Size, Nodes):
    """Measure a table of latencies on this device, for networks of some size: of each operation, and of whole networks.

    The defaults are those of the paper's network for CIFAR-10.
    """

    defaults: ClassVar = {"channels": 36, "num_cells": 20}

    job: Literal["latency"] = "latency"
    out: Path | None = setting(
        None, "file to write the table to, for --latency-table here or elsewhere (none: it is kept for this machine)"
    )
    threads: Count = setting(1, "threads of onnxruntime", after="out")
    image_size: Count = setting(32, "side of the images", after="num_cells")
    image_channels: Count = setting(3, "3 for colour, 1 for greyscale")
    num_classes: Count = setting(10, "classes")
