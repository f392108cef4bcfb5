"""Tests that need a GPU, marked `gpu`: skipped without one, or rehearsed on the CPU with PCDARTS_GPU_TESTS_ON=cpu."""

import os
from collections.abc import Callable

import pytest
import torch

from on_a_gpu import ON, note, wanted_device

NO_GPU = f"needs a GPU, and there is none: {ON}=cpu rehearses what can be computed without"


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.gpu)
    # Shown, but no errors: drivers and libraries warn of cards and versions that nobody here has seen.
    item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if wanted_device() is None:
        pytest.skip(NO_GPU)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where to compute."""
    device = wanted_device()
    assert device is not None  # without one the tests are skipped
    # For processes that begin in another folder, where `src` would be nothing.
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(place) for place in places if place)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS begins
        weights = torch.ones(8, 8, device=device, requires_grad=True)
        (weights @ weights).sum().backward()  # so that the first test pays for no start
    return device


@pytest.fixture
def gpu(device: torch.device) -> torch.device:
    """The same for tests that a CPU cannot stand in for."""
    if device.type != "cuda":
        pytest.skip("says something about a GPU alone")
    return device


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Keeps a measured number."""
    return lambda name, value: note(record_property, name, value)
