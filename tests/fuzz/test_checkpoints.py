"""Whatever lies where a checkpoint should be, it is the checkpoint that was saved or is refused; no code in it runs."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hostile import cases, check_words, damaged, new_folder, outcome
from pcdarts.errors import InputError
from pcdarts.run import checkpoint
from pcdarts.run.checkpoint import load_checkpoint, previous_of, read_newest, save_checkpoint

FINGERPRINT = {"job": "search", "seed": 0, "betas": [0.5, 0.999], "data": None}
STATE = {"epoch": 3, "network": {"weight": torch.arange(300.0), "count": torch.tensor(7)}, "classes": ["ant", "bee"]}


def content_of(state: dict[str, Any], fingerprint: dict[str, Any] = FINGERPRINT) -> bytes:
    with new_folder() as folder:
        save_checkpoint(folder / "checkpoint.pt", state, fingerprint)
        return (folder / "checkpoint.pt").read_bytes()


GOOD = content_of(STATE)
OLDER = content_of({**STATE, "epoch": 2})


def sealed(content: bytes) -> bytes:
    """A zip archive with the checksum of a checkpoint: what someone writes who knows how."""
    buffer = io.BytesIO(content)
    checkpoint._seal(buffer)
    return buffer.getvalue()


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def torch_saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@cases(400)
@given(damaged(GOOD))
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_taken(content: bytes) -> None:
    with new_folder() as folder:
        path = folder / "checkpoint.pt"
        path.write_bytes(content)
        state = outcome(lambda: load_checkpoint(path, FINGERPRINT), path.name)
        assert (state is not None) == (content == GOOD)
        previous_of(path).write_bytes(OLDER)
        newest = outcome(lambda: read_newest(path), path.name)
        if newest is not None:
            taken, remark = newest
            assert taken == (GOOD if content == GOOD else OLDER)
            assert (remark is None) == (content == GOOD)
            check_words(remark or "none", "" if remark is None else "checkpoint.pt")
        assert (path.read_bytes(), previous_of(path).read_bytes()) == (content, OLDER)


@cases(200)
@given(damaged(GOOD), st.one_of(damaged(OLDER), st.binary(max_size=20)))
def test_two_damaged_checkpoints_are_refused(newest: bytes, previous: bytes) -> None:
    with new_folder() as folder:
        path = folder / "checkpoint.pt"
        path.write_bytes(newest)
        previous_of(path).write_bytes(previous)
        found = outcome(lambda: read_newest(path), "checkpoint.")
        assert found is None or found[0] in (GOOD, OLDER)


@cases(150)
@given(st.binary(max_size=40), st.integers(0, 3))
def test_a_damaged_checkpoint_with_a_right_checksum_is_refused(block: bytes, part: int) -> None:
    names = zipfile.ZipFile(io.BytesIO(GOOD)).namelist()
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        members = [(name, archive.read(name)) for name in names]
    name, content = members[part]
    members[part] = (name, block + content[len(block) :])
    with new_folder() as folder:
        path = folder / "checkpoint.pt"
        path.write_bytes(sealed(zipped(*members)))
        state = outcome(lambda: load_checkpoint(path, FINGERPRINT), path.name)
        assert state is None or isinstance(state, dict)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.integers(0, 3).map(torch.zeros),
    ),
    max_leaves=6,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "format": st.one_of(plain, st.just(checkpoint.FORMAT)),
        "fingerprint": st.one_of(plain, st.just(FINGERPRINT), st.dictionaries(st.sampled_from([*FINGERPRINT]), plain)),
        "state": st.one_of(plain, st.just(STATE)),
    },
)


@cases(250)
@given(st.one_of(plain, parts), st.booleans(), st.booleans())
def test_any_plain_value_is_a_checkpoint_or_refused(value: Any, with_checksum: bool, new_zip_format: bool) -> None:
    content = torch_saved(value, _use_new_zipfile_serialization=new_zip_format)
    with new_folder() as folder:
        path = folder / "checkpoint.pt"
        path.write_bytes(sealed(content) if with_checksum and new_zip_format else content)
        state = outcome(lambda: load_checkpoint(path, FINGERPRINT), path.name)
        assert state is None or isinstance(state, dict)
        outcome(lambda: read_newest(path), path.name)


class Code:
    """What a hostile file holds: unpickling it makes a file."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def with_its_pickle_replaced(code: object) -> bytes:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    return zipped(*((name, pickle.dumps(code) if name.endswith("data.pkl") else old) for name, old in members))


@pytest.mark.parametrize("with_checksum", [False, True])
@pytest.mark.parametrize(
    "hidden",
    [
        lambda code: torch_saved(code),
        lambda code: torch_saved({"format": checkpoint.FORMAT, "fingerprint": FINGERPRINT, "state": {"epoch": code}}),
        lambda code: torch_saved({code: 1}),
        lambda code: torch_saved(code, _use_new_zipfile_serialization=False),
        with_its_pickle_replaced,
        lambda code: pickle.dumps(code),
        lambda code: pickle.dumps(code, protocol=0),
    ],
)
@pytest.mark.parametrize("function", [Path.touch, os.mkdir, exec, eval])
def test_code_in_a_checkpoint_does_not_run(
    tmp_path: Path, hidden: Callable[[object], bytes], function: Callable[..., Any], with_checksum: bool
) -> None:
    made, path = tmp_path / "made", tmp_path / "checkpoint.pt"
    argument = f"open({str(made)!r}, 'w').close()" if function in (exec, eval) else made
    content = hidden(Code(function, argument))
    path.write_bytes(sealed(content) if with_checksum and content.startswith(b"PK") else content)
    for read in (lambda: load_checkpoint(path, FINGERPRINT), lambda: checkpoint.load_state(content, path, FINGERPRINT)):
        with pytest.raises(InputError) as error:
            read()
        check_words(str(error.value), "checkpoint.pt")
    previous_of(path).write_bytes(GOOD)
    outcome(lambda: read_newest(path), "checkpoint.pt")
    assert not made.exists()
    pickle.loads(pickle.dumps(Code(function, argument)))  # which was no empty threat
    assert made.exists()


MANY = bytes(50_000_000)


def zip_of_zeros() -> bytes:
    members = [("archive/data.pkl", pickle.dumps({})), ("archive/data/0", MANY), ("archive/version", b"3\n")]
    return zipped(*members, compression=zipfile.ZIP_DEFLATED)


def checkpoint_of_compressed_zeros() -> bytes:
    value = {"format": checkpoint.FORMAT, "fingerprint": FINGERPRINT, "state": {"network": torch.zeros(len(MANY) // 4)}}
    with zipfile.ZipFile(io.BytesIO(torch_saved(value))) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    return zipped(*members, compression=zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize("with_checksum", [False, True])
@pytest.mark.parametrize("bomb", [zip_of_zeros, checkpoint_of_compressed_zeros])
def test_a_checkpoint_that_would_become_a_thousand_times_larger_is_refused(
    tmp_path: Path, bomb: Callable[[], bytes], with_checksum: bool
) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(sealed(bomb()) if with_checksum else bomb())
    assert path.stat().st_size < len(MANY) // 500
    with pytest.raises(InputError) as error:
        load_checkpoint(path, FINGERPRINT)
    check_words(str(error.value), "checkpoint.pt")
