"""Tracking sends what a run measured to others, and whatever they do with it, the run goes on."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pcdarts.errors import InputError
from pcdarts.run.display.tracking import Tracker, make_tracker
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

RECORD = {
    "epoch": 1,
    "weight_loss": 2.5,
    "skip_connects": 3,
    "arch_loss": None,
    "finished": True,
    "genotype": "x",
    "edge_weights": {"normal": [0.5, 0.5]},
}

WANDB = """
import json
from pathlib import Path

calls = Path(__file__).with_name("calls.jsonl")
fails_at = {fails_at!r}

def _note(event, /, **what):
    with calls.open("a") as file:
        file.write(json.dumps([event, what]) + "\\n")
    with calls.open() as file:
        if sum(json.loads(line)[0] == fails_at for line in file) == {times}:
            raise ConnectionError("no route\\nto the service")

def init(project, name, config, resume, id=None):
    _note("init", project=project, name=name, config=config, resume=resume, id=id)

def log(numbers, step):
    _note("log", numbers=numbers, step=step)

def finish():
    _note("finish")
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "runs" / "search-001")
    write_text(run.env, '{"started": "2026-01-01T00:00:00+00:00"}')
    return run


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`service("wandb", "log", 2)`: a module of that name whose second `log` fails; calls go to the file returned."""

    def make(name: str, fails_at: str = "", times: int = 1) -> Path:
        folder = tmp_path / "modules"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(WANDB.format(fails_at=fails_at, times=times))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return folder / "calls.jsonl"

    return make


def tracker_of(run: RunFolder, track: Any) -> Tracker:
    tracker = make_tracker(track, run, {"epochs": 3})
    assert tracker is not None
    return tracker


def track(run: RunFolder, name: str, epochs: range = range(1, 4)) -> None:
    """Track some epochs, as a job does."""
    tracker = tracker_of(run, name)
    for epoch in epochs:
        run.append_metrics(RECORD | {"epoch": epoch})
        tracker.log(RECORD | {"epoch": epoch})
    tracker.finish()
    tracker.finish()


def calls_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def scalars_in(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads there: step and value by tag."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = events.EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def test_by_default_nothing_is_tracked(run: RunFolder) -> None:
    assert make_tracker("none", run, {}) is None


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_package_is_refused_before_the_run_begins(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        InputError, match=rf"--track {name} needs the package {name} \(.*\): pip install {name}, or drop"
    ):
        make_tracker(name, run, {})


def test_tensorboard_reads_the_numbers_of_every_epoch_and_nothing_else(run: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    track(run, "tensorboard")
    expected = [(1, 2.5), (2, 2.5), (3, 2.5)]
    assert scalars_in(run.path / "tensorboard") == {
        "weight_loss": expected,
        "skip_connects": [(epoch, 3.0) for epoch, _ in expected],
    }


def test_a_resumed_run_supersedes_in_tensorboard_the_epochs_that_it_does_again(run: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    track(run, "tensorboard", range(1, 4))
    (events,) = (run.path / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-7])  # torn by a kill
    track(run, "tensorboard", range(2, 5))
    assert len(list((run.path / "tensorboard").iterdir())) == 2
    assert [step for step, _ in scalars_in(run.path / "tensorboard")["weight_loss"]] == [1, 2, 3, 4]


def test_a_service_gets_configuration_numbers_and_end(run: RunFolder, service: Callable[..., Path]) -> None:
    calls = service("trackio")
    track(run, "trackio", range(1, 3))
    numbers = {"weight_loss": 2.5, "skip_connects": 3}
    assert calls_in(calls) == [
        ["init", {"project": "pcdarts", "name": "search-001", "config": {"epochs": 3}, "resume": "never", "id": None}],
        ["log", {"numbers": numbers, "step": 1}],
        ["log", {"numbers": numbers, "step": 2}],
        ["finish", {}],
    ]


def test_a_resumed_run_goes_on_in_the_same_place(run: RunFolder, service: Callable[..., Path]) -> None:
    calls = service("wandb")
    track(run, "wandb", range(1, 2))
    track(run, "wandb", range(2, 3))
    first, second = (what for name, what in calls_in(calls) if name == "init")
    assert (first["resume"], second["resume"]) == ("never", "allow")
    assert first["id"] == second["id"]
    other = RunFolder.create(run.path.parent / "search-002")
    write_text(other.env, run.env.read_text())
    track(other, "wandb", range(1, 2))
    assert calls_in(calls)[-3][1]["id"] != first["id"]


def test_every_seed_has_a_place_of_its_own(run: RunFolder, service: Callable[..., Path]) -> None:
    calls = service("wandb")
    for seed in (0, 1):
        track(RunFolder.create(run.path / f"seed-{seed}"), "wandb", range(1, 2))
    first, second = (what for name, what in calls_in(calls) if name == "init")
    assert (first["name"], second["name"]) == ("search-001-seed-0", "search-001-seed-1")
    assert first["id"] != second["id"]


def test_a_job_that_is_refused_leaves_nothing_with_the_service(run: RunFolder, service: Callable[..., Path]) -> None:
    calls = service("wandb")
    tracker_of(run, "wandb").finish()
    assert not calls.exists()


@pytest.mark.parametrize(("fails_at", "times"), [("init", 1), ("log", 1), ("log", 3), ("finish", 1)])
def test_a_failing_service_is_warned_of_once_and_stops_nothing(
    run: RunFolder, service: Callable[..., Path], capsys: pytest.CaptureFixture[str], fails_at: str, times: int
) -> None:
    calls = service("wandb", fails_at, times)
    track(run, "wandb", range(1, 6))
    warning = "warning: tracking stopped: ConnectionError: no route to the service; the run goes on\n"
    assert capsys.readouterr().err == f"pcdarts: {warning}"
    assert run.log.read_text() == warning
    assert calls_in(calls)[-1][0] == fails_at  # nothing is tried after it


def test_a_disk_too_full_for_tensorboard_is_warned_of_once_and_stops_nothing(
    run: RunFolder, capsys: pytest.CaptureFixture[str], full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    pytest.importorskip("tensorboard")
    tracker = tracker_of(run, "tensorboard")
    tracker.log(RECORD)
    with full_disk(200):
        for epoch in range(2, 6):
            tracker.log(RECORD | {"epoch": epoch})
    tracker.finish()
    warning = "warning: tracking stopped: OSError: [Errno 27] File too large; the run goes on\n"
    assert capsys.readouterr().err == f"pcdarts: {warning}"
    assert run.log.read_text() == warning
    assert scalars_in(run.path / "tensorboard")["weight_loss"] == [(1, 2.5)]
