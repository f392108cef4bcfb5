"""`pcdarts study run` with real processes: to the end, again, killed, with workers killed, with failures."""

import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from command_line import end_of, error_line, run_in, snapshot
from pcdarts.run.run_folder import RunFolder
from pcdarts.study.worker import Task, work
from small_study import DESCRIPTION, HERE, dask, figures, finished, runs_below, study, wait_until

SEARCH = Path("studies/small/runs/pc-darts/seed-0/search")
TRAIN = SEARCH.with_name("train")
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


def begun(folder: Path) -> bool:
    """Whether the search is past its first epoch."""
    return (folder / SEARCH / "metrics.jsonl").exists() and not (folder / SEARCH / "result.json").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as nobody disturbed it."""
    folder = tmp_path_factory.mktemp("whole")
    ended = finished(folder, *HERE)
    assert (ended.code, ended.err) == (0, "")
    (folder / "printed.txt").write_text(ended.out)
    return folder


def test_every_cell_is_a_search_and_a_training_with_folders_of_their_own(whole):
    found = figures(whole)
    assert sorted(found) == [str(SEARCH), str(TRAIN)]
    assert found[str(SEARCH)][1] == found[str(TRAIN)][1]
    printed = (whole / "printed.txt").read_text()
    assert "studies/small: 1 cell of the grid, 0 done" in printed
    told = [line.split(": ") for line in printed.splitlines() if "PC-DARTS, seed 0: " in line]
    assert [(who, what) for who, what, *_ in told[:2]] == [
        ("PC-DARTS, seed 0", "search begins"),
        ("PC-DARTS, seed 0", "train begins"),
    ]
    assert told[2][0] == "[1/1] PC-DARTS, seed 0"
    assert "report: pcdarts report studies/small" in printed


def test_a_second_time_nothing_is_done_and_the_table_is_printed_again(whole):
    before = snapshot(whole / "studies")
    ended = run_in(whole, "study", "run", "small.yaml")
    assert (ended.code, ended.err) == (0, "")
    assert "1 cell of the grid, 1 done" in ended.out
    assert "to do" not in ended.out
    assert ended.out.split("\n\n")[1] == (whole / "printed.txt").read_text().split("\n\n")[1]
    assert snapshot(whole / "studies") == before


def test_a_study_that_is_interrupted_loses_its_worker_and_is_killed_goes_on_to_the_same_table(whole, tmp_path):
    job = study(tmp_path)
    wait_until(lambda: begun(tmp_path))
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does: all of them get it
    ended = end_of(job)
    assert ended.code == 130
    assert ended.err == "pcdarts: interrupted by SIGINT; the same command continues\n"
    assert not (tmp_path / "studies/small/stop").exists()
    assert json.loads((tmp_path / SEARCH / "state.json").read_text())["state"] == "interrupted"
    assert "1 cell: 1 interrupted" in run_in(tmp_path, "study", "status").out
    told = json.loads(run_in(tmp_path, "study", "status", "--json").out)
    assert [cell["state"] for cell in told[0]["cells"]] == ["interrupted"]

    job = study(tmp_path)
    ((worker, search),) = wait_until(lambda: runs_below(job.pid)).items()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: (tmp_path / TRAIN / "config.yaml").exists())  # another worker has done the search again
    assert search not in runs_below(job.pid).values()
    job.kill()
    assert "pcdarts: error" not in job.communicate()[1]
    again = finished(tmp_path, *HERE)
    assert (again.code, again.err) == (0, "")
    assert figures(tmp_path) == figures(whole)


def address_in(file: Path) -> str | None:
    """The address that a scheduler has written; None as long as the file is not whole."""
    with suppress(FileNotFoundError, json.JSONDecodeError):
        return json.loads(file.read_text())["address"]
    return None


def test_of_a_separate_scheduler_a_killed_worker_costs_nothing_and_its_own_end_is_one_line(whole, tmp_path):
    file = tmp_path / "scheduler.json"
    flags = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(file))
    with dask(
        tmp_path, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    ) as scheduler:
        address = wait_until(lambda: address_in(file))
        with dask(tmp_path, "worker", *flags) as one, dask(tmp_path, "worker", *flags) as two:
            job = study(tmp_path, "--scheduler", address, "--threads", "1", here=False)
            wait_until(lambda: begun(tmp_path))
            searching = one if runs_below(one.pid) else two
            searching.kill()
            ended = end_of(job)
        assert (ended.code, ended.err) == (0, "")
        assert figures(tmp_path) == figures(whole)

        (tmp_path / "other").mkdir()  # for which there is no worker left
        job = study(tmp_path / "other", "--scheduler", address, here=False)
        assert "1 to do" in "".join(job.stdout.readline() for _ in range(3))
        scheduler.kill()
        ended = end_of(job)
    assert ended.code == 1
    assert error_line(ended).startswith("the Dask scheduler is gone: start it again")


def test_what_fails_is_tried_again_and_listed_and_the_rest_goes_on_and_what_is_the_same_is_done_once(tmp_path):
    methods = (
        "  broken: {cells: random, train: {data: folder, data_root: images}}\n"
        "  random cells: {cells: random}\n  by another name: {cells: random}\n"
    )
    (tmp_path / "own.yaml").write_text(DESCRIPTION.replace("  PC-DARTS: {}\n", methods))
    ended = run_in(tmp_path, "study", "run", "own.yaml", "--retries", "1")
    assert ended.code == 1
    assert error_line(ended) == "1 of 3 cells failed, as listed; the same command tries them again"
    log = tmp_path / "studies/own/runs/broken/seed-0/output.txt"
    assert "broken, seed 0: failed (train: " in ended.out
    assert ended.out.count("trying again, 1 of 1") == 1
    assert f"; log: {log}" in ended.out
    assert log.read_text().count("pcdarts: error: ") == 2
    assert "[1/3] random cells, seed 0: " in ended.out
    assert "[2/3] by another name, seed 0: copied, the settings are the same" in ended.out
    trained = log.parents[2] / "random-cells/seed-0/train"
    copied = log.parents[2] / "by-another-name/seed-0/train"
    assert (copied / "checkpoint.pt").read_bytes() == (trained / "checkpoint.pt").read_bytes()
    assert (copied / "result.json").read_bytes() == (trained / "result.json").read_bytes()
    status = run_in(tmp_path, "study", "status")
    assert "3 cells: 2 done, 1 failed" in status.out
    assert f"log: {log.relative_to(tmp_path)}" in status.out


def test_finished_runs_of_another_study_are_taken_over(whole, tmp_path):
    shutil.copytree(whole / "studies", tmp_path / "old")
    (tmp_path / "wide.yaml").write_text(DESCRIPTION + "  by another name: {search: {k: 2}}\n")
    ended = run_in(tmp_path, "study", "run", "wide.yaml", "--reuse", "old/small")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count(f"copied from {Path('old/small/runs/pc-darts/seed-0')}") == 2
    assert "2 cells of the grid, 2 done" in ended.out


def test_a_damaged_result_is_no_result_and_is_done_again_once_it_is_removed(whole, tmp_path):
    shutil.copytree(whole / "studies", tmp_path / "studies")
    (tmp_path / "small.yaml").write_text(DESCRIPTION)
    (tmp_path / TRAIN / "result.json").write_text('{"test')
    assert "1 cell: 1 failed" in run_in(tmp_path, "study", "status").out
    ended = run_in(tmp_path, "study", "run", "small.yaml", "--retries", "0")
    assert ended.code == 1
    assert "result.json is damaged" in ended.out
    shutil.rmtree(tmp_path / TRAIN)
    ended = run_in(tmp_path, "study", "run", "small.yaml", "--threads", "1")
    assert (ended.code, ended.err) == (0, "")
    assert figures(tmp_path) == figures(whole)


def test_a_run_that_cannot_be_resumed_can_be_removed_and_done_again(whole, tmp_path):
    shutil.copytree(whole / "studies", tmp_path / "studies")
    run = RunFolder(tmp_path / SEARCH)
    run.result.unlink()
    for checkpoint in run.path.glob("checkpoint*.pt"):
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    ended = work(Task(str(run.path.parent), (("search", run.config.read_text()),), (), str(tmp_path / "stop")))
    assert ended.state == "failed"
    assert "restore the file from a copy" in ended.message
    assert ended.message.endswith(f"; or remove {run.path}, and it is done again")


def test_other_settings_do_not_go_into_the_folder_of_a_study(whole, tmp_path):
    shutil.copytree(whole / "studies", tmp_path / "studies")
    (tmp_path / "small.yaml").write_text(DESCRIPTION.replace("k: 2", "k: 4"))
    ended = run_in(tmp_path, "study", "run", "small.yaml")
    assert ended.code == 2
    assert "was begun with k 2, not 4: choose another --folder" in error_line(ended)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "small.yaml").write_text(DESCRIPTION)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    ended = run_in(tmp_path, "study", "run", "small.yaml", "--folder", "full")
    assert ended.code == 2
    assert "is not empty and holds no study" in error_line(ended)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_a_scheduler_that_is_not_there_is_refused_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(DESCRIPTION)
    monkeypatch.setattr("pcdarts.study.cluster.CONNECT_SECONDS", 0.5)
    ended = run_in(tmp_path, "study", "run", "small.yaml", "--scheduler", "tcp://127.0.0.1:9")
    assert ended.code == 2
    assert "cannot reach a Dask scheduler at tcp://127.0.0.1:9" in error_line(ended)
