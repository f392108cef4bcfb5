"""Runs and tables that many tests look at, made once, and image folders.

They are made by the first of the workers of pytest-xdist that wants them; a test changes nothing but a copy of its own.
"""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from command_line import SEARCH, TRAIN, done, kill_after_epochs
from known_cells import write_table
from pcdarts.score.yardstick import make_yardstick

Factory = pytest.TempPathFactory
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
"""Makes the folder of a name by a function that fills it, unless another worker has done so, and returns it."""


@pytest.fixture(scope="session")
def once(tmp_path_factory: Factory) -> MadeOnce:
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # that of all workers

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = place / name, place / f"{name}.whole"
        with FileLock(place / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder

    return made


def printed_by(*command: str) -> Callable[[Path], object]:
    """Does a command in a folder, and leaves there in `printed.txt` what it printed."""
    return lambda folder: (folder / "printed.txt").write_text(done(folder, *command))


@pytest.fixture(scope="session")
def search_output(once: MadeOnce) -> tuple[Path, str]:
    """A finished search and what it printed; its run folder is below the folder that it was started in."""
    folder = once("search", printed_by(*SEARCH))
    return folder / "runs" / "search-fashion-mini-001", (folder / "printed.txt").read_text()


@pytest.fixture(scope="session")
def finished_search(search_output: tuple[Path, str]) -> Path:
    return search_output[0]


@pytest.fixture(scope="session")
def killed_search(once: MadeOnce) -> Path:
    """The same search, killed in its fourth epoch."""
    killed = partial(kill_after_epochs, 3, Path("run/metrics.jsonl"))
    return once("killed-search", lambda folder: killed(folder, *SEARCH, "--run", "run")) / "run"


@pytest.fixture(scope="session")
def train_output(once: MadeOnce) -> tuple[Path, str]:
    """A finished training and what it printed."""
    folder = once("train", printed_by(*TRAIN))
    return folder / "runs" / "train-fashion-mini-001", (folder / "printed.txt").read_text()


@pytest.fixture(scope="session")
def finished_train(train_output: tuple[Path, str]) -> Path:
    return train_output[0]


@pytest.fixture(scope="session")
def two_seeds_output(once: MadeOnce) -> tuple[Path, str]:
    """A finished training with two seeds and what it printed."""
    folder = once("two-seeds", printed_by(*TRAIN, "--seeds", "2", "--run", "run"))
    return folder / "run", (folder / "printed.txt").read_text()


@pytest.fixture(scope="session")
def two_seeds(two_seeds_output: tuple[Path, str]) -> Path:
    return two_seeds_output[0]


@pytest.fixture(scope="session")
def killed_two_seeds(once: MadeOnce) -> Path:
    """The same training, killed in the third epoch of the second seed."""
    killed = partial(kill_after_epochs, 2, Path("run/seed-1/metrics.jsonl"))
    return once("killed-two-seeds", lambda folder: killed(folder, *TRAIN, "--seeds", "2", "--run", "run")) / "run"


@pytest.fixture(scope="session")
def fitted_table(once: MadeOnce) -> Path:
    """A table of cells of four nodes, with the folder `cache` beside it that holds its fitted regressor."""

    def make(folder: Path) -> None:
        table = write_table(folder / "cells.csv", nodes=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            make_yardstick(table, say=lambda remark: None)

    return once("known cells", make) / "cells.csv"


@pytest.fixture
def known_table(fitted_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same table, for which nothing has to be fitted in this test and in the processes that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(fitted_table.with_name("cache")))
    return fitted_table


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
