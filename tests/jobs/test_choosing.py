"""Trainings with validation images: they choose the epoch and when to stop, and test images are seen once."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from command_line import (
    TRAIN,
    checkpoint_of,
    copy_of,
    differences,
    done,
    end_of,
    forked,
    kill_after_epochs,
    lines_of,
    metrics_of,
    pair,
    refused,
    result_of,
    same,
)
from made_runs import MadeOnce, printed_by
from pcdarts.jobs.status import status_of
from pcdarts.run.run_folder import RunFolder

METRICS = Path("run/metrics.jsonl")
VALIDATED = (*TRAIN, "--train-images", "80", "--validation-fraction", "0.5", "--test-every", "1")
"""40 images to learn from and 40 to choose by."""
BEST = (*VALIDATED, "--select", "best", "--learning-rate", "0.1", "--seed", "5")
"""The best epoch is not the last one."""
STUCK = (*BEST, "--learning-rate", "1e-9", "--learning-rate-min", "0", "--patience", "2")
"""Nothing is learnt but the statistics of BatchNorm, with which the error rises."""


@pytest.fixture(scope="module")
def chosen_output(once: MadeOnce) -> tuple[Path, str]:
    folder = once("chosen", printed_by(*BEST, "--run", "run"))
    return folder / "run", (folder / "printed.txt").read_text()


@pytest.fixture(scope="module")
def chosen(chosen_output: tuple[Path, str]) -> Path:
    return chosen_output[0]


def what_came_out(run: Path) -> dict[str, Any]:
    """The result without what depends on the machine's other work."""
    return {name: value for name, value in result_of(run).items() if name not in ("train_seconds", "peak_memory_gb")}


def test_the_epoch_of_the_lowest_validation_error_is_the_result_and_tested_once(
    chosen_output: tuple[Path, str],
) -> None:
    run, printed = chosen_output
    records, result = metrics_of(run), result_of(run)
    errors = [record["validation_top1_error"] for record in records]
    best = max(epoch for epoch, error in enumerate(errors, 1) if error == min(errors))
    assert (result["best_epoch"], result["validation_top1_error"]) == (best, min(errors))
    assert result["validation_top5_error"] == records[best - 1]["validation_top5_error"]
    assert (result["validation_images"], result["test_images"]) == (40, 100)
    assert not any(name.startswith("test_") for record in records for name in record)
    assert printed.startswith(f"{run.name}: 40 training, 40 validation and 100 test images of fashion-mini ")
    test, validation = result["test_top1_error"], result["validation_top1_error"]
    words = f"top-1 test error {test:.2f} % after epoch {best} of 5 (validation error {validation:.2f} %); "
    assert words in printed


def test_the_choice_changes_nothing_of_what_is_learnt(tmp_path: Path, chosen: Path) -> None:
    done(tmp_path, *VALIDATED, "--learning-rate", "0.1", "--seed", "5", "--run", "last")
    ours, theirs = checkpoint_of(tmp_path / "last"), checkpoint_of(chosen)
    learnt = [path for path in ours if path.startswith(("/state/network", "/state/optimizer"))]
    assert learnt
    assert all(ours[path].equal(theirs[path]) for path in learnt if hasattr(ours[path], "equal"))
    assert metrics_of(tmp_path / "last") == metrics_of(chosen)
    last = result_of(tmp_path / "last")
    assert last["validation_top1_error"] == metrics_of(chosen)[-1]["validation_top1_error"]
    assert "best_epoch" not in last


def test_testing_the_run_later_gives_the_same_error(tmp_path: Path, chosen: Path) -> None:
    error = result_of(chosen)["test_top1_error"]
    assert f"top-1 error {error:.2f} % of 100 images" in done(tmp_path, "test", str(chosen))
    state = checkpoint_of(chosen)
    weights = [path for path in state if path.startswith("/state/best/weights/")]
    assert len(weights) == len([path for path in state if path.startswith("/state/network/")])


def test_a_run_that_was_killed_ends_as_if_it_had_never_been(tmp_path: Path, chosen: Path) -> None:
    kill_after_epochs(2, METRICS, tmp_path, *BEST, "--run", "run")
    done(tmp_path, "train", "--resume", "run")
    assert differences(tmp_path / "run", chosen) == []
    assert what_came_out(tmp_path / "run") == what_came_out(chosen)


def test_a_run_killed_before_its_test_only_tests(tmp_path: Path, chosen: Path) -> None:
    run = copy_of(chosen, tmp_path / "run")
    (run / "result.json").unlink()
    assert "epoch 5/5" not in done(tmp_path, "train", "--resume", "run")
    assert differences(run, chosen) == []
    assert what_came_out(run) == what_came_out(chosen)


def test_a_signal_in_mid_validation_costs_nothing(tmp_path: Path) -> None:
    slow = (*BEST, "--train-images", "600", "--validation-fraction", "0.95", "--epochs", "2", "--batch-size", "4")
    run = tmp_path / "run"
    started = forked(tmp_path, *slow, "--run", "run")
    while started.poll() is None and len(lines_of(run / "metrics.jsonl")) < 1:
        time.sleep(0.002)
    time.sleep(0.2)
    started.send_signal(signal.SIGTERM)
    assert end_of(started).code == 128 + signal.SIGTERM
    done(tmp_path, "train", "--resume", "run")
    done(tmp_path, *slow, "--run", "undisturbed")
    assert differences(run, tmp_path / "undisturbed") == []
    assert result_of(run)["test_top1_error"] == result_of(tmp_path / "undisturbed")["test_top1_error"]


