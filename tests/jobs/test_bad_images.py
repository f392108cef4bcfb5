"""Images that cannot be read: they stop a job, or are left out, counted and listed."""

import shutil
from pathlib import Path

import pytest

from command_line import SEARCH, TRAIN, end_of, pair, refused, result_of, run_in, until_the_error

DATA = "--recipe", "fashion-mini", "--data", "folder", "--data-root", "images", "--epochs", "2"


@pytest.fixture
def folder_with_bad_images(tmp_path: Path, colour_images: Path) -> Path:
    """A folder that holds `images`, three classes of eight, of which one is empty and one cut short."""
    images = tmp_path / "images"
    shutil.copytree(colour_images, images)
    (images / "ant" / "0.png").write_bytes(b"")
    (images / "wasp" / "1.png").write_bytes((images / "wasp" / "1.png").read_bytes()[:-300])
    return tmp_path


@pytest.mark.parametrize("command", [[*SEARCH, "--arch-frozen-epochs", "1"], TRAIN], ids=["search", "train"])
def test_bad_images_stop_a_job_or_are_skipped_and_listed(folder_with_bad_images: Path, command: list[str]) -> None:
    line = refused(folder_with_bad_images, *command, *DATA)
    assert line.startswith("image 'images/ant/0.png' cannot be read (")
    assert line.endswith(": repair or remove it, or leave out all such images with --on-bad-image skip")

    ended = run_in(folder_with_bad_images, *command, *DATA, "--on-bad-image", "skip", "--run", "run")
    assert ended.code == 0
    assert "skipped 2 images that cannot be read: run/skipped_images.txt lists them" in ended.out + ended.err
    first, second = (folder_with_bad_images / "run" / "skipped_images.txt").read_text().splitlines()
    assert first.startswith("'images/ant/0.png': ")
    assert second.startswith("'images/wasp/1.png': ")


def sets_with_bad_images(folder: Path, mended: str) -> Path:
    """A training and a test set below `sets`, of which one has whole images in place of the bad ones."""
    sets = folder / "sets"
    for which in ("train", "test"):
        shutil.copytree(folder / "images", sets / which)
    for name in ("ant/0.png", "wasp/1.png"):
        shutil.copy(sets / "train" / "bee" / "1.png", sets / mended / name)
    return sets


def test_a_bad_image_of_the_arch_split_is_counted_though_only_the_last_error_is_measured_on_it(
    folder_with_bad_images: Path,
) -> None:
    sets = sets_with_bad_images(folder_with_bad_images, mended="test")
    for number in range(4):
        (sets / "train" / "bee" / f"{number}.png").write_bytes(b"")  # so many that the arch split has some
    flags = ["--arch-frozen-epochs", "2", "--on-bad-image", "skip", "--loading", "streaming", "--workers", "0"]
    command = [*SEARCH, *DATA, *flags, "--data-root", "sets", "--batch-size", "12", "--run", "run"]
    assert run_in(folder_with_bad_images, *command).code == 0
    listed = (folder_with_bad_images / "run" / "skipped_images.txt").read_text().splitlines()
    assert result_of(folder_with_bad_images / "run")["skipped_images"] == len(listed) == 6


def test_a_bad_test_image_is_counted_though_test_images_are_seen_once_at_the_end(
    folder_with_bad_images: Path,
) -> None:
    """In two processes, of which each reads a share of the images."""
    sets_with_bad_images(folder_with_bad_images, mended="train")
    flags = ["--on-bad-image", "skip", "--loading", "streaming", "--workers", "0", "--validation-fraction", "0.2"]
    command = [*TRAIN, *DATA, *flags, "--data-root", "sets", "--epochs", "1", "--run", "run"]
    first, other = map(end_of, pair(folder_with_bad_images, *command))
    assert (first.code, other.code) == (0, 0), first.err + other.err
    result = result_of(folder_with_bad_images / "run")
    assert (result["test_images"], result["skipped_images"]) == (22, 2)
    assert [one["images"] for one in result["test_details"]["per_class"]] == [7, 8, 7]
    assert "skipped 2 images that cannot be read: run/skipped_images.txt lists them" in first.out + first.err


def test_a_network_is_tested_without_bad_images_too(folder_with_bad_images: Path) -> None:
    skip = "--on-bad-image", "skip"
    assert run_in(folder_with_bad_images, *TRAIN, *DATA, *skip, "--run", "run").code == 0
    assert "cannot be read" in refused(folder_with_bad_images, "test", "run", "--on-bad-image", "stop")
    ended = run_in(folder_with_bad_images, "test", "run")  # as in the run
    assert (ended.code, ended.err) == (0, "")
    _, _, first, *listed, error = until_the_error(ended.out)  # classes and sets come before
    assert first == "skipped 2 of 24 images that cannot be read"
    assert len(listed) == 2
    assert error.startswith("run: top-1 error ")
