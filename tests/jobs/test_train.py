"""`pcdarts train`, from any way to name a genotype to the error of several seeds."""

import json
import math
import os
import statistics
from pathlib import Path

import pytest

import pcdarts
from command_line import GENOTYPE, RUN_FILES, checkpoint_of, copy_of, differences, done, metrics_of, refused, result_of
from pcdarts.cell.derive import random_genotype
from pcdarts.config.configs import TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.learn.by_class import ByClass, mean_by_class, read_by_class

SMALLEST = (
    "train",
    "--train-images",
    "20",
    "--image-size",
    "8",
    "--channels",
    "2",
    "--num-cells",
    "3",
    "--epochs",
    "1",
)


def trained_genotype(run: Path) -> pcdarts.Genotype:
    """The genotype of a finished training, which must be the one in its configuration."""
    genotype = pcdarts.Genotype.from_json((run / "genotype.json").read_text())
    assert resolve(TrainConfig, file=run / "config.yaml").genotype == genotype.to_text()
    return genotype


def read(run: Path) -> ByClass:
    details = read_by_class(result_of(run)["test_details"])
    assert details is not None
    return details


def test_a_cell_of_nas_bench_201_is_trained_and_tested_in_the_benchmarks_network(tmp_path: Path) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|"
    done(tmp_path, *SMALLEST, "--test-images", "20", "--genotype", cell, "--run", "run")
    assert trained_genotype(tmp_path / "run").to_text() == cell
    result = result_of(tmp_path / "run")
    assert result["genotype"] == cell
    assert f"error {result['test_top1_error']:.2f} %" in done(tmp_path, "test", "run")
    line = refused(tmp_path, *SMALLEST, "--num-cells", "4", "--genotype", cell)
    assert line.startswith(
        "num_cells is 4, but a network of NAS-Bench-201 has equally many cells in each of three stages"
    )


# What it leaves behind


def test_a_training_leaves_all_files_of_a_run_folder(finished_train: Path) -> None:
    assert {path.name for path in finished_train.iterdir()} == RUN_FILES | {"mistakes.png"}


def test_the_test_error_is_measured_now_and_then_and_reported_as_it_is_after_the_last_epoch(
    train_output: tuple[Path, str],
) -> None:
    run, printed = train_output
    error = result_of(run)["test_top1_error"]
    records = metrics_of(run)
    assert [record["epoch"] for record in records if "test_top1_error" in record] == [2, 4, 5]
    assert error == records[-1]["test_top1_error"]
    assert f"top-1 test error {error:.2f} % after the last epoch" in printed
    assert printed.endswith(f"next: pcdarts test {Path(*run.parts[-2:])}\n")


def test_the_result_holds_the_size_of_the_network(finished_train: Path) -> None:
    network = pcdarts.Network(trained_genotype(finished_train), channels=4, num_cells=3, image_channels=1)
    counted = pcdarts.complexity(network, (1, 8, 8))
    result = result_of(finished_train)
    assert (result["params"], result["mult_adds"]) == (counted.params, counted.mult_adds)


def test_the_error_is_that_of_as_many_test_images_as_were_asked_for_and_says_so(
    train_output: tuple[Path, str],
) -> None:
    run, printed = train_output
    assert printed.splitlines()[0].startswith(f"{Path(*run.parts[-2:])}: 40 training and 100 test images of ")
    result = result_of(run)
    assert result["test_images"] == 100
    assert result["test_top1_error"] == round(result["test_top1_error"])


def test_the_result_says_of_every_class_how_many_images_were_recognised(train_output: tuple[Path, str]) -> None:
    run, printed = train_output
    result, details = result_of(run), read(run)
    assert [(one.name, one.images) for one in details.per_class] == [(name, 10) for name in details.classes]
    recognised = sum(images for (label, prediction), images in details.counts.items() if label == prediction)
    assert details.images - recognised == result["test_top1_error"]  # of 100 images
    assert details.balanced_accuracy == pytest.approx(100 - result["test_top1_error"])  # of equal classes
    assert f"{details.summary()}; its surest mistakes: runs/train-fashion-mini-001/mistakes.png\n" in printed


def test_a_training_killed_between_its_last_epoch_and_its_result_has_the_same_result(
    tmp_path: Path, finished_train: Path
) -> None:
    run = copy_of(finished_train, tmp_path / "run")
    (run / "result.json").unlink()
    (run / "mistakes.png").unlink()
    done(tmp_path, "train", "--resume", "run")
    assert read(run) == read(finished_train)
    assert result_of(run)["test_top1_error"] == result_of(finished_train)["test_top1_error"]
    assert (run / "mistakes.png").read_bytes() == (finished_train / "mistakes.png").read_bytes()


# What it trains


