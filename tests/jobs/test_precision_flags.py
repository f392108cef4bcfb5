"""16 bits, compilation, determinism and batches in parts: in both jobs, and over an interruption."""

import shlex
import signal
import time
from pathlib import Path

import pytest
import torch

from command_line import (
    ONE_NODE,
    SEARCH,
    TRAIN,
    checkpoint_of,
    differences,
    done,
    end_of,
    forked,
    lines_of,
    metrics_of,
    refused,
)
from forked import Forked
from pcdarts.ops.precision import has_bf16

JOBS = {
    "search": [
        *SEARCH,
        *shlex.split("--num-nodes 3 --kernels plain --second-order --epochs 2 --arch-frozen-epochs 1"),
        *shlex.split("--train-images 16 --batch-size 4"),
    ],
    "train": [*TRAIN, "--genotype", ONE_NODE.to_text(), "--epochs", "2"],
}
FLAGS = {
    "fp16, in parts": ["--amp", "fp16", "--gradient-accumulation-steps", "2"],
    "bf16, deterministic": ["--amp", "bf16", "--deterministic"],
}


@pytest.fixture(scope="module", params=["search", "train"])
def without(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Each job without any of the flags."""
    folder = tmp_path_factory.mktemp("without")
    done(folder, *JOBS[request.param], "--run", "run")
    return request.param, folder / "run"


@pytest.mark.parametrize("flags", FLAGS)
def test_each_works_and_goes_on_bit_by_bit_after_an_interruption(
    tmp_path: Path, without: tuple[str, Path], flags: str
) -> None:
    job, plain = without
    if "bf16" in flags and not has_bf16("cpu"):
        pytest.skip("this processor has no bfloat16")
    command = [*JOBS[job], *FLAGS[flags]]
    started = forked(tmp_path, *command, "--run", "run", "--checkpoint-minutes", "1e-9")
    while started.poll() is None and len(lines_of(tmp_path / "run" / "metrics.jsonl")) < 1:
        time.sleep(0.002)
    started.kill()
    assert end_of(started).code == -signal.SIGKILL
    done(tmp_path, job, "--resume", "run")
    done(tmp_path, *command, "--run", "whole")
    assert differences(tmp_path / "run", tmp_path / "whole") == []
    assert metrics_of(tmp_path / "run") != metrics_of(plain)


def test_on_a_cpu_everything_is_deterministic_already(tmp_path: Path, without: tuple[str, Path]) -> None:
    job, plain = without
    done(tmp_path, *JOBS[job], "--deterministic", "--run", "run")
    assert differences(tmp_path / "run", plain) == []


def test_the_scale_of_a_loss_in_float16_is_part_of_the_checkpoint(tmp_path: Path) -> None:
    done(tmp_path, *JOBS["train"], "--amp", "fp16", "--epochs", "1", "--run", "run")
    saved = checkpoint_of(tmp_path / "run")
    assert saved["/state/scaler/scale"] >= 1
    assert all(value.dtype != torch.float16 for value in saved.values() if isinstance(value, torch.Tensor))


QUICKLY_COMPILED = """
import sys
from pcdarts.ops import compiling
from pcdarts.cli import run_command
compiling.BACKEND = "aot_eager"  # the default one takes minutes
sys.exit(run_command(sys.argv[1:]))
"""


@pytest.mark.parametrize(("job", "loss"), [("search", "weight_loss"), ("train", "train_loss")])
def test_a_compiled_job_ends_as_the_one_that_is_not(tmp_path: Path, job: str, loss: str) -> None:
    command = [*([*SEARCH, "--num-nodes", "3"] if job == "search" else JOBS[job]), "--epochs", "2"]
    done(tmp_path, *command, "--run", "plain")
    ended = end_of(Forked(tmp_path, *command, "--compile", "--run", "compiled", code=QUICKLY_COMPILED))
    assert (ended.code, ended.err) == (0, "")
    plain, compiled = metrics_of(tmp_path / "plain"), metrics_of(tmp_path / "compiled")
    assert [one[loss] for one in plain] == pytest.approx([one[loss] for one in compiled], rel=1e-3)
    assert checkpoint_of(tmp_path / "plain").keys() == checkpoint_of(tmp_path / "compiled").keys()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--kernels native --amp fp16", "kernels is native, but these compute in float32: drop amp, or use plain"),
        ("--kernels native --synchronize-batch-norm", "kernels is native, but these know one process"),
        ("--amp fp8", "amp is fp8, but it must be off, bf16 or fp16"),
        ("--gradient-accumulation-steps 0", "gradient_accumulation_steps is 0, but it must be at least 1"),
        ("--max-skipped-batches -1", "max_skipped_batches is -1, but it must be at least 0"),
        ("--checkpoint-minutes 0", "checkpoint_minutes is 0, but it must be more than 0"),
        ("--track nowhere", "track is nowhere, but it must be none, tensorboard, wandb or trackio"),
    ],
)
def test_flags_that_make_no_sense_are_refused(tmp_path: Path, flags: str, message: str) -> None:
    assert message in refused(tmp_path, "search", *flags.split())
