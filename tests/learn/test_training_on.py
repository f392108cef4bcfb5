"""Runs that go on to more epochs than they were begun with: `--resume RUN --epochs MORE`."""

from pathlib import Path

import pytest

from command_line import (
    copy_of,
    differences,
    done,
    kill_after_epochs,
    metrics_of,
    refused,
    result_of,
)
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.jobs.status import status_of
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.schedule import cosine, drop_path_rate

METRICS = Path("run/metrics.jsonl")


def test_a_finished_training_goes_on_and_says_what_its_schedules_do(tmp_path: Path, finished_train: Path) -> None:
    run = copy_of(finished_train, tmp_path / "run")
    earlier = (run / "result.json").read_text()
    printed = done(tmp_path, "train", "--resume", "run", "--epochs", "7")
    rate, before = cosine(5, 7, 0.05), cosine(4, 5, 0.05)
    line = (
        "7 epochs instead of 5: from here on the schedules run over 7, so the learning rate jumps up to "
        f"{rate:.4g} in epoch 6 from {before:.4g} in epoch 5 and drop-path is {drop_path_rate(5, 7, 0.3):.4g} there; "
        "a run begun with 7 epochs would have had other rates from its first epoch on"
    )
    assert line in printed.splitlines()
    assert line in (run / "log.txt").read_text().splitlines()
    assert metrics_of(run)[:5] == metrics_of(finished_train)
    assert [record["epoch"] for record in metrics_of(run)] == [1, 2, 3, 4, 5, 6, 7]
    assert metrics_of(run)[5]["learning_rate"] == rate
    assert "epochs: 7\n" in (run / "config.yaml").read_text()
    assert (run / "result_005_epochs.json").read_text() == earlier
    assert result_of(run)["earlier_plans"] == [{"epochs": 5, "done": 5}]
    assert result_of(run)["test_top1_error"] == metrics_of(run)[6]["test_top1_error"]
    assert (status_of(RunFolder(run)).state, status_of(RunFolder(run)).epochs) == ("done", 7)
    assert done(tmp_path, "train", "--resume", "run").startswith("run is finished: there is nothing to resume")


def test_a_run_that_is_trained_on_ends_with_the_same_bits_after_a_kill(tmp_path: Path, finished_train: Path) -> None:
    for name in ("run", "undisturbed"):
        copy_of(finished_train, tmp_path / name)
    kill_after_epochs(6, METRICS, tmp_path, "train", "--resume", "run", "--epochs", "9")
    assert status_of(RunFolder(tmp_path / "run")).state == "interrupted"
    done(tmp_path, "train", "--resume", "run")
    done(tmp_path, "train", "--resume", "undisturbed", "--epochs", "9")
    assert differences(tmp_path / "run", tmp_path / "undisturbed") == []
    assert result_of(tmp_path / "run")["earlier_plans"] == [{"epochs": 5, "done": 5}]


def test_an_unfinished_search_may_be_given_more_epochs_and_fewer_than_it_was_to_have(
    tmp_path: Path, killed_search: Path
) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    assert "run has done " in refused(tmp_path, "search", "--resume", "run", "--epochs", "2")
    printed = done(tmp_path, "search", "--resume", "run", "--epochs", "7")
    assert "7 epochs instead of 5: " in printed
    assert [record["epoch"] for record in metrics_of(run)] == [1, 2, 3, 4, 5, 6, 7]
    assert (run / "genotypes" / "epoch_007.json").read_text() == (run / "genotype.json").read_text()
    assert not (run / "result_005_epochs.json").exists()
    shorter = copy_of(killed_search, tmp_path / "shorter")
    assert "4 epochs instead of 5: " in done(tmp_path, "search", "--resume", "shorter", "--epochs", "4")
    assert len(metrics_of(shorter)) == 4


