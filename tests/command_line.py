"""The command line as the tests of the jobs use it: tiny jobs, in this process where that is enough."""

import contextlib
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from forked import Forked
from pcdarts.cell.genotype import Genotype
from pcdarts.cli import run_command

SEARCH = shlex.split(
    "search --train-images 40 --image-size 8 --channels 4 --k 2 --num-cells 3 --num-nodes 4 --batch-size 10 "
    "--epochs 5 --arch-frozen-epochs 2 --arch-learning-rate 0.1"
)
"""The search that most tests share: five epochs of two steps, in the first two of which α and β are frozen."""

GENOTYPE = Genotype(
    normal=(("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_3x3", 2), ("max_pool_3x3", 0)),
    normal_concat=(2, 3),
    reduce=(("max_pool_3x3", 0), ("skip_connect", 1), ("sep_conv_5x5", 0), ("dil_conv_5x5", 2)),
    reduce_concat=(2, 3),
)

ONE_NODE = Genotype(
    normal=(("sep_conv_3x3", 0), ("skip_connect", 1)),
    normal_concat=(2,),
    reduce=(("max_pool_3x3", 0), ("dil_conv_5x5", 1)),
    reduce_concat=(2,),
)
"""The smallest cell, for what takes long by the operation, such as compiling and exporting."""

TRAIN = shlex.split(
    "train --train-images 40 --test-images 100 --image-size 8 --channels 4 --num-cells 3 --batch-size 20 --epochs 5 "
    f"--drop-path 0.3 --cutout 3 --test-every 2 --genotype {shlex.quote(GENOTYPE.to_text())}"
)
"""The training that most tests share, with drop-path, cutout and auxiliary head."""


RUN_FILES = {
    "config.yaml",
    "env.json",
    "metrics.jsonl",
    "log.txt",
    "genotype.json",
    "cell_normal.svg",
    "cell_reduce.svg",
    "checkpoint.pt",
    "checkpoint.previous.pt",
    "result.json",
}
"""What every finished run leaves in its folder; a search adds its genotypes."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run_in(folder: Path, *arguments: str) -> Ended:
    """Run a command inside `folder`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(arguments)
    return Ended(code, out.getvalue(), err.getvalue())


def done(folder: Path, *arguments: str) -> str:
    """Run a command that is to end well, and return what it printed."""
    ended = run_in(folder, *arguments)
    assert (ended.code, ended.err) == (0, ""), ended.err
    return ended.out


def refused(folder: Path, *arguments: str) -> str:
    """Run a command that is to be refused in one line and to leave every file as it was; return that line."""
    before = snapshot(folder)
    ended = run_in(folder, *arguments)
    assert ended.code == 2, ended
    after = snapshot(folder)
    assert [path for path in after | before if after.get(path) != before.get(path)] == []
    return error_line(ended)


def error_line(ended: Ended) -> str:
    """The one line on stderr, without `pcdarts: error: `."""
    start = "pcdarts: error: "
    assert ended.err.startswith(start), ended.err
    assert ended.err.count("\n") == 1, ended.err
    return ended.err.removeprefix(start).rstrip("\n")


def process(folder: Path, *arguments: str, new_session: bool = False) -> subprocess.Popen[str]:
    """Start a command inside `folder` as a process of its own, imports and all; `forked` is sooner at work."""
    return subprocess.Popen(
        [sys.executable, "-m", "pcdarts", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # sums in the order of this process
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=new_session,
    )


def forked(folder: Path, *arguments: str) -> Forked:
    """Start a command inside `folder` as a process of its own that has everything imported."""
    return Forked(folder, *arguments)


def end_of(job: subprocess.Popen[str] | Forked) -> Ended:
    """Wait for a process."""
    out, err = job.communicate()
    return Ended(job.returncode, out, err)


def torchrun(folder: Path, *arguments: str, count: int = 2) -> subprocess.Popen[str]:
    """Start a command inside `folder` in several processes; `pair` does so for a third of the time."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.Popen(
        [*command, "-m", "--", "pcdarts", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pair(folder: Path, *arguments: str, code: str | None = None) -> tuple[Forked, Forked]:
    """Two processes of one job with everything imported, told of each other as torchrun tells them; the first leads.

    Unlike torchrun, nobody ends one of them when the other has failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    shared |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    first, second = (
        Forked(folder, *arguments, code=code, environment={**shared, "RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    )
    return first, second


def ours(ended: Ended) -> list[str]:
    """What our processes said on stderr."""
    return [line for line in ended.err.splitlines() if line.startswith("pcdarts: ")]


def until_the_error(printed: str) -> list[str]:
    """The lines of `pcdarts test` with the error (of several seeds that of the last one) at their end.

    What the network is bad at, class by class, comes after it.
    """
    lines = printed.splitlines()
    last = max(number for number, line in enumerate(lines) if ": top-1 error " in line)
    assert lines[last + 1].startswith(("balanced accuracy ", "top-1 error "))
    return lines[: last + 1]


def kill_after_epochs(epochs: int, metrics: Path, folder: Path, *arguments: str) -> None:
    """Start a command in a process and kill it (SIGKILL) once so many epochs are in its `metrics` file."""
    job = forked(folder, *arguments)
    while job.poll() is None and len(lines_of(folder / metrics)) < epochs:
        time.sleep(0.002)
    job.kill()
    ended = end_of(job)
    assert ended.code == -9, f"it ended before it was killed: {ended}"


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """The records of a run, without the seconds."""
    records = [json.loads(line) for line in lines_of(run / "metrics.jsonl")]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    return result


def checkpoint_of(run: Path) -> dict[str, Any]:
    """All that the checkpoint of a run holds, but the seconds, by the path to each tensor or value."""
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    return {path: value for path, value in leaves("", saved) if not path.endswith("/seconds")}


def leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in items for leaf in leaves(f"{path}/{key}", item)]
    return [(path, value)]


def differences(one: Path, other: Path) -> list[str]:
    """Where the ends of two runs differ: tensors and values of the checkpoints, metrics, genotype."""
    ours, theirs = checkpoint_of(one), checkpoint_of(other)
    assert ours.keys() == theirs.keys()
    differing = [path for path, value in ours.items() if not same(value, theirs[path])]
    if metrics_of(one) != metrics_of(other):
        differing.append("metrics")
    if (one / "genotype.json").read_text() != (other / "genotype.json").read_text():
        differing.append("genotype")
    return differing


def same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def snapshot(folder: Path) -> dict[Path, bytes]:
    """Every file below `folder` with its content, but what only says who is working there."""
    watching = (".lock", "state.json", ".state.json.tmp")  # the last one may be what a kill left
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in watching}


def copy_of(run: Path, place: Path) -> Path:
    """A copy of a run that a test may change."""
    return Path(shutil.copytree(run, place))
