"""Files are replaced whole or not at all, grow by whole lines, and are never written through a link."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pcdarts.errors import RunError
from pcdarts.run.whole_files import append_line, cut_torn_line, write_bytes, write_text

FullDisk = Callable[[int], AbstractContextManager[None]]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_earlier_version_is_kept_under_the_name_given(tmp_path: Path) -> None:
    for content in (b"1", b"2", b"3"):
        write_bytes(tmp_path / "file", content, previous=tmp_path / "before")
    assert (tmp_path / "file").read_bytes() == b"3"
    assert (tmp_path / "before").read_bytes() == b"2"
    assert names_in(tmp_path) == {"file", "before"}


def test_what_a_kill_left_is_overwritten(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"1")
    (tmp_path / ".file.tmp").write_bytes(b"half")
    os.link(tmp_path / "file", tmp_path / ".before.tmp")  # killed after linking
    write_bytes(tmp_path / "file", b"2", previous=tmp_path / "before")
    assert (tmp_path / "file").read_bytes() == b"2"
    assert (tmp_path / "before").read_bytes() == b"1"
    assert names_in(tmp_path) == {"file", "before"}


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".file.tmp").symlink_to(tmp_path / "outside")
    write_bytes(tmp_path / "run" / "file", b"1")
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert (tmp_path / "run" / "file").read_bytes() == b"1"
    assert not (tmp_path / "run" / "file").is_symlink()


def test_no_line_is_appended_to_or_cut_from_a_file_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "log.txt").symlink_to(tmp_path / "outside")
    for spoil in (lambda: append_line(tmp_path / "log.txt", "x"), lambda: cut_torn_line(tmp_path / "log.txt")):
        with pytest.raises(RunError, match=r"cannot save .*log\.txt"):
            spoil()
    assert (tmp_path / "outside").read_bytes() == b"precious"


def test_a_full_disk_leaves_the_earlier_versions_and_no_other_file(tmp_path: Path, full_disk: FullDisk) -> None:
    path, before = tmp_path / "checkpoint.pt", tmp_path / "before"
    write_bytes(path, b"1", previous=before)
    write_bytes(path, b"2", previous=before)
    with full_disk(1000), pytest.raises(RunError, match=r"cannot save .*checkpoint\.pt: File too large"):
        write_bytes(path, b"x" * 5000, previous=before)
    assert (path.read_bytes(), before.read_bytes()) == (b"2", b"1")
    assert names_in(tmp_path) == {"checkpoint.pt", "before"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="Permission denied"):
            write_text(tmp_path / "config.yaml", "")
    finally:
        tmp_path.chmod(0o700)


def test_lines_follow_one_another_and_a_torn_one_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    append_line(path, "epoch 1")
    path.write_bytes(path.read_bytes() + b"epo")
    append_line(path, "file \udcff")  # a name of a file that is not UTF-8
    assert path.read_text() == "epoch 1\nepo\nfile \\udcff\n"


def test_a_torn_line_is_cut_and_whole_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for content, kept in [(b"", b""), (b"torn", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nb\nto", b"a\nb\n")]:
        path.write_bytes(content)
        cut_torn_line(path)
        assert path.read_bytes() == kept


def test_there_is_nothing_to_cut_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    cut_torn_line(tmp_path / "log.txt")
    assert names_in(tmp_path) == set()


WRITER = """
import sys
from pathlib import Path
from pcdarts.run.whole_files import write_bytes
path = Path(sys.argv[1])
while True:
    for byte in (b"a", b"b"):
        write_bytes(path, byte * 3_000_000, previous=path.with_name("before"))
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
