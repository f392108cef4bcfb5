"""Search, training and test on the user's own images, of any size and in colour or grey."""

import shlex
from pathlib import Path

import pytest

from command_line import done, metrics_of, result_of

TINY_NETWORK = ("--channels", "2", "--num-cells", "3", "--epochs", "1")
TINY_SEARCH = ("search", *TINY_NETWORK, "--k", "2", "--num-nodes", "4", "--arch-frozen-epochs", "0")


@pytest.mark.parametrize("images", ["colour_images", "grey_images"])
def test_a_folder_of_images_goes_all_the_way(tmp_path: Path, images: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(images)
    printed = done(tmp_path, *TINY_SEARCH, "--data", "folder", "--data-root", str(root), "--image-size", "17")
    search = tmp_path / "runs" / "search-fashion-mini-001"
    assert result_of(search)["evaluation_network"]["num_classes"] == 3
    assert result_of(search)["evaluation_network"]["image_size"] == 17
    assert metrics_of(search)[-1]["arch_loss"] > 0

    next_command = shlex.split(printed.splitlines()[-1].removeprefix("next: "))
    printed = done(tmp_path, *next_command[1:], *TINY_NETWORK)
    error = result_of(tmp_path / "runs" / "train-fashion-mini-001")["test_top1_error"]

    next_command = shlex.split(printed.splitlines()[-1].removeprefix("next: "))
    printed = done(tmp_path, *next_command[1:])
    assert printed == f"runs/train-fashion-mini-001: top-1 error {error:.2f} %\n"


def test_a_folder_that_has_moved_is_named_again(tmp_path: Path, colour_images: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(colour_images)
    arguments = ["--genotype", "random:1", "--data", "folder", "--data-root", "elsewhere", "--image-size", "9"]
    done(tmp_path, "train", *arguments, *TINY_NETWORK, "--run", "run")
    elsewhere.unlink()
    error = result_of(tmp_path / "run")["test_top1_error"]
    assert done(tmp_path, "test", "run", "--data-root", str(colour_images)) == f"run: top-1 error {error:.2f} %\n"
