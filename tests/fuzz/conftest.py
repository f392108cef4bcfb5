"""Tiny runs, made once, whose files the tests damage."""

import shutil
from pathlib import Path

import pytest

from command_line import SEARCH, TRAIN, done

SHORT = ("--epochs", "2", "--run", "run")


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of two epochs."""
    folder = tmp_path_factory.mktemp("searched")
    done(folder, *SEARCH, *SHORT, "--arch-frozen-epochs", "1")
    return folder / "run"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    done(folder, *TRAIN, *SHORT)
    return folder / "run"


@pytest.fixture(scope="session")
def unfinished(searched: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both as a kill leaves them that comes just before the result is written, by job."""
    folder = tmp_path_factory.mktemp("unfinished")
    runs = {"search": searched, "train": trained}
    for job, run in runs.items():
        shutil.copytree(run, folder / job)
        (folder / job / "result.json").unlink()
    return {job: folder / job for job in runs}