def test_patience_ends_a_training_that_gets_no_better(tmp_path: Path) -> None:
    printed = done(tmp_path, *STUCK, "--run", "run")
    run = tmp_path / "run"
    assert "stopped after epoch 3: no validation error was lower in the 2 epochs since epoch 1 (--patience)" in printed
    errors = [record["validation_top1_error"] for record in metrics_of(run)]
    assert min(errors) == errors[0]
    assert (len(errors), result_of(run)["epochs_done"]) == (3, 3)
    status = status_of(RunFolder(run))
    assert (status.state, status.epoch, status.epochs, status.error_name) == ("done", 3, 5, "test_top1_error")
    assert status.ended_early == "3 of 5 epochs: --patience"
    assert done(tmp_path, "train", "--resume", "run").startswith("run is finished: there is nothing to resume")

    printed = done(tmp_path, "train", "--resume", "run", "--epochs", "9")
    assert "9 epochs instead of 5" in printed
    assert "stopped after epoch 5: no validation error was lower in the 2 epochs since epoch 3" in printed
    assert result_of(run)["earlier_plans"] == [{"epochs": 5, "done": 3}]
    assert (run / "result_005_epochs.json").is_file()


def test_a_run_is_trained_on_with_its_best_weights_in_mind(tmp_path: Path, chosen: Path) -> None:
    for name in ("run", "undisturbed"):
        copy_of(chosen, tmp_path / name)
    kill_after_epochs(6, METRICS, tmp_path, "train", "--resume", "run", "--epochs", "8")
    done(tmp_path, "train", "--resume", "run")
    done(tmp_path, "train", "--resume", "undisturbed", "--epochs", "8")
    assert differences(tmp_path / "run", tmp_path / "undisturbed") == []
    errors = [record["validation_top1_error"] for record in metrics_of(tmp_path / "run")]
    assert len(errors) == 8
    assert result_of(tmp_path / "run")["validation_top1_error"] == min(errors)


def test_each_of_several_seeds_has_its_own_best_epoch(tmp_path: Path, chosen: Path) -> None:
    done(tmp_path, *BEST, "--seeds", "2", "--run", "run")
    each = [result_of(tmp_path / "run" / f"seed-{seed}") for seed in (5, 6)]
    result = result_of(tmp_path / "run")
    assert differences(tmp_path / "run" / "seed-5", chosen) == []
    assert result["best_epochs"] == [one["best_epoch"] for one in each]
    assert "best_epoch" not in result
    assert result["validation_top1_error"] == sum(one["validation_top1_error"] for one in each) / 2


def test_processes_choose_and_stop_together(tmp_path: Path) -> None:
    ended, other = map(end_of, pair(tmp_path, *STUCK, "--run", "run"))
    assert (ended.code, ended.err, other.code, other.err) == (0, "", 0, "")
    assert ended.out.count("stopped after epoch ") == 1
    result = result_of(tmp_path / "run")
    assert f"top-1 error {result['test_top1_error']:.2f} % of 100 images" in done(tmp_path, "test", "run")


def test_a_training_begins_with_the_best_weights_of_another(tmp_path: Path, chosen: Path) -> None:
    done(tmp_path, *BEST, "--init", str(chosen), "--epochs", "1", "--learning-rate", "1e-9", "--run", "run")
    first = metrics_of(tmp_path / "run")[0]["validation_top1_error"]
    assert result_of(tmp_path / "run")["init"]["new"] == []
    assert abs(first - result_of(chosen)["validation_top1_error"]) <= 5  # but for BatchNorm's statistics of an epoch


def test_to_choose_takes_something_to_choose_by(tmp_path: Path) -> None:
    assert refused(tmp_path, *TRAIN, "--select", "best") == (
        "select is best, but there are no validation images to choose by: give validation_fraction, such as 0.15, or "
        "validation_set; or use select last"
    )
    assert refused(tmp_path, *VALIDATED, "--patience", "3").startswith("patience is 3, but select is last")
    wait = "patience is 2, but the error is measured every 3 epochs only (test_every): give patience 3 or more"
    assert refused(tmp_path, *BEST, "--patience", "2", "--test-every", "3") == wait
    wrong = "validation_fraction is 1, but it must be less than 1"
    assert refused(tmp_path, *BEST, "--validation-fraction", "1") == wrong


def test_a_search_leaves_validation_images_alone(tmp_path: Path) -> None:
    flags = "--epochs 1 --arch-frozen-epochs 0 --image-size 8 --channels 4 --k 2 --num-cells 3 --num-nodes 4"
    shared = ("--batch-size", "10", "--train-images", "60", "--validation-fraction", "0.5", "--run")
    printed = done(tmp_path, "search", *flags.split(), *shared, "searched")
    assert "15 weight and 15 arch images of fashion-mini" in printed
    flags = flags.replace("--arch-frozen-epochs 0 ", "").replace("--k 2 ", "") + " --candidates 2"
    printed = done(tmp_path, "random", "search", *flags.split(), *shared, "drawn")
    assert "15 weight and 15 arch images of fashion-mini" in printed