def test_all_seeds_go_on_and_an_interruption_between_them_costs_nothing(tmp_path: Path, two_seeds: Path) -> None:
    run = copy_of(two_seeds, tmp_path / "run")
    kill_after_epochs(6, Path("run/seed-1/metrics.jsonl"), tmp_path, "train", "--resume", "run", "--epochs", "7")
    status = status_of(RunFolder(run))
    assert (status.state, status.seed, status.epochs) == ("interrupted", 2, 7)
    done(tmp_path, "train", "--resume", "run")
    for seed in ("seed-0", "seed-1"):
        assert len(metrics_of(run / seed)) == 7
        assert result_of(run / seed)["earlier_plans"] == [{"epochs": 5, "done": 5}]
        assert (run / seed / "result_005_epochs.json").read_bytes() == (two_seeds / seed / "result.json").read_bytes()
    errors = [result_of(run / seed)["test_top1_error"] for seed in ("seed-0", "seed-1")]
    assert result_of(run)["test_top1_errors"] == errors
    assert result_of(run).get("earlier_plans") == [{"epochs": 5, "done": 5}]
    assert (run / "result_005_epochs.json").read_bytes() == (two_seeds / "result.json").read_bytes()


@pytest.mark.parametrize("changed", [(), ("config.yaml",)])
def test_a_kill_in_the_middle_of_the_change_leaves_a_run_that_goes_on(
    tmp_path: Path, finished_train: Path, changed: tuple[str, ...]
) -> None:
    run = copy_of(finished_train, tmp_path / "run")
    (run / "result.json").rename(run / "result_005_epochs.json")
    if changed:
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("epochs: 5\n", "epochs: 6\n", 1))
    done(tmp_path, "train", "--resume", "run")
    assert len(metrics_of(run)) == (6 if changed else 5)
    if not changed:
        assert result_of(run)["test_top1_error"] == result_of(finished_train)["test_top1_error"]
        done(tmp_path, "train", "--resume", "run", "--epochs", "6")
        assert {path.name for path in run.glob("result*")} == {
            "result.json",
            "result_005_epochs.json",
            "result_005_epochs_2.json",
        }


def test_what_is_refused_leaves_the_run_as_it_was(tmp_path: Path, finished_train: Path) -> None:
    run = copy_of(finished_train, tmp_path / "run")
    more = ("train", "--resume", "run", "--epochs", "7")
    assert refused(tmp_path, "train", "--resume", "run", "--epochs", "4") == (
        "run has done 5 epochs already: --epochs must be more than that"
    )
    assert refused(tmp_path, *more, "--channels", "8").startswith("run was begun with channels 4, not 8")
    refused(tmp_path, *more, "--device", "cuda:99")  # found out only by the job itself
    assert status_of(RunFolder(run)).state == "done"
    (run / "checkpoint.pt").unlink()
    (run / "checkpoint.previous.pt").unlink()
    assert refused(tmp_path, *more) == "run has no checkpoint to go on from: start a new run"


def test_a_run_of_a_study_and_a_single_seed_are_not_trained_on(
    tmp_path: Path, finished_train: Path, two_seeds: Path
) -> None:
    copy_of(finished_train, tmp_path / "study" / "runs" / "PC-DARTS" / "seed-0" / "train")
    (tmp_path / "study" / "study.yaml").write_text("")
    message = refused(tmp_path, "train", "--resume", "study/runs/PC-DARTS/seed-0/train", "--epochs", "7")
    assert f"belongs to the study {tmp_path / 'study'}, which is about 5 epochs: copy the run" in message
    copy_of(two_seeds, tmp_path / "run")
    message = refused(tmp_path, "train", "--resume", "run/seed-0", "--epochs", "7")
    assert message == "run/seed-0 is one of the seeds of run: train that on, with all its seeds"


def test_a_random_search_has_epochs_of_candidates_and_is_not_trained_on(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.config.write_text(RandomSearchConfig(epochs=2).to_yaml())
    message = refused(tmp_path, "random", "search", "--resume", "run", "--epochs", "3")
    assert message.startswith("run was begun with epochs 2, not 3: drop the flag to resume it")
