"""The imagenet recipes, shrunk by flags: images streamed from files, splits of each class, top-5."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import GENOTYPE, differences, done, kill_after_epochs, metrics_of, refused, result_of, run_in

SMALL = shlex.split("--recipe imagenet --data-root photographs --image-size 32 --channels 4 --num-cells 3 --workers 1")
SEARCH = ["search", *SMALL, *shlex.split("--num-nodes 4 --epochs 3 --arch-frozen-epochs 1 --batch-size 4")]
PARTS = shlex.split("--weight-fraction 0.4 --arch-fraction 0.3")
TRAIN = ["train", *SMALL, *shlex.split("--epochs 3 --lr-warmup-epochs 2 --batch-size 8 --no-auxiliary --genotype")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photographs`: seven classes of six training and two validation images, of many sizes."""
    place = tmp_path_factory.mktemp("photographs")
    numbers = np.random.default_rng(0)
    for which, count in (("train", 6), ("val", 2)):
        for label in range(7):
            folder = place / "photographs" / which / f"n{label:08d}"
            folder.mkdir(parents=True)
            for index in range(count):
                shape = (40 + 5 * index, 48 - 3 * label, 3) if index else (40, 40)
                pixels = numbers.integers(20 * label, 20 * label + 99, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.JPEG")
    return place


@pytest.fixture(scope="module")
def search(folder: Path) -> Path:
    """A search that was killed and resumed, and found the same as one that was not."""
    kill_after_epochs(1, Path("killed/metrics.jsonl"), folder, *SEARCH, *PARTS, "--run", "killed")
    done(folder, "search", "--resume", "killed", "--workers", "0")
    return folder / "killed"


def test_a_search_draws_its_splits_of_each_class_and_keeps_them(folder: Path, search: Path) -> None:
    split = json.loads((search / "split.json").read_text())
    assert (len(split["weight"]), len(split["arch"])) == (14, 14)
    assert {name.split("/")[1] for name in split["arch"]} == set(split["classes"])
    printed = done(folder, *SEARCH, *PARTS, "--run", "whole", "--split-file", "killed/split.json")
    assert "14 weight and 14 arch images of imagenet (7 classes, 32x32 colour)" in printed
    assert "top-5 error" in printed
    assert differences(folder / "whole", search) == []


def test_a_manifest_is_made_once_and_reused(folder: Path, search: Path) -> None:
    arguments = ["data", "split", "--data-root", "photographs", *PARTS, "--out", "split.json"]
    assert "14 weight and 14 arch images of 42 training images" in done(folder, *arguments)
    assert (folder / "split.json").read_text() == (search / "split.json").read_text()
    assert refused(folder, *arguments) == "split.json exists already: choose another --out"
    edited = (folder / "split.json").read_text().replace("/1.JPEG", "/9.JPEG")
    (folder / "edited.json").write_text(edited)
    line = refused(folder, *SEARCH, "--run", "other", "--split-file", "edited.json")
    assert line.startswith("'edited.json' was changed or damaged")


def test_a_training_streams_warms_up_and_reports_top_5(folder: Path) -> None:
    printed = done(folder, *TRAIN, GENOTYPE.to_text(), "--test-images", "7", "--run", "trained")
    rates = [record["learning_rate"] for record in metrics_of(folder / "trained")]
    assert rates == pytest.approx([0.25, 0.5, 0.5 / 3])
    result = result_of(folder / "trained")
    assert result["test_images"] == 7
    assert f"top-5 test error {result['test_top5_error']:.2f} % after the last epoch" in printed
    again = done(folder, "test", "trained", "--workers", "0")
    assert f"top-1 error {result['test_top1_error']:.2f} %, top-5 error {result['test_top5_error']:.2f} %" in again


def test_a_bad_photograph_stops_a_training_when_its_turn_comes_or_is_skipped_aloud(folder: Path) -> None:
    (folder / "photographs" / "train" / "n00000003" / "1.JPEG").write_bytes(b"")
    arguments = [*TRAIN, GENOTYPE.to_text(), "--epochs", "2"]
    stopped = run_in(folder, *arguments, "--run", "stopped")
    assert stopped.code == 1
    assert stopped.err.startswith("pcdarts: error: image 'photographs/train/n00000003/1.JPEG': ")
    resumed = run_in(folder, "train", "--resume", "stopped", "--on-bad-image", "skip")
    assert resumed.code == 0
    assert result_of(folder / "stopped")["skipped_images"] == 1
    ended = run_in(folder, *arguments, "--run", "skipped", "--on-bad-image", "skip")
    assert ended.code == 0
    assert "skipped 1 image that cannot be read: skipped/skipped_images.txt lists them" in ended.err
    assert "n00000003/1.JPEG" in (folder / "skipped" / "skipped_images.txt").read_text()
    assert result_of(folder / "skipped")["skipped_images"] == 1
