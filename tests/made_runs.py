"""Runs that many tests look at, made once, and image folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import SEARCH, TRAIN, done, kill_after_epochs

Factory = pytest.TempPathFactory


@pytest.fixture(scope="session")
def search_output(tmp_path_factory: Factory) -> tuple[Path, str]:
    """A finished search and what it printed; its run folder is below the folder that it was started in."""
    folder = tmp_path_factory.mktemp("search")
    return folder / "runs" / "search-fashion-mini-001", done(folder, *SEARCH)


@pytest.fixture(scope="session")
def finished_search(search_output: tuple[Path, str]) -> Path:
    return search_output[0]


@pytest.fixture(scope="session")
def killed_search(tmp_path_factory: Factory) -> Path:
    """The same search, killed in its fourth epoch."""
    folder = tmp_path_factory.mktemp("killed-search")
    kill_after_epochs(3, Path("run/metrics.jsonl"), folder, *SEARCH, "--run", "run")
    return folder / "run"


@pytest.fixture(scope="session")
def train_output(tmp_path_factory: Factory) -> tuple[Path, str]:
    """A finished training and what it printed."""
    folder = tmp_path_factory.mktemp("train")
    return folder / "runs" / "train-fashion-mini-001", done(folder, *TRAIN)


@pytest.fixture(scope="session")
def finished_train(train_output: tuple[Path, str]) -> Path:
    return train_output[0]


@pytest.fixture(scope="session")
def two_seeds_output(tmp_path_factory: Factory) -> tuple[Path, str]:
    """A finished training with two seeds and what it printed."""
    folder = tmp_path_factory.mktemp("two-seeds")
    return folder / "run", done(folder, *TRAIN, "--seeds", "2", "--run", "run")


@pytest.fixture(scope="session")
def two_seeds(two_seeds_output: tuple[Path, str]) -> Path:
    return two_seeds_output[0]


@pytest.fixture(scope="session")
def killed_two_seeds(tmp_path_factory: Factory) -> Path:
    """The same training, killed in the third epoch of the second seed."""
    folder = tmp_path_factory.mktemp("killed-two-seeds")
    kill_after_epochs(2, Path("run/seed-1/metrics.jsonl"), folder, *TRAIN, "--seeds", "2", "--run", "run")
    return folder / "run"


@pytest.fixture(scope="session")
def colour_images(tmp_path_factory: Factory) -> Path:
    """An image folder of three classes, whose name has a space: colour images of all sizes from 9 x 9 to 33 x 31."""
    folder = tmp_path_factory.mktemp("my images")
    save_images(folder, channels=3)
    return folder


@pytest.fixture(scope="session")
def grey_images(tmp_path_factory: Factory) -> Path:
    """The same in shades of grey."""
    folder = tmp_path_factory.mktemp("grey")
    save_images(folder, channels=1)
    return folder


def save_images(folder: Path, channels: int) -> None:
    """Save eight noisy images for each of three classes, which differ in brightness."""
    numbers = np.random.default_rng(0)
    for brightness, class_name in zip((60, 120, 180), ("ant", "bee", "wasp"), strict=True):
        (folder / class_name).mkdir()
        for index in range(8):
            height, width = [(9, 9), (33, 31), (17, 17), (20, 11)][index % 4]
            pixels = numbers.integers(brightness - 40, brightness + 40, (height, width, channels), dtype=np.uint8)
            Image.fromarray(pixels.squeeze()).save(folder / class_name / f"{index}.png")
