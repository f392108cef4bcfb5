"""Trainings that do something about imbalanced or small data: their bits, their weights, and what they say."""

import shlex
from pathlib import Path

import pytest
import torch

import pcdarts
from command_line import (
    TRAIN,
    checkpoint_of,
    copy_of,
    differences,
    done,
    end_of,
    kill_after_epochs,
    metrics_of,
    pair,
    refused,
    result_of,
    run_in,
)

EVERYTHING = [*TRAIN, "--class-weights", "balanced", "--randaugment", "9", "--mixup", "0.2", "--cutmix", "1",
              "--label-smoothing", "0.1", "--ema", "0.8"]  # fmt: skip


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("everything")
    return folder / "run", done(folder, *EVERYTHING, "--run", "run")


def test_a_killed_training_with_everything_ends_as_if_it_had_never_been(
    tmp_path: Path, with_everything: tuple[Path, str]
) -> None:
    kill_after_epochs(2, Path("run/metrics.jsonl"), tmp_path, *EVERYTHING, "--run", "run")
    done(tmp_path, "train", "--resume", "run")
    assert differences(tmp_path / "run", with_everything[0]) == []


def test_the_averaged_weights_are_what_is_measured_tested_and_exported(
    tmp_path: Path, with_everything: tuple[Path, str]
) -> None:
    run = copy_of(with_everything[0], tmp_path / "run")
    error = result_of(run)["test_top1_error"]
    assert f"top-1 error {error:.2f} %" in done(tmp_path, "test", "run")
    done(tmp_path, "export", "run")
    exported = pcdarts.load_network(run / "export").state_dict()
    saved = checkpoint_of(run)
    assert all(torch.equal(weight, saved[f"/state/ema/{name}"]) for name, weight in exported.items())
    assert not torch.equal(exported["classifier.weight"], saved["/state/network/classifier.weight"])
    printed = done(tmp_path, *TRAIN, "--init", "run", "--epochs", "1", "--learning-rate", "1e-30", "--run", "more")
    assert "begins with the weights of" in printed
    begun = checkpoint_of(tmp_path / "more")["/state/network/classifier.weight"]
    torch.testing.assert_close(begun, exported["classifier.weight"])


def test_what_a_validation_set_selects_is_averaged_too(tmp_path: Path) -> None:
    chosen = ["--validation-fraction", "0.25", "--select", "best", "--epochs", "1"]
    done(tmp_path, *EVERYTHING, *chosen, "--run", "run")
    saved = checkpoint_of(tmp_path / "run")
    best = {path: weight for path, weight in saved.items() if path.startswith("/state/best/weights/")}
    assert all(torch.equal(weight, saved[path.replace("best/weights", "ema")]) for path, weight in best.items())
    assert not torch.equal(best["/state/best/weights/classifier.weight"], saved["/state/network/classifier.weight"])


def test_a_training_says_what_the_settings_mean_for_its_figures(with_everything: tuple[Path, str]) -> None:
    printed = with_everything[1].splitlines()
    assert "every class has 4 training images: class weights change hardly anything" in printed
    assert "an average of the weights over the steps (decay 0.8) is measured and kept" in printed
    mixed = "training loss and error are those of mixed images: of the two classes in one, each counts by its share"
    assert mixed in printed


def test_without_any_of_it_nothing_more_is_kept(finished_train: Path) -> None:
    assert not any(path.startswith("/state/ema") for path in checkpoint_of(finished_train))


def test_two_processes_agree_on_the_averaged_weights(tmp_path: Path) -> None:
    flags = [*EVERYTHING, "--epochs", "2", "--run", "run"]
    first, second = (end_of(process) for process in pair(tmp_path, *flags))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    done(tmp_path, *flags[:-1], "alone")
    together, alone = metrics_of(tmp_path / "run"), metrics_of(tmp_path / "alone")
    assert together[0]["train_loss"] == pytest.approx(alone[0]["train_loss"], rel=0.2)  # they mix within their shares
    assert f"top-1 error {result_of(tmp_path / 'run')['test_top1_error']:.2f} %" in done(tmp_path, "test", "run")


def test_a_search_with_balanced_sampling_says_so(tmp_path: Path, colour_images: Path) -> None:
    data = ["--data", "folder", "--data-root", str(colour_images), "--image-size", "8", "--sampling", "balanced"]
    sizes = shlex.split(
        "--channels 4 --k 2 --num-cells 3 --num-nodes 4 --batch-size 8 --epochs 1 --arch-frozen-epochs 0"
    )
    printed = done(tmp_path, "search", *data, *sizes)  # a sixth of the images is kept for validation
    assert "every class has 5 training images: balanced sampling changes hardly anything" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class-weights", "balanced", "--sampling", "balanced"], "drop one"),
        (["--randaugment", "31"], "randaugment is 31, but it must be at most 30"),
        (["--mixup", "0.001"], "mixup is 0.001, but it must be 0 (off) or at least 0.01"),
        (["--cutmix", "-1"], "cutmix is -1, but it must be at least 0"),
        (["--ema", "1"], "ema is 1, but it must be less than 1"),
        (["--class-weights", "on"], "class_weights is on, but it must be none or balanced"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, flags: list[str], message: str) -> None:
    assert message in refused(tmp_path, *TRAIN, *flags)


def test_search_has_none_of_what_only_trainings_need(tmp_path: Path) -> None:
    assert run_in(tmp_path, "search", "--ema", "0.9").code == 2
