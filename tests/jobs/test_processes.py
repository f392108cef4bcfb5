"""Several processes on one job: together they compute what one alone computes, and nobody waits for the dead."""

import signal
import time
from pathlib import Path

import pytest
import torch

import search_steps
from command_line import (
    SEARCH,
    TRAIN,
    checkpoint_of,
    differences,
    done,
    end_of,
    error_line,
    lines_of,
    metrics_of,
    ours,
    pair,
    result_of,
    torchrun,
)
from forked import Forked
from pcdarts.run.processes import ALONE

EXACT = 1e-9
"""Largest difference of any weight, statistic, α or β in float64."""


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, torch.Tensor]], ...]:
    """What one process and each of two computed."""
    folder = tmp_path_factory.mktemp("steps")
    for started in pair(folder, str(folder), code=Path(search_steps.__file__).read_text()):
        ended = end_of(started)
        assert ended.code == 0, ended.err
    both = [torch.load(folder / f"process-{rank}-of-2.pt", weights_only=True) for rank in (0, 1)]
    return search_steps.everything(ALONE), *both


@pytest.mark.parametrize("case", ["first order", "second order, random sampling", "training"])
def test_two_processes_with_half_the_batch_each_are_one_with_the_whole(
    steps: tuple[dict[str, dict[str, torch.Tensor]], ...], case: str
) -> None:
    alone, first, second = (results[case] for results in steps)
    largest = max((alone[name].double() - value.double()).abs().max().item() for name, value in first.items())
    assert largest < EXACT
    assert all(torch.equal(value, second[name]) for name, value in first.items() if "num_batches" not in name)


@pytest.mark.parametrize("second_order", [False, True], ids=["first order", "second order"])
def test_the_parts_of_a_batch_together_are_the_batch_when_their_statistics_are_its_own(second_order: bool) -> None:
    whole = search_steps.search(ALONE, second_order, "first", parts=1, twice=True)
    in_parts = search_steps.search(ALONE, second_order, "first", parts=2, twice=True)
    learnt = [name for name in whole if "running" not in name and "num_batches" not in name]
    assert len(learnt) > 50
    assert max((whole[name] - in_parts[name]).abs().max().item() for name in learnt) < EXACT


def test_a_search_of_two_processes_stopped_and_gone_on_with_one_is_that_of_one(tmp_path: Path) -> None:
    flags = [*SEARCH, "--synchronize-batch-norm", "--kernels", "plain", "--train-images", "80", "--num-nodes", "3"]
    started = torchrun(tmp_path, *flags, "--run", "run", "--checkpoint-minutes", "1e-9")
    while started.poll() is None and len(lines_of(tmp_path / "run" / "metrics.jsonl")) < 2:
        time.sleep(0.002)
    started.terminate()
    ended = end_of(started)
    said = ours(ended)
    assert said[0].startswith("pcdarts: interrupted by SIGTERM after ")
    assert said[0].endswith("; continue with `torchrun --nproc-per-node 2 -m pcdarts search --resume run`")
    place = checkpoint_of(tmp_path / "run")
    assert place["/state/place/epoch"] >= 2

    done(tmp_path, "search", "--resume", "run")
    done(tmp_path, *flags, "--run", "alone")
    together, alone = metrics_of(tmp_path / "run"), metrics_of(tmp_path / "alone")
    assert [record["epoch"] for record in together] == [1, 2, 3, 4, 5]
    for ours_, theirs in zip(together[:2], alone[:2], strict=True):  # in float32, steps of Adam lead far apart
        assert ours_["weight_loss"] == pytest.approx(theirs["weight_loss"], rel=1e-4)
    assert result_of(tmp_path / "run").keys() == result_of(tmp_path / "alone").keys()


def test_a_training_of_two_processes_prints_once_and_normalises_in_each_of_them(
    tmp_path: Path, finished_train: Path
) -> None:
    ended, other = map(end_of, pair(tmp_path, *TRAIN, "--run", "run"))
    assert (ended.code, ended.err) == (other.code, other.err) == (0, "")
    assert ended.out.count("epoch 5/5") == 1
    assert other.out == ""  # one process prints
    assert "on 2 x cpu (1 thread)" in ended.out
    result = result_of(tmp_path / "run")
    assert 0 <= result["test_top1_error"] <= 100
    assert [one["images"] for one in result["test_details"]["per_class"]] == [10] * 10  # those of both processes
    assert differences(tmp_path / "run", finished_train) != []  # BatchNorm of half a batch


def test_when_a_process_dies_the_others_end_with_a_line_and_the_run_goes_on_later(tmp_path: Path) -> None:
    started, other = pair(tmp_path, *SEARCH, "--train-images", "200", "--epochs", "10", "--run", "run")
    run = tmp_path / "run"
    while started.poll() is None and len(lines_of(run / "metrics.jsonl")) < 1:
        time.sleep(0.002)
    other.kill()
    assert end_of(other).code == -signal.SIGKILL
    ended = end_of(started)
    assert ended.code == 1
    assert "process 0 of 2 has lost another one" in error_line(ended)
    epochs = checkpoint_of(run)["/state/place/epoch"]
    assert epochs >= 1
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}  # torchrun with one process
    command = ("search", "--resume", "run", "--max-skipped-batches", "1")
    resumed = end_of(Forked(tmp_path, *command, environment=alone))
    assert (resumed.code, resumed.err) == (0, "")


def test_a_cell_is_measured_on_a_batch_of_one_image_that_two_processes_normalise_together(tmp_path: Path) -> None:
    """Of 5 arch images in batches of 4 the last one is with one process alone."""
    flags = [*SEARCH, "--train-images", "10", "--batch-size", "4", "--epochs", "1", "--arch-frozen-epochs", "0"]
    flags += ["--method", "random-ws", "--candidates", "2", "--synchronize-batch-norm", "--kernels", "plain"]
    first, other = map(end_of, pair(tmp_path, *flags, "--run", "run"))
    assert (first.code, first.err) == (other.code, other.err) == (0, "")


def test_a_batch_that_two_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    first, other = map(end_of, pair(tmp_path, *SEARCH, "--batch-size", "9", "--run", "run"))
    assert error_line(first) == "batch_size is 9, but 2 processes share a batch: use a multiple of 2"
    assert other.code == 2
    assert not (tmp_path / "run").exists()
