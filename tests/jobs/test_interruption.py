"""A job that is asked to end, killed, or started twice: nothing is lost, and it says how to go on."""

import os
import signal
import time
from pathlib import Path

import pytest

from command_line import (
    SEARCH,
    TRAIN,
    checkpoint_of,
    copy_of,
    differences,
    done,
    end_of,
    forked,
    lines_of,
    process,
    refused,
    result_of,
    run_in,
    snapshot,
)
from forked import Forked

EVERY_STEP = ("--checkpoint-minutes", "1e-9")
LONGER = {
    "search": [*SEARCH, "--train-images", "120", "--arch-frozen-epochs", "1"],
    "train": [*TRAIN, "--train-images", "240", "--test-every", "5"],
}
"""Epochs of six and of twelve steps: a signal finds them in the middle."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The longer jobs, done in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for job, command in LONGER.items():
        done(folder, *command, "--run", job)
    return {job: folder / job for job in LONGER}


def wait_for_epochs(job: Forked, run: Path, epochs: int) -> None:
    while job.poll() is None and len(lines_of(run / "metrics.jsonl")) < epochs:
        time.sleep(0.002)


@pytest.mark.parametrize(("job", "number"), [("search", signal.SIGTERM), ("train", signal.SIGINT)])
def test_a_signal_ends_a_job_after_its_step_and_it_goes_on_there_bit_by_bit(
    tmp_path: Path, undisturbed: dict[str, Path], job: str, number: int
) -> None:
    run = tmp_path / "run"
    started = forked(tmp_path, *LONGER[job], "--run", "run")
    wait_for_epochs(started, run, 1)
    time.sleep(0.05)
    started.send_signal(number)
    ended = end_of(started)
    assert ended.code == 128 + number
    name = signal.Signals(number).name
    assert ended.err.startswith(f"pcdarts: interrupted by {name} after ")
    assert ended.err.endswith(f", and saved; continue with `pcdarts {job} --resume run`\n")
    assert ended.err.count("\n") == 1

    saved = checkpoint_of(run)
    place = f"step {saved['/state/place/step']} of epoch {saved['/state/place/epoch'] + 1}"
    assert place in ended.err or saved["/state/place/step"] == 0
    done(tmp_path, job, "--resume", "run")
    assert differences(run, undisturbed[job]) == []
    assert result_of(run)["genotype"] == result_of(undisturbed[job])["genotype"]


@pytest.mark.parametrize("job", ["search", "train"])
def test_a_job_killed_in_mid_epoch_goes_on_from_the_step_that_was_saved_last(
    tmp_path: Path, undisturbed: dict[str, Path], job: str
) -> None:
    run = tmp_path / "run"
    started = forked(tmp_path, *LONGER[job], *EVERY_STEP, "--run", "run")
    wait_for_epochs(started, run, 1)
    time.sleep(0.2)
    started.kill()
    assert end_of(started).code == -signal.SIGKILL
    step = checkpoint_of(run)["/state/place/step"]
    printed = done(tmp_path, job, "--resume", "run", "--checkpoint-minutes", "none")
    assert (f", step {step + 1} on" in printed.splitlines()[0]) == (step > 0)
    assert differences(run, undisturbed[job]) == []


def test_a_job_interrupted_before_its_first_step_begins_again(tmp_path: Path) -> None:
    started = forked(tmp_path, *SEARCH, "--run", "run")
    while started.poll() is None and not (tmp_path / "run" / "config.yaml").exists():
        time.sleep(0.002)
    started.terminate()
    ended = end_of(started)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.err.endswith("; continue with `pcdarts search --resume run`\n")
    done(tmp_path, "search", "--resume", "run")


def test_a_second_job_on_a_run_is_refused_and_the_first_goes_on(
    tmp_path: Path, killed_search: Path, finished_search: Path
) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    first = forked(tmp_path, "search", "--resume", "run", "--checkpoint-minutes", "1e-9")
    while first.poll() is None and len(lines_of(run / "log.txt")) < len(lines_of(killed_search / "log.txt")) + 1:
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGSTOP)  # it would be done before the second one has begun
    message = refused(tmp_path, "search", "--resume", "run")
    os.kill(first.pid, signal.SIGCONT)
    assert message.startswith(f"run is being worked on by process {first.pid} on ")
    assert end_of(first).code == 0
    assert differences(run, finished_search) == []


def test_a_job_refused_for_another_one_on_its_second_seed_leaves_that_alone(tmp_path: Path, two_seeds: Path) -> None:
    run = copy_of(two_seeds, tmp_path / "run")
    (run / "result.json").unlink()
    for path in (run / "seed-1").iterdir():
        if path.name != "config.yaml":
            path.unlink()
    other = forked(tmp_path, "train", "--resume", "run/seed-1", "--checkpoint-minutes", "1e-9")
    while other.poll() is None and not (run / "seed-1" / "log.txt").exists():
        time.sleep(0.002)
    os.kill(other.pid, signal.SIGSTOP)
    message = refused(tmp_path, "train", "--resume", "run")
    os.kill(other.pid, signal.SIGCONT)
    assert message.startswith(f"run/seed-1 is being worked on by process {other.pid} on ")
    assert end_of(other).code == 0
    assert differences(run / "seed-1", two_seeds / "seed-1") == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
def test_a_signal_during_imports_ends_the_process_after_them(tmp_path: Path) -> None:
    started = process(tmp_path, *SEARCH, "--run", "run")
    while started.poll() is None and "libtorch" not in Path(f"/proc/{started.pid}/maps").read_text():
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    ended = end_of(started)
    assert (ended.code, ended.err.count("\n")) == (128 + signal.SIGINT, 1), ended


def test_a_training_of_the_latest_search_means_the_same_one_for_ever(tmp_path: Path, finished_search: Path) -> None:
    copy_of(finished_search, tmp_path / "runs" / "search-1")
    started = forked(tmp_path, *TRAIN[:-2], "--run", "run")
    while started.poll() is None and not (tmp_path / "run" / "config.yaml").exists():
        time.sleep(0.002)
    started.kill()
    end_of(started)
    assert "genotype: Genotype(" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_finished_run_is_never_overwritten(tmp_path: Path, finished_search: Path) -> None:
    run = copy_of(finished_search, tmp_path / "run")
    before = snapshot(run)
    assert "already holds a finished run" in refused(tmp_path, *SEARCH, "--run", "run")
    said = run_in(tmp_path, "search", "--resume", "run").out
    assert said.startswith("run is finished: there is nothing to resume")
    assert snapshot(run) == before


def test_a_run_folder_that_leads_elsewhere_is_not_written_to(tmp_path: Path, killed_search: Path) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    outside = tmp_path / "precious.txt"
    outside.write_text("precious")
    (run / "log.txt").unlink()
    (run / "log.txt").symlink_to(outside)
    assert "run/log.txt is a link" in refused(tmp_path, "search", "--resume", "run")
    assert outside.read_text() == "precious"
