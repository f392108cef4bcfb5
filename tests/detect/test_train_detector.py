"""`pcdarts detect train` and `pcdarts detect test`, on a few images made here."""

import json
import shlex
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from authors_layout import AuthorsNetwork, with_random_statistics
from coco_set import box, write_set
from command_line import (
    GENOTYPE,
    RUN_FILES,
    checkpoint_of,
    copy_of,
    differences,
    done,
    end_of,
    forked,
    lines_of,
    metrics_of,
    pair,
    refused,
    result_of,
    run_in,
)
from pcdarts.cell.zoo import published
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.recipes import RECIPES, recipe
from pcdarts.detect.by_class import read_precisions
from pcdarts.jobs.status import status_of
from pcdarts.run.run_folder import RunFolder

pytest.importorskip("pycocotools")

DETECT = shlex.split(
    "detect train --data-root ../coco --train-sets learn --test-set look --image-size 64 --channels 4 --num-cells 3 "
    "--head-channels 4 --batch-size 4 --epochs 4 --test-every 2 --learning-rate 0.02 --lr-warmup-epochs 0 --workers 0 "
    f"--genotype {shlex.quote(GENOTYPE.to_text())}"
)
FIGURES = ["AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L"]


def rectangles(count: int, seed: int, size: tuple[int, int]) -> list[list[dict[str, Any]]]:
    """The objects of so many images: nothing in the first one, a square in each of the others."""
    numbers = np.random.default_rng(seed)
    objects: list[list[dict[str, Any]]] = [[]]
    for _ in range(count - 1):
        side = int(numbers.integers(10, 55))
        left, top = (int(numbers.integers(0, length - side)) for length in size)
        objects.append([box(int(numbers.choice([2, 7, 90])), left, top, side, side)])
    return objects


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to start jobs in, with the data set beside it."""
    folder = tmp_path_factory.mktemp("detect")
    write_set(folder / "coco", "learn", rectangles(9, 0, (96, 64)), size=(96, 64))
    looked_at = rectangles(5, 1, (60, 80))
    write_set(folder / "coco", "look", looked_at, size=(60, 80), first_id=100)
    write_set(folder / "coco", "look-dev", looked_at, size=(60, 80), first_id=100, kind="image_info", folder="look")
    (folder / "here").mkdir()
    return folder / "here"


@pytest.fixture(scope="module")
def output(place: Path) -> tuple[Path, str]:
    """A finished run and what it printed."""
    printed = done(place, *DETECT)
    return place / "runs" / "detect-train-coco-001", printed


@pytest.fixture(scope="module")
def finished(output: tuple[Path, str]) -> Path:
    return output[0]


def test_a_detector_is_trained_and_measured_and_leaves_a_run_folder(output: tuple[Path, str]) -> None:
    run, printed = output
    assert {path.name for path in run.iterdir()} == RUN_FILES
    records = metrics_of(run)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["epoch"] for record in records if "AP" in record] == [2, 4]
    assert records[-1]["train_class_loss"] < records[0]["train_class_loss"]
    for record in records:
        assert record["train_loss"] == pytest.approx(record["train_box_loss"] + record["train_class_loss"])
    result = result_of(run)
    assert {name: result[name] for name in FIGURES} == {name: records[-1][name] for name in FIGURES}
    assert 0 <= result["AP"] <= result["AP50"] <= 100
    assert result["AP_L"] is None  # nothing is that large
    by_class = read_precisions(result["test_details"])
    assert by_class is not None
    assert sum(one.objects for one in by_class.per_class) == 4
    assert fmean(one.ap or 0 for one in by_class.known) == pytest.approx(result["AP"])
    assert result["mult_adds"] == sum(result["mult_adds_of_parts"].values())
    first, *_, last, next_line = printed.splitlines()
    assert "9 images of learn to learn from, 5 of look to test on, on cpu" in first
    assert last.startswith(f"average precision {result['AP']:.2f} % (AP50 {result['AP50']:.2f} %) after the last epoch")
    assert next_line == "next: pcdarts detect test runs/detect-train-coco-001"


def test_a_detector_killed_between_its_last_epoch_and_its_result_has_the_same_result(
    place: Path, finished: Path
) -> None:
    run = copy_of(finished, place / "killed-late")
    (run / "result.json").unlink()
    done(place, "detect", "train", "--resume", "killed-late")
    assert result_of(run)["test_details"] == result_of(finished)["test_details"]
    assert result_of(run)["AP"] == result_of(finished)["AP"]


def test_the_page_of_a_detector_lists_the_precision_of_every_class(finished: Path, tmp_path: Path) -> None:
    by_class = read_precisions(result_of(finished)["test_details"])
    assert by_class is not None
    done(tmp_path, "report", str(finished), "--out", "page")
    for text in ((tmp_path / "page" / name).read_text("utf-8") for name in ("report.html", "report.md")):
        assert "bad at" in text
        assert "AP is COCO's average precision" in text.replace("&#39;", "'")
        assert all(cell in text for row in by_class.table() for cell in row)
    run = copy_of(finished, tmp_path / "old")
    result = {name: value for name, value in result_of(run).items() if name != "test_details"}
    (run / "result.json").write_text(json.dumps(result))
    done(tmp_path, "report", "old")
    assert "bad at" not in (run / "report.html").read_text("utf-8")


def test_status_shows_the_average_precision_of_a_detector(finished: Path) -> None:
    status = status_of(RunFolder(finished))
    assert (status.job, status.state, status.epoch, status.epochs) == ("detect train", "done", 4, 4)
    assert status.average_precision == result_of(finished)["AP"]
    assert status.error is None


def test_measured_again_the_precision_is_the_same_and_detections_are_written_and_drawn(
    place: Path, finished: Path
) -> None:
    printed = done(
        place, "detect", "test", str(finished), "--workers", "0", "--submission", "found.json", "--draw", "found.png"
    )
    assert f"on 5 images of look: AP {result_of(finished)['AP']:.2f} %" in printed
    by_class = read_precisions(result_of(finished)["test_details"])
    assert by_class is not None
    assert printed.splitlines()[-len(by_class.table()) :] == list(by_class.lines())[-len(by_class.table()) :]
    found = json.loads((place / "found.json").read_text())
    assert {one["category_id"] for one in found} <= {2, 7, 90}
    assert {one["image_id"] for one in found} <= set(range(100, 105))
    assert all(0 < one["score"] <= 1 and len(one["bbox"]) == 4 for one in found)
    with Image.open(place / "found.png") as sheet:
        assert sheet.format == "PNG"


def test_a_set_without_annotations_gives_a_submission_and_no_precision(place: Path, finished: Path) -> None:
    command = ["detect", "test", str(finished), "--test-set", "look-dev", "--workers", "0"]
    assert refused(place, *command) == (
        "look-dev has no annotations to measure against: give --submission FILE, or --draw FILE"
    )
    printed = done(place, *command, "--submission", "dev.json")
    assert printed == "3 classes: green, red and blue\ndev.json: the detections in 5 images of look-dev\n"
    assert json.loads((place / "dev.json").read_text())


def test_the_only_training_set_as_the_test_set_measures_on_the_images_learnt_from(place: Path) -> None:
    printed = done(place, *DETECT, "--test-set", "learn", "--train-images", "6", "--epochs", "1", "--run", "memory")
    assert "6 images of learn to learn from, 6 of learn to test on" in printed


def test_held_out_images_are_the_test_images(place: Path) -> None:
    flags = ["--test-set", "none", "--held-out", "3", "--epochs", "1", "--no-augment", "--run", "held-out"]
    printed = done(place, *DETECT, *flags)
    assert "6 images of learn to learn from, 3 of learn (held out) to test on" in printed
    assert "on 3 images of learn (held out): AP " in done(place, "detect", "test", "held-out", "--workers", "0")


@pytest.fixture(scope="module")
def export(place: Path) -> Path:
    """A data set as Roboflow exports it: the JSON beside the images, whose ids begin with 0 in each set.

    One box is outside of its image, one category has boxes in the test set alone, one image cannot be read.
    """
    root = place.parent / "export"
    thin, beyond = box(2, 10, 5, 0.5, 10), box(2, 70, 5, 20, 10)
    red = box(7, 10, 5, 30, 20)
    write_set(root, "train", [[red, thin], [red, beyond], *[[red, box(2, 0, 30, 5, 5)]] * 4], first_id=0)
    write_set(root, "valid", [[box(7, 5, 5, 25, 20)], [box(90, 20, 5, 30, 20)], [red]], first_id=0)
    (root / "valid" / "0002.png").write_bytes(b"nothing")
    for name in ("train", "valid"):
        (root / "annotations" / f"instances_{name}.json").rename(root / name / "_annotations.coco.json")
    return root


ABOUT_TRAIN = (
    "'train': 1 of 12 boxes outside of their image: left out",
    "'train': 1 of 12 boxes with less than a pixel in their image: left out",
)


def test_what_is_odd_about_the_data_is_said_on_screen_and_in_the_log(place: Path, export: Path) -> None:
    flags = shlex.split("--data-root ../export --train-sets train --test-set valid --epochs 1 --on-bad-image skip")
    ended = run_in(place, *DETECT, *flags, "--run", "export")
    assert ended.code == 0, ended.err
    notes = [
        "3 classes: green, red and blue",
        *ABOUT_TRAIN,
        "1 of the 2 categories with boxes in 'train' has none in 'valid' (not measured): 'green' (4)",
        "1 of the 2 categories with boxes in 'valid' has none in 'train' (not learnt, but measured as COCO's tools "
        "do: 0 %): 'blue' (1)",
    ]
    first, *said = ended.out.splitlines()
    assert "6 images of train to learn from, 3 of valid to test on" in first
    assert said[: len(notes)] == notes
    log = (place / "export" / "log.txt").read_text()
    assert all(note in log for note in notes)

    flags = ["--data-root", "../export", "--draw", "export.png", "--workers", "0"]
    printed = done(place, "detect", "test", "export", *flags)
    assert printed.count("skipped: ") == 1
    assert "export.png: what was found in 2 images" in printed
    assert "export on 2 images of valid: AP " in printed
    assert "AP L unknown" in printed  # there is no object so large
    assert result_of(place / "export")["skipped_images"] == 1
    (export / "valid" / "0002.png").rename(export / "valid" / "moved.png")
    image = export / "valid" / "0001.png"
    good = image.read_bytes()
    try:
        image.write_bytes(b"nothing")  # and so nothing of blue is left
        printed = done(place, "detect", "test", "export", *flags[:2], "--workers", "0")
        assert printed.count("skipped: ") == 2
        assert "export on 1 images of valid: AP " in printed
    finally:
        image.write_bytes(good)
    printed = done(place, "detect", "test", "export", "--test-set", "train", "--workers", "0")
    about = ABOUT_TRAIN[0].replace("left out", "measured as they are, so that no detection matches")
    assert printed.splitlines()[1].startswith(about)
    assert "warning: the run export was trained on images of 'train', so the measured precision is too high" in printed


def test_a_run_of_a_version_without_stock_networks_is_tested_and_trained_on(place: Path, finished: Path) -> None:
    run = copy_of(finished, place / "older")
    lines = (run / "config.yaml").read_text().splitlines(keepends=True)
    older = [line for line in lines if not line.startswith(("backbone:", "pretrained:", "pretrained_file:"))]
    assert len(older) == len(lines) - 3
    (run / "config.yaml").write_text("".join(older))
    assert f"AP {result_of(finished)['AP']:.2f} %" in done(place, "detect", "test", "older", "--workers", "0")
    done(place, "detect", "train", "--resume", "older", "--epochs", "5")


# Beginning with a classifier


def test_a_detector_is_trained_on(place: Path, finished: Path) -> None:
    run = copy_of(finished, place / "trained-on")
    assert "6 epochs instead of 4: " in done(place, "detect", "train", "--resume", "trained-on", "--epochs", "6")
    assert [record["epoch"] for record in metrics_of(run)] == [1, 2, 3, 4, 5, 6]
    assert result_of(run)["earlier_plans"] == [{"epochs": 4, "done": 4}]


@pytest.fixture(scope="module")
def classifier(place: Path) -> Path:
    """A classifier of colour images with the stem for ImageNet."""
    for name in ("ant", "bee"):
        (place / "insects" / name).mkdir(parents=True)
        for index in range(6):
            pixels = np.random.default_rng(index).integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "insects" / name / f"{index}.png")
    done(
        place,
        *shlex.split("train --data folder --data-root insects --image-size 40 --kind imagenet --channels 4"),
        *shlex.split("--num-cells 3 --epochs 1 --batch-size 4 --run classifier --genotype darts_v1"),
    )
    return place / "classifier"


def test_a_detector_begins_with_the_cells_and_statistics_of_a_classifier(place: Path, classifier: Path) -> None:
    flags = ["--classifier", "classifier", "--channels", "8", "--learning-rate", "1e-30", "--epochs", "1"]
    done(place, *DETECT, *flags, "--run", "on-classifier")
    learnt, before = checkpoint_of(place / "on-classifier"), checkpoint_of(classifier)
    for name in ("stem.eighth.1.weight", "cells.2.preprocess1.1.weight"):
        ours_, theirs = learnt[f"/state/detector/backbone.network.{name}"], before[f"/state/network/{name}"]
        assert (ours_ - theirs).abs().max() < 1e-6
    assert [learnt[f"/state/mean/{channel}"] for channel in range(3)] == [
        before[f"/state/mean/{channel}"] for channel in range(3)
    ]
    config = yaml.safe_load((place / "on-classifier" / "config.yaml").read_text())
    assert (config["channels"], config["num_cells"]) == (4, 3)
    assert config["classifier"] == str(classifier)
    assert config["genotype"] == published("darts_v1").to_text()


def test_a_detector_begins_with_weights_of_the_authors_scripts(place: Path) -> None:
    sizes = {"kind": "imagenet", "channels": 6, "num_cells": 4, "num_classes": 10, "auxiliary": True}
    state = with_random_statistics(AuthorsNetwork(published("pc_darts_imagenet"), **sizes)).state_dict()
    torch.save({"state_dict": {f"module.{name}": x for name, x in state.items()}}, place / "model_best.pth.tar")
    flags = ["--classifier", "model_best.pth.tar", "--learning-rate", "1e-30", "--epochs", "1", "--run", "on-file"]
    printed = done(place, *DETECT, *flags, "--genotype", "PC_DARTS_image")
    assert "model_best.pth.tar: 4 cells of 6 channels, imagenet stem" in printed
    learnt = checkpoint_of(place / "on-file")
    difference = learnt["/state/detector/backbone.network.stem.eighth.1.weight"] - state["stem1.1.weight"]
    assert difference.abs().max() < 1e-6
    config = yaml.safe_load((place / "on-file" / "config.yaml").read_text())
    assert (config["channels"], config["num_cells"]) == (6, 4)
    assert config["genotype"] == published("pc_darts_imagenet").to_text()
    message = refused(place, *DETECT, "--classifier", "model_best.pth.tar", "--run", "never")
    assert "of the published cells, pc_darts_imagenet would fit" in message


def test_a_detector_goes_on_without_the_classifier_that_it_began_with(place: Path, classifier: Path) -> None:
    done(place, *DETECT, "--classifier", "classifier", "--epochs", "1", "--run", "begun")
    result = result_of(place / "begun")
    (place / "begun" / "result.json").unlink()
    classifier.rename(place / "moved")
    try:
        done(place, "detect", "train", "--resume", "begun")
    finally:
        (place / "moved").rename(classifier)
    assert result_of(place / "begun")["AP"] == result["AP"]


def test_a_run_that_is_no_classifier_for_detection_is_refused(
    place: Path, finished: Path, finished_train: Path, two_seeds: Path
) -> None:
    def refusal(classifier: Path) -> str:
        return refused(place, *DETECT, "--classifier", str(classifier), "--run", "never")

    assert "config.yaml configures the job detect train, not train" in refusal(finished)
    assert refusal(finished_train) == (
        f"the classifier {finished_train} has a cifar stem, but a detector reads maps of strides 8, 16 and 32: "
        "train one with --kind imagenet"
    )
    assert refusal(two_seeds) == f"the classifier {two_seeds} is a run of 2 seeds: name one, such as {two_seeds}/seed-0"
    assert refusal(place / "nowhere") == f"{place}/nowhere is not a run folder: it does not exist"


# Interrupted and shared


def test_an_interrupted_training_says_how_to_go_on_and_ends_as_if_it_had_never_been(
    tmp_path: Path, place: Path, finished: Path
) -> None:
    copy_of(place.parent / "coco", tmp_path / "coco")
    here = tmp_path / "here"
    here.mkdir()
    started = forked(here, *DETECT, "--run", "run")
    while started.poll() is None and len(lines_of(here / "run" / "metrics.jsonl")) < 2:
        time.sleep(0.002)
    started.terminate()
    ended = end_of(started)
    assert ended.code == 143, ended
    assert ended.err.endswith(", and saved; continue with `pcdarts detect train --resume run`\n")
    assert ", from epoch " in done(here, "detect", "train", "--resume", "run").splitlines()[0]
    assert differences(here / "run", finished) == []


def test_two_processes_learn_and_find_what_one_does(place: Path) -> None:
    flags = [*DETECT, "--synchronize-batch-norm", "--epochs", "2", "--no-augment"]
    ended, other = map(end_of, pair(place, *flags, "--run", "together"))
    assert (ended.code, ended.err, other.code, other.out) == (0, "", 0, "")
    assert ended.out.count("epoch 2/2") == 1
    done(place, *flags, "--run", "alone")
    together, alone = metrics_of(place / "together"), metrics_of(place / "alone")
    for name in ("train_box_loss", "train_class_loss"):
        assert together[0][name] == pytest.approx(alone[0][name], rel=1e-3)  # rounding leads apart later
    assert together[-1].keys() == alone[-1].keys()


# What is refused


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--image-size 40", "image_size is 40, but it must be at least 64"),
        ("--num-cells 2", "num_cells is 2, but it must be at least 3"),
        ("--held-out 3", "held_out is 3 and test_set look, but they exclude each other: drop one"),
        ("--test-set none", "held_out is 0 and test_set none, but something must be tested on: give one of them"),
        ("--train-sets learn learn", "train_sets must name one set or more, each once, such as train2017"),
        ("--lr-warmup-epochs 5", "lr_warmup_epochs is 5, but it must be at most epochs (4)"),
        (
            "--batch-size 1",
            "the batches of the train images would be single images (9 in all, batch_size 1), but ",
        ),
        ("--data-root nowhere", "check --data-root"),
        ("--train-sets train --test-set valid", "whose sets are 'learn', 'look' and 'look-dev': name them with"),
        ("--test-set look-dev", "the objects in 'look-dev' are unknown, or there are none: use another set"),
        ("--genotype darts_v9", "darts_v1"),
        ("--channels 5", "an even number of channels"),
    ],
)
def test_a_job_that_cannot_be_done_is_refused_in_one_line(place: Path, flags: str, message: str) -> None:
    assert message in refused(place, *DETECT, *shlex.split(flags), "--run", "never")
    assert not (place / "never").exists()


def test_without_a_data_root_nothing_can_be_learnt(place: Path) -> None:
    assert refused(place, "detect", "train", "--run", "never") == (
        "data_root is not given, but a detector needs images with boxes: name a folder in COCO's layout"
    )


def test_without_pycocotools_the_job_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.delitem(sys.modules, "pycocotools.cocoeval", raising=False)
    assert refused(place, *DETECT, "--run", "never").endswith("pip install 'pcdarts[detection]'")


def test_a_detector_is_not_tested_on_other_categories(tmp_path: Path, place: Path, finished: Path) -> None:
    copy_of(place.parent / "coco", tmp_path / "coco")
    file = tmp_path / "coco" / "annotations" / "instances_look.json"
    file.with_name("instances_learn.json").unlink()  # nobody needs it to test
    command = ["detect", "test", str(finished), "--data-root", str(tmp_path / "coco"), "--workers", "0"]
    for old, new in (("red", "pink"), ("green", "lime"), ("blue", "navy")):
        file.write_text(file.read_text().replace(f'"{old}"', f'"{new}"'))
        if new == "pink":  # one of three is another
            assert "with boxes in 'look' is unknown to the run" in done(place, *command)
    assert "('lime', 'pink' and 'navy') and of the run" in refused(place, *command)


def test_a_run_of_another_job_or_an_unfinished_one_is_not_tested(place: Path, finished: Path, classifier: Path) -> None:
    copy_of(finished, place / "half")
    (place / "half" / "result.json").unlink()
    assert refused(place, "detect", "test", "half").startswith("half is not finished")
    assert "not detect train" in refused(place, "detect", "test", str(classifier))


def test_a_foreign_checkpoint_is_refused(place: Path, finished: Path) -> None:
    copy_of(finished, place / "foreign")
    (place / "foreign" / "checkpoint.pt").write_bytes(b"PK\x03\x04")
    assert "foreign/checkpoint.pt is truncated or damaged" in refused(place, "detect", "test", "foreign")


@pytest.mark.parametrize("name", RECIPES["detect train"])
def test_every_recipe_has_its_name_and_a_line_about_it(name: str) -> None:
    assert recipe(DetectTrainConfig, name).recipe == name
    assert RECIPES["detect train"][name].__doc__


def test_detect_has_help_for_itself_and_for_both_of_its_verbs(tmp_path: Path) -> None:
    assert done(tmp_path, "detect", "--help").count("pcdarts detect ") == 2
    assert "--train-sets" in done(tmp_path, "detect", "train", "--help")
    assert "--submission" in done(tmp_path, "detect", "test", "--help")
    assert run_in(tmp_path, "detect").code == 2
    assert refused(tmp_path, "detect", "tran").startswith("there is no command detect tran: did you mean 'train'?")
