"""Settings of all tests: one thread for every process, no deadlines, neighbours together."""

import gc
import os
from typing import Any

import pytest
import torch
from hypothesis import settings

pytest_plugins = ["made_runs"]
settings.register_profile("pcdarts", deadline=None)
settings.load_profile("pcdarts")
torch.set_num_threads(1)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of the many processes compiles the package anew


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n` alone, neighbours stay together in one worker, so that what a file's tests share is made once."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_collection_finish() -> None:
    """What was imported stays: or every search for garbage looks at all of PyTorch."""
    gc.collect()
    gc.freeze()