def test_a_genotype_is_taken_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(GENOTYPE.to_json())
    (tmp_path / "printed.txt").write_text(f"2019-07-12 08:15:00 genotype = {GENOTYPE.to_text()}\n")
    meant = {
        "mine.json": GENOTYPE,
        "printed.txt": GENOTYPE,
        GENOTYPE.to_text(): GENOTYPE,
        "darts_v1": pcdarts.published("darts_v1"),
        "random:1": random_genotype(pcdarts.CellSpace(), seed=1),
    }
    for name in meant:
        done(tmp_path, *SMALLEST, "--genotype", name)
    runs = sorted((tmp_path / "runs").iterdir())
    assert [run.name for run in runs] == [f"train-fashion-mini-00{number}" for number in (1, 2, 3, 4, 5)]
    assert [trained_genotype(run) for run in runs] == list(meant.values())


def test_without_a_genotype_the_latest_search_is_trained(
    tmp_path: Path, finished_search: Path, finished_train: Path
) -> None:
    copy_of(finished_train, tmp_path / "runs" / "train-a-001")
    latest = copy_of(finished_search, tmp_path / "runs" / "named-by-its-user")
    earlier = copy_of(finished_search, tmp_path / "runs" / "search-b-001")
    (earlier / "genotype.json").write_text(GENOTYPE.to_json())
    for finished, time in ((earlier, 0), (latest, 1)):
        os.utime(finished / "result.json", (time, time))
    done(tmp_path, *SMALLEST, "--run", "run")
    assert trained_genotype(tmp_path / "run") == pcdarts.Genotype.from_json((latest / "genotype.json").read_text())
    assert trained_genotype(tmp_path / "run") != GENOTYPE


def test_without_any_search_it_says_what_to_do(tmp_path: Path) -> None:
    message = refused(tmp_path, *SMALLEST)
    assert message.startswith(
        "there is no finished search under runs/: run `pcdarts search` first, or name a run folder"
    )
    assert message.endswith(", for a training with --genotype")


# The same again, and several seeds


def test_the_configuration_of_a_finished_training_runs_it_again_to_the_last_bit(
    tmp_path: Path, finished_train: Path
) -> None:
    done(tmp_path, "train", "--config", str(finished_train / "config.yaml"), "--run", "run")
    assert differences(finished_train, tmp_path / "run") == []
    assert result_of(finished_train)["test_top1_error"] == result_of(tmp_path / "run")["test_top1_error"]


def test_a_recipe_yields_to_a_file_and_a_file_to_flags(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(GENOTYPE.to_json())
    (tmp_path / "my.yaml").write_text("recipe: cifar10\ndata: fashion-mini\ngenotype: mine.json\nbatch_size: 10\n")
    done(tmp_path, *SMALLEST, "--config", "my.yaml", "--run", "run")
    config = resolve(TrainConfig, file=tmp_path / "run" / "config.yaml")
    assert (config.recipe, config.drop_path) == ("cifar10", 0.3)
    assert config.batch_size == 10
    assert config.channels == 2


def test_several_seeds_give_mean_and_standard_deviation(two_seeds_output: tuple[Path, str]) -> None:
    run, printed = two_seeds_output
    errors = [result_of(run / f"seed-{seed}")["test_top1_error"] for seed in (0, 1)]
    result = result_of(run)
    assert result["test_top1_errors"] == errors
    assert result["test_top1_error"] == statistics.mean(errors)
    of_five = [result_of(run / f"seed-{seed}")["test_top5_error"] for seed in (0, 1)]
    assert result["test_top5_error"] == statistics.mean(of_five)
    assert math.isclose(result["test_top1_error_std"], abs(errors[0] - errors[1]) / math.sqrt(2))
    details = mean_by_class([read(run / f"seed-{seed}") for seed in (0, 1)])
    assert read(run) == details
    assert (details.seeds, sum(details.counts.values())) == (2, 200)
    mean_and_std = f"{result['test_top1_error']:.2f} ± {result['test_top1_error_std']:.2f} %"
    assert f"top-1 test error {mean_and_std} (mean ± std of 2 seeds)" in printed


def test_each_of_several_seeds_is_the_run_that_its_seed_alone_gives(
    tmp_path: Path, two_seeds: Path, finished_train: Path
) -> None:
    assert differences(two_seeds / "seed-0", finished_train) == []
    done(tmp_path, "train", "--config", str(two_seeds / "seed-1" / "config.yaml"), "--run", "run")
    assert differences(two_seeds / "seed-1", tmp_path / "run") == []
    of_both = [checkpoint_of(two_seeds / f"seed-{seed}")["/state/network/classifier.weight"] for seed in (0, 1)]
    assert not of_both[0].equal(of_both[1])


def test_a_run_with_several_seeds_has_a_genotype_and_drawings_of_its_own(two_seeds: Path) -> None:
    assert trained_genotype(two_seeds) == trained_genotype(two_seeds / "seed-0")
    assert json.loads((two_seeds / "env.json").read_text())["cores"] > 0
    assert (two_seeds / "cell_normal.svg").read_text().startswith("<svg")
