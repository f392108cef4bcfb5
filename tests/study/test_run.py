"""`pcdarts study run` with real processes: to the end, again, killed, with workers killed, with failures."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from command_line import end_of, error_line, run_in, snapshot
from small_study import DESCRIPTION, children, dask, figures, finished, runs_below, study, wait_until

SEARCH = Path("studies/small/runs/pc-darts/seed-0/search")
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


def begun(folder: Path) -> bool:
    """Whether the search is past its first epoch."""
    return (folder / SEARCH / "metrics.jsonl").exists() and not (folder / SEARCH / "result.json").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as nobody disturbed it."""
    folder = tmp_path_factory.mktemp("whole")
    ended = finished(folder)
    assert (ended.code, ended.err) == (0, "")
    (folder / "printed.txt").write_text(ended.out)
    return folder


def test_every_cell_is_a_search_and_a_training_with_folders_of_their_own(whole):
    assert sorted(figures(whole)) == [
        "studies/small/runs/pc-darts/seed-0/search",
        "studies/small/runs/pc-darts/seed-0/train",
        "studies/small/runs/random-cells/seed-0/train",
    ]
    found = figures(whole)
    assert found[str(SEARCH)][1] == found["studies/small/runs/pc-darts/seed-0/train"][1]
    printed = (whole / "printed.txt").read_text()
    assert "studies/small: 2 cells of the grid, 0 done" in printed
    assert "[2/2]" in printed
    assert "report: pcdarts report studies/small" in printed


def test_a_second_time_nothing_is_done_and_the_table_is_printed_again(whole):
    before = snapshot(whole / "studies")
    ended = run_in(whole, "study", "run", "small.yaml")
    assert (ended.code, ended.err) == (0, "")
    assert "2 cells of the grid, 2 done" in ended.out
    assert "to do" not in ended.out
    assert ended.out.split("\n\n")[1] == (whole / "printed.txt").read_text().split("\n\n")[1]
    assert snapshot(whole / "studies") == before


def test_a_study_that_is_killed_goes_on_to_the_same_table(whole, tmp_path):
    job = study(tmp_path)
    wait_until(lambda: begun(tmp_path))
    job.kill()
    job.communicate()
    again = finished(tmp_path)
    assert (again.code, again.err) == (0, "")
    assert figures(tmp_path) == figures(whole)
    assert (tmp_path / SEARCH.parent / "output.txt").read_text().count("weight and 20 arch images") == 2  # resumed


def test_ctrl_c_lets_the_runs_save_and_says_how_to_go_on(tmp_path):
    job = study(tmp_path)
    wait_until(lambda: begun(tmp_path))
    job.send_signal(signal.SIGINT)
    ended = end_of(job)
    assert ended.code == 130
    assert ended.err.rstrip().endswith("the same command goes on")
    assert json.loads((tmp_path / SEARCH / "state.json").read_text())["state"] == "interrupted"
    assert not (tmp_path / "studies/small/stop").exists()
    status = run_in(tmp_path, "study", "status")
    assert "2 cells: 1 interrupted, 1 waiting" in status.out
    told = json.loads(run_in(tmp_path, "study", "status", "--json").out)
    assert [cell["state"] for cell in told[0]["cells"]] == ["interrupted", "waiting"]


def test_a_local_worker_that_is_killed_costs_nothing_but_time(whole, tmp_path):
    job = study(tmp_path, parallel=2)
    wait_until(lambda: begun(tmp_path))
    worker = next(worker for worker, run in runs_below(job.pid).items() if str(SEARCH.parent) in cwdless(run))
    os.kill(worker, signal.SIGKILL)
    ended = end_of(job)
    assert (ended.code, ended.err) == (0, "")
    assert figures(tmp_path) == figures(whole)


def cwdless(run: int) -> str:
    return Path(f"/proc/{run}/cmdline").read_bytes().decode()


def test_a_separate_scheduler_whose_worker_is_killed_ends_with_the_same_table(whole, tmp_path):
    file = tmp_path / "scheduler.json"
    flags = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(file))
    with dask(
        tmp_path, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    ):
        address = wait_until(lambda: file.exists() and json.loads(file.read_text())["address"])
        with dask(tmp_path, "worker", *flags) as one, dask(tmp_path, "worker", *flags) as two:
            job = study(tmp_path, "--scheduler", address, "--threads", "1", parallel=0)
            wait_until(lambda: begun(tmp_path))
            searching = one if any(str(SEARCH.parent) in cwdless(run) for run in children(one.pid)) else two
            searching.kill()
            ended = end_of(job)
    assert (ended.code, ended.err) == (0, "")
    assert figures(tmp_path) == figures(whole)


def test_what_fails_is_tried_again_and_listed_with_its_log_and_the_rest_goes_on(tmp_path):
    broken = DESCRIPTION + "  broken: {cells: random, train: {data: folder, data_root: images}}\n"
    (tmp_path / "own.yaml").write_text(broken.replace("  PC-DARTS: {}\n", ""))
    ended = run_in(tmp_path, "study", "run", "own.yaml", "--retries", "1")
    assert ended.code == 1
    assert error_line(ended) == "1 of 2 cells failed, as listed; the same command tries them again"
    log = tmp_path / "studies/own/runs/broken/seed-0/output.txt"
    assert "broken, seed 0: failed (train: " in ended.out
    assert ended.out.count("trying again, 1 of 1") == 1
    assert f"; log: {log}" in ended.out
    assert log.read_text().count("pcdarts: error: ") == 2
    assert "random cells  1/1" in " ".join(ended.out.split(" ")).replace("   ", "  ")
    status = run_in(tmp_path, "study", "status")
    assert "2 cells: 1 done, 1 failed" in status.out
    assert f"log: {log.relative_to(tmp_path)}" in status.out


def test_finished_runs_of_another_study_are_taken_over(whole, tmp_path):
    shutil.copytree(whole / "studies", tmp_path / "old")
    (tmp_path / "wide.yaml").write_text(DESCRIPTION + "  more random cells: {cells: random}\n")
    ended = run_in(tmp_path, "study", "run", "wide.yaml", "--reuse", "old/small")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("copied from") == 3
    assert "3 cells of the grid, 3 done" in ended.out


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
