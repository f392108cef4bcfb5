"""What a study shows while it runs: on a terminal, and elsewhere."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pcdarts.run.lock import lock
from pcdarts.study import watch as watch_module
from pcdarts.study.grid import Cell, grid
from pcdarts.study.spec import StudySpec
from pcdarts.study.watch import Watch
from small_study import finish
from terminal import printing_on_a_terminal

Epochs = dict[str, Any]


@pytest.fixture(autouse=True)
def at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for its time."""
    for name in ("LOOK_SECONDS", "HEARTBEAT_SECONDS"):
        monkeypatch.setattr(watch_module, name, 0.0)
    monkeypatch.setattr(watch_module, "_SHARE", float("inf"))


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    methods = {"PC-DARTS": {}, "PC-DARTS without edge normalisation, as in DARTS": {}}
    return grid(StudySpec(methods=methods, seeds=2, search={"epochs": 50}, train={"epochs": 600}), tmp_path)


@contextmanager
def working(cell: Cell, job: str, **state: Any) -> Iterator[None]:
    """Inside, a run of the cell is worked on."""
    ((config, run),) = [(config, run) for config, run in cell.steps() if config.job == job]
    run.path.mkdir(parents=True)
    run.config.write_text(config.to_yaml())
    with lock(run):
        run.append_metrics({"epoch": 1, "arch_top1_error": 33.33, "test_top1_error": 12.34})
        run.write_state("running", **state)
        yield


def test_elsewhere_beginnings_are_told_once_and_a_heartbeat_says_where_all_stand(
    cells: list[Cell], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(cells[0])
    with Watch(cells) as watch, working(cells[1], "search", epoch=2, seconds_left=3900.0):
        watch.look()
        begins, counts, run = capsys.readouterr().out.splitlines()
        assert begins == f"{cells[1].name}: search begins"
        assert counts == "1 of 4 cells done, 1 running, 2 waiting; about 6 h 00 min left"
        assert run == f"  {cells[1].name} (search, epoch 2/50, error 33.33 %, 1 h 05 min left)"
        monkeypatch.setattr(watch_module, "HEARTBEAT_SECONDS", 1e9)
        watch.look(failed=1)
        capsys.readouterr()
        watch.look(failed=1)
        assert capsys.readouterr().out == ""


def test_what_began_and_ended_between_two_looks_is_told_before_its_end(
    cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    with working(cells[0], "search"):
        pass
    with Watch(cells) as watch:
        watch.tell_beginning(cells[0])
        assert capsys.readouterr().out == ""  # nobody works on what is there
        with working(cells[0], "train"):
            pass
        watch.tell_beginning(cells[0], has_ended=True)
        assert capsys.readouterr().out == "PC-DARTS, seed 0: search continues\nPC-DARTS, seed 0: train begins\n"


def test_a_terminal_shows_every_run_with_its_place_error_and_time(cells: list[Cell]) -> None:
    finish(cells[0])
    with printing_on_a_terminal(80) as terminal:
        with (
            Watch(cells) as watch,
            working(cells[1], "search", epoch=2, seconds_left=42.0),
            working(cells[2], "train", epoch=6, seconds_left=47_000.0),
        ):
            watch.look()
            shown = terminal.read().lines
            assert shown[1] == "1 of 4 cells done, 2 running, 1 waiting"
            assert shown[2].endswith("━ 3.0 h left")
            assert shown[3:] == [
                "search: PC-DARTS without e… in DARTS, seed 0",
                "  epoch 2/50  error 33.3 %  42 s left",
                "train: PC-DARTS, seed 1",
                "  epoch 6/600  error 12.3 %  13.1 h left",
            ]
            terminal.resize(30)
            watch.say("[2/4] a line that is longer than the terminal is wide")
            terminal.resize(60)
        assert [line for line in terminal.read().lines if line] == [
            "[2/4] a line that is longer than the terminal is wide"
        ]


def test_runs_that_find_no_room_on_a_terminal_are_counted(cells: list[Cell]) -> None:
    with printing_on_a_terminal(80, height=8) as terminal, Watch(cells) as watch, ExitStack() as runs:
        for cell in cells:
            runs.enter_context(working(cell, "search", epoch=1))
        watch.look()
        shown = terminal.read().lines
        assert [line.split(":")[0] for line in shown if not line.startswith("  ")][3:] == ["search", "and 3 more"]
