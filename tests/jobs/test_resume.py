"""Runs that are killed, or whose disk fills, and what `--resume` makes of them: the run that was never interrupted."""

import shutil
from pathlib import Path

import pytest

from command_line import (
    SEARCH,
    checkpoint_of,
    copy_of,
    differences,
    done,
    end_of,
    error_line,
    forked,
    kill_after_epochs,
    metrics_of,
    refused,
    result_of,
    run_in,
    snapshot,
)
from pcdarts.run.run_folder import RunFolder

METRICS = Path("run/metrics.jsonl")


def test_a_killed_search_ends_as_if_it_had_never_been(
    tmp_path: Path, killed_search: Path, finished_search: Path
) -> None:
    copy_of(killed_search, tmp_path / "run")
    printed = done(tmp_path, "search", "--resume", "run")
    first, _, _, kernels, then, *_ = printed.splitlines()  # two lines about the data between
    assert first.endswith((", from epoch 3 on", ", from epoch 4 on"))
    assert kernels.endswith(" kernels: as this run was begun")
    assert then.startswith(f"epoch {first.split()[-2]}/5 ")
    assert differences(tmp_path / "run", finished_search) == []
    assert result_of(tmp_path / "run")["genotype"] == result_of(finished_search)["genotype"]


def test_the_checkpoint_of_a_search_holds_everything_that_moves(finished_search: Path) -> None:
    paths = list(checkpoint_of(finished_search))
    for kind in ("normal", "reduce"):
        assert f"/state/method/arch/alpha.{kind}" in paths
        assert f"/state/method/arch/beta.{kind}" in paths
    assert sum(path.endswith("exp_avg_sq") for path in paths) == 4
    assert sum(path.endswith("momentum_buffer") for path in paths) > 50


def test_a_killed_search_of_second_order_with_random_sampling_ends_as_if_it_had_never_been(tmp_path: Path) -> None:
    flags = "--second-order", "--channel-sampling", "random", "--epochs", "3", "--arch-frozen-epochs", "1"
    kill_after_epochs(2, METRICS, tmp_path, *SEARCH, *flags, "--run", "run")
    done(tmp_path, "search", "--resume", "run")
    done(tmp_path, *SEARCH, *flags, "--run", "undisturbed")
    assert differences(tmp_path / "run", tmp_path / "undisturbed") == []


def test_a_killed_training_ends_as_if_it_had_never_been(
    tmp_path: Path, killed_two_seeds: Path, two_seeds: Path
) -> None:
    copy_of(killed_two_seeds / "seed-1", tmp_path / "run")
    done(tmp_path, "train", "--resume", "run")
    assert differences(tmp_path / "run", two_seeds / "seed-1") == []
    assert result_of(tmp_path / "run")["test_top1_error"] == result_of(two_seeds)["test_top1_errors"][1]


def test_a_training_of_several_seeds_killed_in_the_second_goes_on_there(
    tmp_path: Path, killed_two_seeds: Path, two_seeds: Path
) -> None:
    run = copy_of(killed_two_seeds, tmp_path / "run")
    first = snapshot(run / "seed-0")
    printed = done(tmp_path, "train", "--resume", "run")
    assert printed.startswith("seed 0 (1 of 2)\nseed 1 (2 of 2)\nrun/seed-1: 40 training and 100 test images ")
    assert snapshot(run / "seed-0") == first
    assert differences(run / "seed-1", two_seeds / "seed-1") == []
    assert result_of(run)["test_top1_errors"] == result_of(two_seeds)["test_top1_errors"]


def test_a_training_of_several_seeds_killed_between_two_goes_on_with_the_next(tmp_path: Path, two_seeds: Path) -> None:
    run = copy_of(two_seeds, tmp_path / "run")
    shutil.rmtree(run / "seed-1")
    (run / "result.json").unlink()
    done(tmp_path, "train", "--resume", "run")
    assert differences(run / "seed-1", two_seeds / "seed-1") == []
    assert result_of(run)["test_top1_errors"] == result_of(two_seeds)["test_top1_errors"]


