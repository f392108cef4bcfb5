"""The run folder refuses what it would spoil, and what it holds survives kills and full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pcdarts.errors import InputError, RunError
from pcdarts.run.folder import RunFolder, write_bytes, write_text

FullDisk = Callable[[int], AbstractContextManager[None]]


def begun(path: Path) -> RunFolder:
    run = RunFolder.create(path)
    write_text(run.config, "job: search\n")
    return run


def test_a_new_run_makes_its_folder_and_the_folders_above(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b")
    assert run.path.is_dir()
    assert not run.is_finished


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path).path == tmp_path


def test_a_finished_run_is_refused_and_not_touched(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.finish({"top1_error": 2.57})
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(InputError, match="already holds a finished run: choose another --run"):
        RunFolder.create(run.path)
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_an_unfinished_run_is_refused_with_the_way_to_continue_it(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    with pytest.raises(InputError, match=f"unfinished run: continue it with --resume {run.path}"):
        RunFolder.create(run.path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file"):
        RunFolder.create(tmp_path / "run")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        RunFolder.create(tmp_path)


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make the run folder .*: Not a directory"):
        RunFolder.create(tmp_path / "file" / "run")


def test_the_next_free_number_is_taken(tmp_path: Path) -> None:
    paths = [RunFolder.create_next(tmp_path / "runs", "search-cifar10").path for _ in range(3)]
    assert [path.name for path in paths] == ["search-cifar10-001", "search-cifar10-002", "search-cifar10-003"]


@pytest.mark.parametrize(("name", "reason"), [("missing", "does not exist"), ("empty", "has no config.yaml")])
def test_only_a_run_can_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name} is not a run folder: it {reason}"):
        RunFolder.open(tmp_path / name)


def test_a_run_is_finished_once_it_has_its_result(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.finish({"top1_error": 2.57})
    assert RunFolder.open(run.path).is_finished
    assert run.read_result() == {"top1_error": 2.57}


def test_the_result_of_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not finished"):
        begun(tmp_path / "run").read_result()


@pytest.mark.parametrize("content", ["", '{"top1_error": 2', "[]"])
def test_a_damaged_result_is_refused(tmp_path: Path, content: str) -> None:
    run = begun(tmp_path / "run")
    run.result.write_text(content)
    with pytest.raises(InputError, match=r"result\.json is damaged"):
        run.read_result()


def test_a_withdrawn_run_leaves_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.append_log("reading the images")
    run.withdraw()
    assert not run.path.exists()


def test_a_run_that_has_done_something_is_not_withdrawn(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.append_metrics({"epoch": 1})
    run.withdraw()
    assert run.read_metrics() == [{"epoch": 1}]
    assert run.config.exists()


def test_metrics_are_read_back_in_order_and_nan_becomes_null(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.append_metrics({"epoch": 1, "loss": 2.5, "classes": ["é"]})
    run.append_metrics({"epoch": 2, "loss": float("nan"), "alpha": {"normal": [float("inf"), 0.5]}})
    expected = [
        {"epoch": 1, "loss": 2.5, "classes": ["é"]},
        {"epoch": 2, "loss": None, "alpha": {"normal": [None, 0.5]}},
    ]
    assert run.read_metrics() == expected
    assert [json.loads(line) for line in run.metrics.read_text().splitlines()] == expected


def test_metrics_cut_anywhere_by_a_kill_keep_their_whole_lines_and_can_go_on(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    records = [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    for record in records:
        run.append_metrics(record)
    whole = run.metrics.read_bytes()
    for cut in range(len(whole)):
        run.metrics.write_bytes(whole[:cut])
        kept = run.read_metrics()
        assert kept == records[: len(kept)]
        assert len(kept) >= whole[:cut].count(b"\n")
        run.append_metrics({"epoch": 9})
        assert run.read_metrics() == [*kept, {"epoch": 9}]


def test_truncated_metrics_end_with_the_epoch_of_the_checkpoint(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    for epoch in (1, 2, 3):
        run.append_metrics({"epoch": epoch})
    run.metrics.write_bytes(run.metrics.read_bytes() + b'{"epoch": 4, "lo')
    run.truncate_metrics(2)
    assert run.metrics.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_metrics_that_do_not_exist_yet_are_empty_and_can_be_truncated(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    assert run.read_metrics() == []
    run.truncate_metrics(0)
    assert run.read_metrics() == []


def test_the_log_grows_by_whole_lines(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.append_log("epoch 1/2")
    run.log.write_bytes(run.log.read_bytes() + b"epoch 2")
    run.append_log("resumed")
    assert run.log.read_text() == "epoch 1/2\nepoch 2\nresumed\n"


def test_a_genotype_of_an_epoch_gets_its_folder(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    write_text(run.epoch_genotype(7), "{}")
    assert (run.path / "genotypes" / "epoch_007.json").read_text() == "{}"


def test_a_full_disk_leaves_the_earlier_file_and_no_other(tmp_path: Path, full_disk: FullDisk) -> None:
    path = tmp_path / "checkpoint.pt"
    write_bytes(path, b"earlier")
    with full_disk(1000), pytest.raises(RunError, match=r"cannot save .*checkpoint\.pt: File too large"):
        write_bytes(path, b"x" * 5000)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_earlier_metrics(tmp_path: Path, full_disk: FullDisk) -> None:
    run = begun(tmp_path / "run")
    run.append_metrics({"epoch": 1})
    with full_disk(20), pytest.raises(RunError, match=r"cannot save .*metrics\.jsonl"):
        run.append_metrics({"epoch": 2, "loss": 0.123456789})
    assert run.read_metrics() == [{"epoch": 1}]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            RunFolder.create(tmp_path / "run")
        with pytest.raises(RunError, match="Permission denied"):
            write_text(tmp_path / "config.yaml", "")
    finally:
        tmp_path.chmod(0o700)


WRITER = """
import sys
from pathlib import Path
from pcdarts.run.folder import write_bytes
while True:
    for byte in (b"a", b"b"):
        write_bytes(Path(sys.argv[1]), byte * 3_000_000)
"""


def test_a_file_is_whole_after_its_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert path.read_bytes() in (b"a" * 3_000_000, b"b" * 3_000_000)
        path.unlink()
