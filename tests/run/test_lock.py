"""Of two jobs on one run the second is refused, and a job that was killed is in nobody's way."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pcdarts.errors import InputError
from pcdarts.run import lock as lock_module
from pcdarts.run.lock import is_locked, lock
from pcdarts.run.run_folder import RunFolder

HOLDER = """
import sys, time
from pathlib import Path
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.lock import lock
with lock(RunFolder(Path(sys.argv[1]))):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "WAIT_SECONDS", 0.1)


@contextmanager
def held_by_another_process(run: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Locked by a process, which is killed (SIGKILL) at the end."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_second_job_is_refused_and_told_who_works_on_the_run(run: RunFolder) -> None:
    with held_by_another_process(run) as holder:
        with pytest.raises(InputError) as refusal, lock(run):
            pass
        told = run.read_state()
    assert str(refusal.value) == (
        f"{run.path} is being worked on by process {holder.pid} on {told['host']} (since {told['since']}): "
        "wait for it, or use another run folder"
    )


def test_who_holds_a_lock_need_not_be_known(run: RunFolder) -> None:
    with held_by_another_process(run):
        run.state.unlink()
        with pytest.raises(InputError, match="is being worked on by another process: wait for it"), lock(run):
            pass


def test_a_killed_job_holds_nothing(run: RunFolder) -> None:
    with held_by_another_process(run):
        assert is_locked(run)
    assert is_locked(run) is False
    with lock(run):
        assert run.read_state()["pid"] == os.getpid()


def test_a_lock_ends_with_an_error(run: RunFolder) -> None:
    with pytest.raises(ZeroDivisionError), lock(run):
        raise ZeroDivisionError
    assert is_locked(run) is False


def test_two_jobs_of_one_process_exclude_each_other_too(run: RunFolder) -> None:
    with lock(run), pytest.raises(InputError, match="is being worked on"), lock(RunFolder(run.path)):
        pass
    assert is_locked(run) is False


def test_two_that_look_do_not_take_each_other_for_a_job(run: RunFolder) -> None:
    fcntl = pytest.importorskip("fcntl")
    run.lock_file.touch()
    with run.lock_file.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert is_locked(run) is False


def test_looking_at_a_run_without_a_lock_makes_nothing(run: RunFolder) -> None:
    assert is_locked(run) is False
    assert list(run.path.iterdir()) == []


def test_a_link_in_place_of_the_lock_is_neither_followed_nor_believed(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("precious")
    run.lock_file.symlink_to(tmp_path / "outside")
    assert is_locked(run) is None
    with pytest.raises(InputError, match="cannot lock"), lock(run):
        pass
    assert (tmp_path / "outside").read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_cannot_be_locked(run: RunFolder) -> None:
    run.path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=f"cannot lock {run.path}: Permission denied"), lock(run):
            pass
    finally:
        run.path.chmod(0o700)
