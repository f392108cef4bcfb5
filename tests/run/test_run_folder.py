"""The run folder refuses what it would spoil, and what it holds survives kills and full disks."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pcdarts.errors import InputError, RunError
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

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


def test_where_no_folder_can_be_made_the_flag_for_another_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match=r"cannot make a run folder in .*; name a folder elsewhere with --run FOLDER$"):
        RunFolder.create_next(tmp_path / "runs", "search-cifar10")


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


def test_the_last_record_of_an_epoch_counts_and_epochs_are_in_order(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    for epoch, loss in [(1, 2.0), (2, 1.5), (3, 1.0), (2, 1.4), (3, 0.9)]:  # the checkpoint after 2 and 3 was damaged
        run.append_metrics({"epoch": epoch, "loss": loss})
    assert [record["loss"] for record in run.read_metrics()] == [2.0, 1.4, 0.9]
    assert len(run.metrics.read_text().splitlines()) == 5


@pytest.mark.parametrize("line", ["[]", "1", "{}", '{"epoch": "1"}', '{"epoch": true}', "[" * 100_000, "9" * 5000])
def test_lines_that_are_no_records_are_left_out(tmp_path: Path, line: str) -> None:
    run = begun(tmp_path / "run")
    run.metrics.write_text(f'{line}\n{{"epoch": 1}}\n')
    assert run.read_metrics() == [{"epoch": 1}]


def test_a_resumed_run_loses_torn_lines_and_nothing_else(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    for path in (run.metrics, run.log):
        path.write_bytes(b'{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3, "lo')
    run.resume_metrics({"epoch": 1})
    assert run.metrics.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    assert run.log.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_the_record_of_the_checkpoint_is_added_if_it_is_missing(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.append_metrics({"epoch": 1})
    run.metrics.write_bytes(run.metrics.read_bytes() + b'{"epoch": 2, "lo')
    for _ in range(2):
        run.resume_metrics({"epoch": 2, "loss": 0.5})
        assert run.metrics.read_text() == '{"epoch": 1}\n{"epoch": 2, "loss": 0.5}\n'


def test_metrics_that_do_not_exist_yet_are_empty_and_can_be_resumed(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    assert run.read_metrics() == []
    run.resume_metrics(None)
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
    finally:
        tmp_path.chmod(0o700)


# What a job says of itself


def test_a_state_says_who_when_and_all_details_said_before(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    assert run.read_state() == {}
    run.write_state("running", epoch=3, step=17)
    run.write_state("failed", message="cannot save", step=18)
    state = run.read_state()
    assert state.keys() == {"state", "pid", "host", "updated", "since", "epoch", "step", "message"}
    assert (state["state"], state["pid"], state["epoch"], state["step"]) == ("failed", os.getpid(), 3, 18)
    assert state["since"] <= state["updated"]


@pytest.mark.parametrize("content", ["", '{"state": "run', "[1]", "[" * 100_000, "\xff"])
def test_a_damaged_state_says_nothing(tmp_path: Path, content: str) -> None:
    run = begun(tmp_path / "run")
    run.state.write_text(content, "latin-1")
    assert run.read_state() == {}


def test_a_full_disk_keeps_the_earlier_state_and_stops_nothing(tmp_path: Path, full_disk: FullDisk) -> None:
    run = begun(tmp_path / "run")
    run.write_state("running", epoch=1)
    with full_disk(10):
        run.write_state("running", epoch=2)
    assert run.read_state()["epoch"] == 1


def test_a_new_run_takes_a_folder_in_which_there_is_only_a_lock_and_a_state(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.lock_file.touch()
    run.write_state("running")
    assert RunFolder.create(tmp_path).path == tmp_path


def test_lock_and_state_are_withdrawn_too(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.lock_file.touch()
    run.write_state("running")
    run.withdraw()
    run.write_state("failed", message="refused")
    assert not run.path.exists()


# Paths cannot escape the run folder


@pytest.mark.parametrize("name", ["checkpoint.pt", "genotypes/epoch_001.json", "genotypes", "seed-1", ".lock"])
def test_a_link_anywhere_in_a_run_is_refused(tmp_path: Path, name: str) -> None:
    run = begun(tmp_path / "run")
    link = run.path / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match=f"{link} is a link, but the paths of a run cannot escape its folder"):
        run.refuse_links()


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    (run.path / "genotypes").symlink_to(run.path)
    with pytest.raises(InputError, match="is a link"):
        run.refuse_links()


def test_a_run_without_links_may_itself_be_reached_through_one(tmp_path: Path) -> None:
    write_text(begun(tmp_path / "run").epoch_genotype(1), "{}")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    run = RunFolder.open(tmp_path / "link")
    run.refuse_links()
    assert run.config.exists()


def test_a_part_of_a_fit_is_finished_by_resuming_the_fit_which_says_lines_about_its_images_once(tmp_path: Path) -> None:
    fit, seed = tmp_path / "my fit", tmp_path / "my fit" / "compare" / "resnet18" / "seed-1"
    for folder, job in ((seed, "train"), (seed.parent, "train"), (fit / "compare", "compare"), (fit, "fit")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(f"job: {job}\nepochs: 2\n")
    with pytest.raises(InputError, match=rf"finish it with `pcdarts fit --resume '{fit}'` first"):
        RunFolder(seed).read_result()
    assert RunFolder(fit).to_finish_it == f"--resume '{fit}'"
    assert [RunFolder(path).is_news("3 classes") for path in (fit, seed, fit / "compare", seed.parent)] == [
        True,
        True,
        False,
        False,
    ]
    assert (fit / "log.txt").read_text() == "3 classes\n"
    (fit / "result.json").write_text("{}")
    assert not RunFolder(seed).is_part
    assert RunFolder(seed).is_news("3 classes")
