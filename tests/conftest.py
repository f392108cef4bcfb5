"""Settings of all tests (one thread for every process, no deadlines), and what many of them need."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from known_cells import write_table
from pcdarts.score.yardstick import make_yardstick

pytest_plugins = ["made_runs"]
settings.register_profile("pcdarts", deadline=None)
settings.load_profile("pcdarts")
torch.set_num_threads(1)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of the many processes compiles the package anew


@pytest.fixture(scope="session")
def fitted_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of cells of four nodes, with the folder `cache` beside it that holds its fitted regressor."""
    folder = tmp_path_factory.mktemp("known cells")
    table = write_table(folder / "cells.csv", nodes=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        make_yardstick(table, say=lambda remark: None)
    return table


@pytest.fixture
def known_table(fitted_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same table, for which nothing has to be fitted in this test and in the processes that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(fitted_table.with_name("cache")))
    return fitted_table
