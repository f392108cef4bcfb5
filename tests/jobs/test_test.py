"""`pcdarts test`: the error of a trained run again, and on other data."""

import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from command_line import copy_of, done, refused, result_of, snapshot, until_the_error
from pcdarts.data.sources import load_data
from pcdarts.learn.by_class import read_by_class


def save_test_images(folder: Path) -> None:
    """Save the test images of the embedded data as an image folder."""
    data = load_data("fashion-mini", image_size=8)
    class_folders = [folder / "test" / name.replace("/", "_") for name in data.classes]
    for class_folder in class_folders:
        class_folder.mkdir(parents=True)
    for index, label in enumerate(data.test.labels.tolist()):
        Image.fromarray(data.test.pixels[index, 0].numpy()).save(class_folders[label] / f"{index:04d}.png")
    shutil.copytree(folder / "test", folder / "train")


def error_line(folder: Path, *arguments: str) -> str:
    return until_the_error(done(folder, *arguments))[-1]


def measured(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What `--json` prints, and nothing else."""
    found: list[dict[str, Any]] = json.loads(done(folder, "test", *arguments, "--json"))
    return found


def test_a_run_has_the_error_that_it_reported(tmp_path: Path, finished_train: Path) -> None:
    reported = result_of(finished_train)["test_top1_error"]
    details = read_by_class(result_of(finished_train)["test_details"])
    assert details is not None
    assert done(tmp_path, "test", str(finished_train)).splitlines() == [
        "10 classes: T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag and Ankle boot",
        "40 of 6,000 training images are used (--train-images 40)",
        "100 of 1,000 test images are used (--test-images 100)",
        f"{finished_train}: top-1 error {reported:.2f} % of 100 images (the test set of fashion-mini; 1,000 in all)",
        *details.lines(),
    ]


def test_a_measurement_changes_nothing(tmp_path: Path, finished_train: Path) -> None:
    run = copy_of(finished_train, tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    done(tmp_path, "test", "run")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path != run} == times


def test_every_seed_has_the_error_that_it_reported(tmp_path: Path, two_seeds: Path) -> None:
    result = result_of(two_seeds)
    lines = done(tmp_path, "test", str(two_seeds)).splitlines()
    for seed, line in zip((0, 1), lines[3:], strict=False):
        assert line.startswith(f"{two_seeds}/seed-{seed}: top-1 error {result['test_top1_errors'][seed]:.2f} % of 100")
    mean, std = result["test_top1_error"], result["test_top1_error_std"]
    details = read_by_class(result["test_details"])
    assert details is not None
    assert lines[5:] == [f"top-1 error {mean:.2f} ± {std:.2f} % (mean ± std of 2 seeds)", *details.lines()]


def test_the_same_images_in_a_folder_give_the_same_error(tmp_path: Path, finished_train: Path) -> None:
    save_test_images(tmp_path / "images")
    all_of_its_own = error_line(tmp_path, "test", str(finished_train), "--test-images", "1000")
    of_those_of_the_run = error_line(tmp_path, "test", str(finished_train))  # 100
    assert all_of_its_own.partition(" of ")[0] != of_those_of_the_run.partition(" of ")[0]
    line = error_line(tmp_path, "test", str(finished_train), "--data", "folder", "--data-root", "images")
    assert line == all_of_its_own.replace("the test set of fashion-mini", "the test set 'test'")


def test_data_with_other_classes_is_refused(tmp_path: Path, finished_train: Path, grey_images: Path) -> None:
    message = refused(tmp_path, "test", str(finished_train), "--data", "folder", "--data-root", str(grey_images))
    assert "differ in 13 classes (Ankle boot, Bag, Coat, Dress, Pullover, ...)" in message


def test_images_with_other_channels_are_refused(tmp_path: Path, finished_train: Path, colour_images: Path) -> None:
    message = refused(tmp_path, "test", str(finished_train), "--data", "folder", "--data-root", str(colour_images))
    assert f"folder has images of 3 channels, but {finished_train} was trained on 1" in message


def test_a_training_that_is_not_finished_is_refused(tmp_path: Path, finished_train: Path, two_seeds: Path) -> None:
    for finished in (finished_train, two_seeds):
        run = copy_of(finished, tmp_path / finished.name)
        (run / "result.json").unlink()
        assert refused(tmp_path, "test", run.name).startswith(f"{run.name} is not finished: finish it with --resume")


def test_a_search_cannot_be_tested(tmp_path: Path, finished_search: Path) -> None:
    run = copy_of(finished_search, tmp_path / "run")
    assert "configures the job search, not train" in refused(tmp_path, "test", "run")
    (run / "result.json").unlink()
    assert "configures the job search, not train" in refused(tmp_path, "test", "run")


# What it is bad at


def test_as_json_it_says_of_every_seed_what_its_result_says_and_which_images_were_mistaken(
    tmp_path: Path, two_seeds: Path
) -> None:
    for seed, found in enumerate(measured(tmp_path, str(two_seeds))):
        result = result_of(two_seeds / f"seed-{seed}")
        assert found["run"] == str(two_seeds / f"seed-{seed}")
        assert found["top1_error"] == result["test_top1_error"]
        assert found["top5_error"] == result["test_top5_error"]
        assert {name: found[name] for name in result["test_details"]} == result["test_details"]
        probabilities = [mistake["probability"] for mistake in found["mistakes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == min(25, round(found["top1_error"]))  # of 100 images
        assert all(mistake["class"] != mistake["prediction"] for mistake in found["mistakes"])


def test_mistakes_are_named_by_their_files_and_drawn_where_it_is_asked_for(
    tmp_path: Path, finished_train: Path
) -> None:
    save_test_images(tmp_path / "images")
    there = ("--data", "folder", "--data-root", "images")
    (found,) = measured(tmp_path, str(finished_train), *there)
    for mistake in found["mistakes"]:
        assert (tmp_path / mistake["image"]).is_file()
        assert Path(mistake["image"]).parts[-3:-1] == ("test", mistake["class"].replace("/", "_"))
    before = snapshot(finished_train)
    printed = done(tmp_path, "test", str(finished_train), *there, "--mistakes", "sheet.png")
    assert printed.endswith("sheet.png: the 25 surest mistakes\n")
    assert snapshot(finished_train) == before
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 128


def test_data_without_some_of_the_classes_is_measured_and_they_are_named(tmp_path: Path, finished_train: Path) -> None:
    save_test_images(tmp_path / "images")
    for which in ("train", "test"):
        for name in ("Bag", "T-shirt_top"):
            shutil.rmtree(tmp_path / "images" / which / name)
    printed = done(tmp_path, "test", str(finished_train), "--data", "folder", "--data-root", "images")
    assert "% of 800 images (" in printed
    assert "2 classes have no test image and are left out: T-shirt/top, Bag\n" in printed


def test_a_sheet_replaces_no_file_and_is_a_png(tmp_path: Path, finished_train: Path) -> None:
    (tmp_path / "mine.png").write_text("mine")
    assert refused(tmp_path, "test", str(finished_train), "--mistakes", "mine.png") == (
        "mine.png is there already, and nothing is overwritten: choose another --mistakes"
    )
    assert "mistakes is sheet.jpg, but it must be a file called .png" in refused(
        tmp_path, "test", str(finished_train), "--mistakes", "sheet.jpg"
    )
