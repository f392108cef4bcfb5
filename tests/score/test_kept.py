"""What was fitted on a table is kept for later starts: as arrays, which run no code and need no scikit-learn."""

import hashlib
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import end_of
from forked import Forked
from known_cells import write_table
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import CellSpace
from pcdarts.score.kept import Fitted, keep, kept_file, read_kept
from pcdarts.score.table import read_table
from pcdarts.score.yardstick import Yardstick, make_yardstick

NEW = [random_genotype(CellSpace(4), seed) for seed in range(30)]


class Burglar:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def yardstick(known_table: Path) -> Yardstick:
    return make_yardstick(known_table)


@pytest.fixture
def kept(yardstick: Yardstick) -> Path:
    """The file that holds the yardstick; other tests may have kept their own beside it."""
    return kept_file(yardstick.table)


def copy(kept: Path, folder: Path, content: bytes | None = None) -> Path:
    folder.mkdir(mode=0o700, parents=True)
    file = folder / kept.name
    file.write_bytes(kept.read_bytes() if content is None else content)
    file.chmod(0o600)
    return file


def behind_its_checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def test_what_is_kept_is_read_without_scikit_learn_and_scores_as_before(yardstick, kept, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    file = tmp_path / "cache" / kept.name
    assert keep(Fitted(yardstick.regressor, yardstick.costs, yardstick.random), file) is None
    read = read_kept(file, yardstick.table.space)
    assert read is not None
    again = replace(yardstick, regressor=read.regressor, costs=read.costs, random=read.random)
    assert again.scores(NEW) == yardstick.scores(NEW)
    assert again.words() == yardstick.words()
    assert make_yardstick(yardstick.table.path).scores(NEW) == yardstick.scores(NEW)
    assert len(file.read_bytes()) < 250_000


def test_a_damaged_file_is_not_read(yardstick, kept, tmp_path):
    whole, space = kept.read_bytes(), yardstick.table.space
    assert read_kept(copy(kept, tmp_path / "whole"), space) is not None
    middle = len(whole) // 2
    damaged = (
        b"",
        whole[:-1],
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        b"x" * 99,
        behind_its_checksum(b""),
        behind_its_checksum(whole[32:-1]),
    )
    for number, content in enumerate(damaged):
        assert read_kept(copy(kept, tmp_path / str(number), content), space) is None
    assert read_kept(tmp_path / "nowhere" / kept.name, space) is None


def test_a_file_that_others_could_have_written_is_not_read(yardstick, kept, tmp_path):
    file = copy(kept, tmp_path / "open")
    for path, mode, is_read in [(file, 0o666, False), (file, 0o600, True), (file.parent, 0o777, False)]:
        path.chmod(mode)
        assert (read_kept(file, yardstick.table.space) is not None) == is_read


def test_pickles_of_older_versions_are_removed_and_nothing_else(yardstick, kept, tmp_path):
    file = copy(kept, tmp_path / "cache")
    ours = ["yardstick-0123456789abcdef", "yardstick-0123456789abcdef.joblib"]
    others = ["yardstick-of-mine", "yardstick-0123456789abcdef.arrays", "kernels-0123456789abcdef.so"]
    for name in (*ours, *others):
        (file.parent / name).touch(mode=0o600)
    (file.parent / "yardstick-1111111111111111").mkdir()
    (file.parent / "yardstick-2222222222222222").symlink_to(file)
    keep(Fitted(yardstick.regressor, yardstick.costs, yardstick.random), file)
    left = {path.name for path in file.parent.iterdir()}
    assert left == {file.name, *others, "yardstick-1111111111111111", "yardstick-2222222222222222"}


def test_another_table_and_another_version_have_files_of_their_own(yardstick, kept, monkeypatch):
    assert kept_file(replace(yardstick.table, path=Path("moved.csv"))) == kept
    assert kept_file(replace(yardstick.table, checksum="0")) != kept
    for version in ("pcdarts.__version__", "numpy.__version__"):
        with monkeypatch.context() as patch:
            patch.setattr(version, "99")
            assert kept_file(yardstick.table) != kept
    monkeypatch.setattr("importlib.metadata.version", {"scikit-learn": "99"}.__getitem__)
    assert kept_file(yardstick.table) != kept


def test_where_nothing_can_be_kept_it_is_said_and_the_scores_are_the_same(yardstick, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remarks: list[str] = []
    again = make_yardstick(yardstick.table.path, say=remarks.append)
    assert remarks == [
        "fitting a regressor on 60 cells, six times for the cross-validation",
        f"cannot keep it in {tmp_path}/file/pcdarts (Not a directory), so that every start fits it again",
    ]
    assert again.scores(NEW) == yardstick.scores(NEW)
    assert again.quality == yardstick.quality


def test_of_two_processes_that_find_a_damaged_file_or_a_pickle_one_fits_and_the_other_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = write_table(tmp_path / "cells.csv", nodes=4)
    file = kept_file(read_table(table))
    file.parent.mkdir(mode=0o700, parents=True)
    for old in (file, file.with_suffix("")):
        old.write_bytes(behind_its_checksum(pickle.dumps(Burglar(tmp_path / "mark"))))
        old.chmod(0o600)
    code = f"""
from pathlib import Path
from pcdarts.score.yardstick import make_yardstick
made = make_yardstick(Path({str(table)!r}))
print(made.quality)
"""
    jobs = [Forked(tmp_path, code=code) for _ in range(2)]
    both = [end_of(job) for job in jobs]
    assert [(ended.code, ended.err) for ended in both] == [(0, "")] * 2, both
    assert sorted(ended.out.count("fitting a regressor") for ended in both) == [0, 1]
    assert both[0].out.splitlines()[-1] == both[1].out.splitlines()[-1]
    assert list(file.parent.iterdir()) == [file]
    assert not (tmp_path / "mark").exists()