def test_averaged_weights_are_chosen_among_and_survive_a_kill(tmp_path: Path) -> None:
    averaged = (*BEST, "--ema", "0.9")
    kill_after_epochs(2, METRICS, tmp_path, *averaged, "--run", "run")
    done(tmp_path, "train", "--resume", "run")
    done(tmp_path, *averaged, "--run", "undisturbed")
    run = tmp_path / "run"
    assert differences(run, tmp_path / "undisturbed") == []
    result, state = result_of(run), checkpoint_of(run)
    assert f"top-1 error {result['test_top1_error']:.2f} % of 100 images" in done(tmp_path, "test", "run")
    name = next(path for path in state if path.startswith("/state/ema/") and path.endswith("classifier.weight"))
    best = state[name.replace("/ema/", "/best/weights/")]
    assert best.equal(state[name]) is (result["best_epoch"] == 5)
    assert not best.equal(state[name.replace("/ema/", "/network/")])


def test_a_training_that_only_helps_to_choose_measures_no_test_images(tmp_path: Path) -> None:
    printed = done(tmp_path, *BEST, "--no-test", "--epochs", "2", "--run", "run")
    result = result_of(tmp_path / "run")
    assert not [name for name in result if name.startswith("test_")]
    assert f"top-1 validation error {result['validation_top1_error']:.2f} % after epoch" in printed
    assert not (tmp_path / "run" / "mistakes.png").exists()


def test_a_training_without_any_measurement_is_refused(tmp_path: Path) -> None:
    assert "test is off, but there are no validation images" in refused(tmp_path, *TRAIN, "--no-test")


def test_the_last_epoch_for_which_there_is_time_is_measured(tmp_path: Path) -> None:
    done(tmp_path, *BEST, "--epochs", "500", "--test-every", "5", "--max-minutes", "0.0001", "--run", "run")
    (record,), result = metrics_of(tmp_path / "run"), result_of(tmp_path / "run")
    assert (result["best_epoch"], result["epochs_done"]) == (1, 1)
    assert result["validation_top1_error"] == record["validation_top1_error"]


def test_a_faster_machine_gives_a_training_more_epochs_as_if_they_had_been_planned_also_after_a_kill(
    tmp_path: Path, chosen: Path
) -> None:
    command = (*BEST, "--epochs", "2", "--max-minutes", "60", "--most-epochs", "5", "--run", "run")
    kill_after_epochs(1, METRICS, tmp_path, *command)
    run = RunFolder(tmp_path / "run")
    run.write_state("interrupted", epochs=5)  # as the next step does
    assert status_of(run).epochs == 5
    printed = done(tmp_path, "train", "--resume", "run")
    assert "5 epochs instead of 2: they have fitted into its 60 minutes on this machine (--max-minutes)" in printed
    assert metrics_of(run.path) == metrics_of(chosen)  # the first epoch has the same rate, however many follow
    ours, theirs = checkpoint_of(run.path), checkpoint_of(chosen)
    learnt = [path for path in theirs if path.startswith(("/state/network/", "/state/best/", "/state/optimizer/"))]
    assert len(learnt) > 100
    assert all(same(ours[path], theirs[path]) for path in learnt)
    assert run.read_result()["more_epochs"] == {"done": 5, "epochs": 2}
    assert run.read_result()["test_top1_error"] == result_of(chosen)["test_top1_error"]
    assert (status_of(run).epoch, status_of(run).epochs) == (5, 5)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--most-epochs 9", "most_epochs goes with max_minutes, the time that they may take: give that too, or drop"),
        ("--max-minutes 1 --most-epochs 4", "most_epochs is 4, but it must be at least epochs, which is 5"),
    ],
)
def test_a_number_of_epochs_that_is_none_to_end_with_is_refused(tmp_path: Path, flags: str, line: str) -> None:
    assert line in refused(tmp_path, *TRAIN, *flags.split())


def test_a_training_whose_minutes_are_over_ends_with_the_epochs_that_are_done(tmp_path: Path) -> None:
    printed = done(tmp_path, *TRAIN, "--epochs", "500", "--max-minutes", "0.0001", "--run", "run")
    assert "1 of 500 epochs" in printed
    result = result_of(tmp_path / "run")
    assert result["epochs_done"] == 1
    assert len(metrics_of(tmp_path / "run")) == 1
    assert "1 of 500 epochs: --max-minutes" in done(tmp_path, "status", "run")
    done(tmp_path, "export", "run")
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "The training ended early, after 1 of 500 epochs: --max-minutes." in card
    done(tmp_path, "report", "run")
    assert "1 of 500 epochs: --max-minutes" in (tmp_path / "run" / "report.html").read_text()
    assert "was given 0.0001 minutes" in refused(tmp_path, "train", "--resume", "run", "--epochs", "600")
