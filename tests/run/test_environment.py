"""The environment of a run: enough to understand its figures, and nothing about a person."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from pcdarts.errors import InputError
from pcdarts.run.environment import describe_environment


def test_versions_machine_and_start_are_recorded_as_plain_json() -> None:
    environment = json.loads(json.dumps(describe_environment("cpu", None)))
    assert torch.__version__.startswith(environment["torch"])
    assert environment["python"] == platform.python_version()
    assert environment["cores"] >= 1
    assert environment["device"].startswith("cpu")
    assert datetime.fromisoformat(environment["started"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        (["/usr/bin/pcdarts", "search", "--epochs", "2"], ["pcdarts", "search", "--epochs", "2"]),
        (["/lib/pcdarts/__main__.py", "search"], ["pcdarts", "search"]),
        (["/lib/ipykernel_launcher.py", "-f", "/home/me/kernel-1.json"], ["ipykernel_launcher.py"]),
        (["/home/me/mine.py", "--password", "secret"], ["mine.py"]),
        ([""], [""]),
    ],
)
def test_the_command_is_ours_or_the_name_of_the_program_that_calls_us(
    typed: list[str], recorded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", typed)
    assert describe_environment("cpu", None)["command"] == recorded


def test_the_threads_are_those_of_the_configuration() -> None:
    before = torch.get_num_threads()
    try:
        assert describe_environment("cpu", before + 1)["threads"] == before + 1
    finally:
        torch.set_num_threads(before)


def test_neither_the_host_nor_the_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pcdarts", "search"])
    described = {key: value for key, value in describe_environment("cpu", None).items() if key != "commit"}
    words = str(described).replace("'", " ").replace(",", " ").split()
    assert platform.node() not in words
    assert str(Path.home()) not in words


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(InputError, match="device is cuda:99, but this machine has"):
        describe_environment("cuda:99", None)
