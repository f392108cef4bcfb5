"""A study of seconds, and what the tests want to know of one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import Ended, process, run_in
from pcdarts.study.grid import Cell

DESCRIPTION = """
title: Small cells
seeds: 1
search: {train_images: 40, image_size: 8, channels: 4, k: 2, num_cells: 3, num_nodes: 4, batch_size: 10, epochs: 4,
         arch_frozen_epochs: 1, arch_learning_rate: 0.1, kernels: plain}
train: {train_images: 40, test_images: 100, image_size: 8, channels: 4, num_cells: 3, batch_size: 20, epochs: 1}
methods:
  PC-DARTS: {}
"""


GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=range(2, 3), "
    "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=range(2, 3))"
)


RUN = ("study", "run", "small.yaml")
HERE = ("--parallel", "1", "--threads", "1")


def study(folder: Path, *flags: str, here: bool = True) -> "subprocess.Popen[str]":
    """Start the study in `folder` as a process."""
    (folder / "small.yaml").write_text(DESCRIPTION)
    return process(folder, *RUN, *flags, *(HERE if here else ()), new_session=True)


def finished(folder: Path, *flags: str) -> Ended:
    """Run it to its end, in this process, with workers in others."""
    (folder / "small.yaml").write_text(DESCRIPTION)
    return run_in(folder, *RUN, *flags)


def figures(folder: Path) -> dict[str, Any]:
    """What a table is made of: every test error and genotype, by run."""
    results = {path.parent: json.loads(path.read_text()) for path in sorted((folder / "studies").rglob("result.json"))}
    return {
        str(run.relative_to(folder)): (result.get("test_top1_error"), result["genotype"])
        for run, result in results.items()
    }


def wait_until(condition: Callable[[], Any], seconds: float = 600) -> Any:
    """What the condition gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)
    return found


def children(pid: int) -> list[int]:
    """Processes that this one has started, by number."""
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def runs_below(pid: int) -> dict[int, int]:
    """The runs that the workers below a process are doing: process of the run by process of the worker."""
    found: dict[int, int] = {}
    for child in children(pid):
        if "pcdarts.study.attached" in command_of(child):
            found[pid] = child
        else:
            found |= runs_below(child)
    return found


@contextmanager
def dask(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of Dask's own command line."""
    started = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
        started.wait()


def finish(cell: Cell, error: float = 10.0, hours: float = 1.0, genotype: str = GENOTYPE) -> None:
    """Leave what the runs of a cell leave."""
    for config, run in cell.steps():
        run.path.mkdir(parents=True)
        run.config.write_text(config.to_yaml())
        cost = {"search_cost": {"hours": hours}} if run is not cell.train and run.path.name == "search" else {}
        trained = {"test_top1_error": error, "train_seconds": 3600 * hours} if run.path.name == "train" else {}
        run.result.write_text(json.dumps({"genotype": genotype, **cost, **trained}))