@pytest.mark.parametrize("job", ["search", "train"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(
    tmp_path: Path, job: str, request: pytest.FixtureRequest
) -> None:
    finished: Path = request.getfixturevalue(f"finished_{job}")
    (tmp_path / "run").mkdir()
    for name in ("config.yaml", "env.json"):
        shutil.copy(finished / name, tmp_path / "run")
    done(tmp_path, job, "--resume", "run")
    assert differences(tmp_path / "run", finished) == []


def test_a_record_that_a_kill_kept_from_the_metrics_is_added_and_a_torn_line_removed(
    tmp_path: Path, killed_search: Path, finished_search: Path
) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:-1]) + lines[-1][:30])
    done(tmp_path, "search", "--resume", "run")
    assert differences(run, finished_search) == []


@pytest.mark.parametrize("spoil", [b"", b"no checkpoint"], ids=["empty", "foreign"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_the_run_ends_as_ever(
    tmp_path: Path, killed_search: Path, finished_search: Path, spoil: bytes
) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    (run / "checkpoint.pt").write_bytes(spoil)
    epochs_before = [record["epoch"] for record in metrics_of(run)]
    ended = run_in(tmp_path, "search", "--resume", "run")
    assert ended.code == 0
    assert ended.err.startswith("pcdarts: warning: ")
    assert "run/checkpoint.previous.pt" in ended.err
    assert ended.err.removeprefix("pcdarts: warning: ").rstrip("\n") in (run / "log.txt").read_text()
    repeated = epochs_before[-1]  # the file only grows: what is done again is said again
    assert [record["epoch"] for record in metrics_of(run)] == [*epochs_before, *range(repeated, 6)]
    assert RunFolder(run).read_metrics() == [
        {**theirs, "seconds": ours["seconds"]}
        for theirs, ours in zip(RunFolder(finished_search).read_metrics(), RunFolder(run).read_metrics(), strict=True)
    ]
    assert result_of(run)["genotype"] == result_of(finished_search)["genotype"]


def test_a_run_killed_while_it_concluded_only_concludes(tmp_path: Path, finished_search: Path) -> None:
    run = copy_of(finished_search, tmp_path / "run")
    for name in ("result.json", "genotype.json", "cell_normal.svg"):
        (run / name).unlink()
    assert "epoch" not in done(tmp_path, "search", "--resume", "run")
    assert differences(run, finished_search) == []
    assert result_of(run)["arch_top1_error"] == result_of(finished_search)["arch_top1_error"]


def test_a_finished_run_has_nothing_to_resume(tmp_path: Path, finished_search: Path) -> None:
    run = copy_of(finished_search, tmp_path / "run")
    before = snapshot(run)
    said = "run is finished: there is nothing to resume; --epochs with more than 5 trains it on\n"
    assert done(tmp_path, "search", "--resume", "run") == said
    assert snapshot(run) == before


# Failures in mid-run


def test_a_full_disk_leaves_the_last_checkpoint_to_resume_from(
    tmp_path: Path, killed_search: Path, finished_search: Path
) -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("only Linux limits another process")
    run = copy_of(killed_search, tmp_path / "run")
    saved = (run / "checkpoint.pt").read_bytes()

    job = forked(tmp_path, "search", "--resume", "run")
    half = len(saved) // 2
    resource.prlimit(job.pid, resource.RLIMIT_FSIZE, (half, half))  # no file of it can grow larger
    ended = end_of(job)
    assert ended.code == 1
    message = error_line(ended)
    assert message.startswith("cannot save run/checkpoint.pt: File too large")
    assert message.endswith("continue with `pcdarts search --resume run`")
    assert (run / "checkpoint.pt").read_bytes() == saved
    assert [path for path in run.rglob("*") if path.name.endswith(".tmp")] == []

    done(tmp_path, "search", "--resume", "run")
    assert differences(run, finished_search) == []


def test_a_run_does_not_go_on_with_other_images(tmp_path: Path, colour_images: Path) -> None:
    images = copy_of(colour_images, tmp_path / "images")
    kill_after_epochs(1, METRICS, tmp_path, *SEARCH, "--data", "folder", "--data-root", "images", "--run", "run")
    (images / "ant" / "1.png").write_bytes((images / "bee" / "1.png").read_bytes())
    message = "run was begun with other images than those that are there now: restore the data, or start a new run"
    assert refused(tmp_path, "search", "--resume", "run") == message
