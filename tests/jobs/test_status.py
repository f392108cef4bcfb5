"""`pcdarts status`: what runs of every kind are doing, from whatever files there are."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pcdarts.config.configs import StatusConfig
from pcdarts.errors import InputError
from pcdarts.jobs.status import run_status, status_of
from pcdarts.run.lock import lock
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

Make = Callable[..., RunFolder]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`make("search-001", epochs=50)`: a run in runs/ that has begun; the working directory is above it."""
    monkeypatch.chdir(tmp_path)

    def begin(name: str, job: str = "search", epochs: int = 50, seeds: int | None = None) -> RunFolder:
        run = RunFolder.create(Path("runs") / name)
        several = "" if seeds is None else f"seeds: {seeds}\n"
        write_text(run.config, f"job: {job}\nrecipe: null\nepochs: {epochs}\nseed: 4\n{several}cutout: 16\n")
        return run

    return begin


@pytest.fixture
def working() -> Iterator[Callable[[RunFolder], None]]:
    """`working(run)`: from now on a job works on it."""
    with ExitStack() as jobs:
        yield lambda run: jobs.enter_context(lock(run))


def shown_rows(capsys: pytest.CaptureFixture[str], *runs: RunFolder) -> list[list[str]]:
    """The table by lines and cells, without its heading."""
    run_status(StatusConfig(runs=tuple(run.path for run in runs)))
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["run", "job", "state", "epoch", "top-1", "error", "or", "AP", "time", "left", "updated"]
    return [[cell.strip() for cell in line.split("  ") if cell] for line in lines]


def searched(run: RunFolder, *records: dict[str, Any]) -> RunFolder:
    for epoch, record in enumerate(records, 1):
        run.append_metrics({"epoch": epoch, "seconds": 90.0 * epoch, **record})
    return run


def test_a_running_search_shows_its_place_its_error_and_the_time_left(
    make: Make, working: Callable[[RunFolder], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run = searched(make("search-001"), {"weight_top1_error": 80.0, "arch_top1_error": 75.5})
    working(run)
    run.write_state("running", epoch=2, epochs=50, step=3, steps=97, seconds_left=3900.2)
    (row,) = shown_rows(capsys, run)
    assert row[:6] == ["runs/search-001", "search", "running", "2/50", "75.50 % (arch)", "1 h 05 min"]
    assert row[6].endswith(" s ago")


def test_the_time_left_of_a_search_in_stages_counts_their_epochs_and_cells(make: Make) -> None:
    run = searched(make("search-001", epochs=2), {}, {})  # 90 seconds each
    shared = {"epochs": 2, "arch_frozen_epochs": 1, "k": 4}
    run.write_json(run.stages, [{**shared, "num_cells": 5}, {**shared, "num_cells": 10}])
    status = status_of(run)
    assert (status.epoch, status.epochs, status.seconds_left) == (2, 4, 2 * 180.0)
    write_text(run.stages, '[{"epochs": "many"}]')
    assert status_of(run).epochs == 2


def test_candidates_of_a_method_are_no_epochs_but_those_of_a_random_search_are(make: Make) -> None:
    for job, epochs in (("search", 50), ("random search", 350)):
        run = make(job.replace(" ", "-"), job=job)
        run.config.write_text(run.config.read_text() + "candidates: 7\n")
        assert status_of(run).epochs == epochs


def test_while_alpha_is_frozen_the_error_is_that_of_the_weight_split(make: Make) -> None:
    status = status_of(searched(make("search-001"), {"weight_top1_error": 80.0}, {"weight_top1_error": 70.0}))
    assert (status.error_name, status.error) == ("weight_top1_error", 70.0)


def test_the_error_of_a_training_is_the_newest_on_the_test_images(make: Make) -> None:
    records = [{"train_top1_error": 9.0, "test_top1_error": 30.0}, {"train_top1_error": 8.0}]
    assert status_of(searched(make("train-001", "train"), *records)).error == 30.0


KILLED = """
import os, signal, sys
from pathlib import Path
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.lock import lock
run = RunFolder(Path(sys.argv[1]))
with lock(run):
    run.write_state("running", epoch=2, epochs=50, seconds_left=1.0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_is_interrupted_and_its_time_left_is_that_of_the_epochs_that_are_missing(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = searched(make("search-001"), {"weight_top1_error": 80.0}, {"weight_top1_error": 70.0})
    subprocess.run([sys.executable, "-c", KILLED, str(run.path)], check=False)
    assert run.read_state()["state"] == "running"
    (row,) = shown_rows(capsys, run)
    assert row[2:6] == ["interrupted", "2/50", "70.00 % (weight)", "1 h 12 min"]


def test_a_run_of_another_machine_whose_lock_is_not_held_is_interrupted(make: Make) -> None:
    run = make("search-001")
    write_text(run.state, json.dumps({"state": "running", "host": "another", "pid": os.getpid(), "epoch": 7}))
    status = status_of(run)
    assert (status.state, status.epoch) == ("interrupted", 7)


def test_a_failed_run_shows_its_message(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make("search-001")
    run.write_state("running", epoch=3, epochs=50)
    message = f"cannot save {run.checkpoint}: No space left on device (nothing saved before is lost); {'x' * 100}"
    run.write_state("failed", message=message)
    row, (told,) = shown_rows(capsys, run)
    assert row[2:4] == ["failed", "3/50"]
    assert told == message


def test_a_finished_run_shows_the_error_of_its_result(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = searched(make("search-001", epochs=1), {"arch_top1_error": 50.0})
    run.write_state("failed", epoch=1, message="an earlier attempt")
    run.finish({"arch_top1_error": 48.0})
    ((*row, _),) = shown_rows(capsys, run)
    assert row == ["runs/search-001", "search", "done", "1/1", "48.00 % (arch)", "-"]


def test_a_run_that_has_only_begun_is_shown(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    ((*row, _),) = shown_rows(capsys, make("search-001"))
    assert row == ["runs/search-001", "search", "interrupted", "0/50", "-", "-"]


def test_a_training_of_several_seeds_shows_the_seed_at_work(
    make: Make, working: Callable[[RunFolder], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("train-001", "train", epochs=10, seeds=3)
    working(run)
    first, second = (RunFolder.create(run.path / f"seed-{seed}") for seed in (4, 5))
    for one in (first, second):
        write_text(one.config, "job: train\nepochs: 10\nseeds: 1\n")
    searched(first, *[{"test_top1_error": 9.0}] * 10).finish({"test_top1_error": 9.0})
    searched(second, *[{"test_top1_error": 20.0 - epoch} for epoch in range(4)])
    second.write_state("running", epoch=5, epochs=10, seconds_left=500.0)
    ((*row, _),) = shown_rows(capsys, run)
    assert row[2:] == ["running", "seed 2 of 3, epoch 5/10", "17.00 % (test)", "23 min 20 s"]  # 500 s and 10 x 90 s
    assert status_of(second).state == "running"
    for one in (second, RunFolder.create(run.path / "seed-6")):
        searched(one, *[{"test_top1_error": 8.0}] * 10)
        one.finish({"test_top1_error": 8.0})
    run.finish({"test_top1_error": 8.5})
    ((*row, _),) = shown_rows(capsys, run)
    assert row[2:] == ["done", "10/10", "8.50 % (test)", "-"]


def test_a_hostile_name_is_shown_escaped(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = shown_rows(capsys, make("\x1b[2Jsearch"))
    assert row[0] == r"'runs/\x1b[2Jsearch'"


def test_without_names_all_runs_are_shown_and_without_runs_that_is_said(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run_status(StatusConfig())
    assert capsys.readouterr().out == "there are no runs in runs/: `pcdarts search` makes one\n"
    for name in ("train-001", "search-002", "search-001"):
        make(name)
    (Path("runs") / "notes").mkdir()
    names = [row[0] for row in shown_rows(capsys)]
    assert names == ["runs/search-001", "runs/search-002", "runs/train-001"]


def test_what_is_no_run_is_said_after_the_others_are_shown(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make("search-001")
    with pytest.raises(InputError) as refusal:
        run_status(StatusConfig(runs=(Path("nowhere"), run.path, Path("runs"))))
    assert str(refusal.value).split("\n") == [
        "nowhere is not a run folder: it does not exist",
        "  runs is not a run folder: it has no config.yaml",
    ]
    assert "runs/search-001" in capsys.readouterr().out


def test_programs_get_a_list_of_objects(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = searched(make("search-001"), {"arch_top1_error": 50.0})
    run_status(StatusConfig(runs=(run.path,), json=True))
    (told,) = json.loads(capsys.readouterr().out)
    assert told.pop("updated").endswith("+00:00")
    assert told == {
        "run": "runs/search-001",
        "job": "search",
        "phase": None,
        "state": "interrupted",
        "seed": None,
        "seeds": 1,
        "epoch": 1,
        "epochs": 50,
        "error": 50.0,
        "error_name": "arch_top1_error",
        "average_precision": None,
        "seconds_left": 4410.0,
        "message": None,
        "kernels": None,
        "latency_ms": None,
        "ended_early": None,
    }


DAMAGE = [
    b"",
    b"\xff\xfe\x00",
    b"[1, 2]",
    b"[" * 100_000,
    b'{"epoch": -1, "epochs": "x", "seconds_left": NaN, "state": ["failed"], "message": {"a": 1}}',
    b'{"epoch": 1e999, "seconds": -5, "arch_top1_error": 1e999, "state": "failed", "message": null}',
    b'{"epoch": 1' + b"0" * 3000 + b', "seconds": 1' + b"0" * 400 + b', "seconds_left": 1' + b"0" * 400 + b"}",
    b'{"epoch": true, "arch_top1_error": "50", "state": "failed", "message": "\\u001b[2J\\n\\u0007"}',
    b'{"epoch": 0, "seconds": 10}',
]


@pytest.mark.parametrize("content", DAMAGE)
@pytest.mark.parametrize("name", ["state.json", "metrics.jsonl", "result.json", "config.yaml", "seed-4/state.json"])
def test_damaged_and_hostile_files_are_as_if_they_were_not_there(
    make: Make, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    run = make("search-001", seeds=2 if "seed" in name else None)
    (run.path / "seed-4").mkdir()
    (run.path / name).write_bytes(content)
    for as_json in (False, True):
        run_status(StatusConfig(runs=(run.path,), json=as_json))
        printed = capsys.readouterr().out
        assert "runs/search-001" in printed
        assert all(line.isprintable() for line in printed.splitlines())


def test_things_that_are_not_files_are_passed_by(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make("search-001")
    for path in (run.metrics, run.state, run.lock_file):
        os.mkfifo(path)  # reading it would wait for ever
    run.log.mkdir()
    (row,) = shown_rows(capsys, run)
    assert row[2:4] == ["interrupted", "0/50"]


def test_looking_changes_nothing(make: Make) -> None:
    run = searched(make("search-001"), {"arch_top1_error": 50.0})
    before = {path: path.stat().st_mtime_ns for path in (run.path, *run.path.iterdir())}
    status_of(run)
    assert {path: path.stat().st_mtime_ns for path in (run.path, *run.path.iterdir())} == before


def test_looking_needs_neither_torch_nor_rich() -> None:
    script = "import sys, pcdarts.jobs.status; print({'torch', 'rich', 'yaml', 'filelock'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert printed == "set()\n"
