"""Checkpoints: saved whole or not at all, damage found by checksum, nothing unpickled but tensors and plain values.

A checkpoint is what `torch.save` writes, a zip archive, with a SHA-256 of all that comes before it in the archive's
comment, its end. Beside it stays the one before, `checkpoint.previous.pt`.
"""

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from pcdarts.errors import InputError, shown
from pcdarts.run.whole_files import write_bytes

FORMAT = 2
REMEDY = "restore the file from a copy, or start a new run"
MARK = b"sha256:"
DIGEST_BYTES = 64  # in hexadecimal


class _Damaged(Exception):
    """What is wrong with a file, as the end of a sentence about it."""


def save_checkpoint(path: Path, state: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """Replace `path` by a checkpoint of `state` (tensors and plain values, nested in dicts, lists and tuples).

    `fingerprint` is what `load_checkpoint` must be given to load it again: `config.fingerprint()`. The earlier
    checkpoint becomes `checkpoint.previous.pt`, unless it is damaged: it would take the place of a good one.

    Raises:
        RunError: it cannot be saved; the earlier checkpoints stay as they were.
    """
    buffer = io.BytesIO()  # in memory first: an error while writing is then an OSError, never one of the zip writer
    torch.save({"format": FORMAT, "fingerprint": dict(fingerprint), "state": dict(state)}, buffer)
    _seal(buffer)
    # Released here in any case: Python 3.12.1 crashes when its garbage collector has to do it after an error.
    with buffer.getbuffer() as content:
        write_bytes(path, content, previous=previous_of(path) if _is_whole(path) else None)


def previous_of(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is."""
    return path.with_stem(f"{path.stem}.previous")


def read_newest(path: Path) -> tuple[bytes, str | None] | None:
    """The content of the newest undamaged checkpoint, that at `path` or the one before; None if there is neither.

    With it comes a sentence for the user if it is the one before, saying why, else None.

    Raises:
        InputError: both are damaged, or one holds more than tensors and plain values.
    """
    previous = previous_of(path)
    if not (os.path.lexists(path) or os.path.lexists(previous)):
        return None
    try:
        return _read_verified(path), None
    except _Damaged as damage:
        newest = f"the checkpoint {path} {damage}"
    try:
        content = _read_verified(previous)
    except _Damaged as damage:
        raise InputError(f"{newest}, and the one before it, {previous}, {damage}: {REMEDY}") from None
    return content, f"{newest}: the one before it, {previous}, is used"


def load_state(content: bytes, path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The state in `content`, which was read from `path`; on the CPU.

    Raises:
        InputError: not a checkpoint, holds more than tensors and plain values, another format, or saved by a run with
            another configuration.
    """
    try:
        loaded = _unpickled(content, path)
    except _Damaged as damage:
        raise InputError(f"the checkpoint {path} {damage}: {REMEDY}") from None
    foreign = InputError(f"the checkpoint {path} was not written by pcdarts: {REMEDY}")
    if (number := _format_of(loaded)) is None:
        raise foreign
    if number != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {number}, but this version of pcdarts reads {FORMAT}: "
            "resume with the version that wrote it, or start a new run"
        )
    saved, state = loaded.get("fingerprint"), loaded.get("state")
    if not isinstance(saved, dict) or not isinstance(state, dict):
        raise foreign
    try:
        differences = _differences(saved, fingerprint)
    except Exception:  # tensors or circles in place of plain values
        raise foreign from None
    if differences:
        raise InputError(
            f"{path} belongs to another configuration ({differences}): "
            "resume with the configuration it was saved with, or start a new run"
        )
    return state


def load_checkpoint(path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The state saved at `path`, on the CPU; this file and no other.

    Raises:
        InputError: no such file, damaged, or what `load_state` refuses.
    """
    try:
        content = _read_verified(path)
    except _Damaged as damage:
        raise InputError(f"the checkpoint {path} {damage}: {REMEDY}") from None
    return load_state(content, path, fingerprint)


def _seal(buffer: io.BytesIO) -> None:
    """Give the archive in `buffer`, which ends with the length of its empty comment, the checksum as its comment."""
    buffer.seek(-2, os.SEEK_END)
    buffer.write((len(MARK) + DIGEST_BYTES).to_bytes(2, "little") + MARK)
    with buffer.getbuffer() as content:
        digest = sha256(content).hexdigest()
    buffer.write(digest.encode())


def _is_sealed(content: bytes) -> bool:
    body, digest = memoryview(content)[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    return body[-len(MARK) :] == MARK and sha256(body).hexdigest().encode() == digest


def _is_whole(path: Path) -> bool:
    try:
        return _is_sealed(path.read_bytes())
    except OSError:
        return False


def _read_verified(path: Path) -> bytes:
    """The content of a checkpoint that is as it was saved, or of an undamaged file that `load_state` will refuse.

    Raises:
        _Damaged: it is not as it was saved.
        InputError: it holds more than tensors and plain values; such a file is not damaged, but meant.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _Damaged(f"cannot be read ({error.strerror})") from None
    if not content:
        raise _Damaged("is empty")
    if _is_sealed(content):
        return content
    if content.startswith(b"\x80"):  # the first byte of a pickle
        raise _refusal(path)
    if not content.startswith(b"PK\x03\x04"):
        raise _Damaged("is not a checkpoint")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            intact = archive.testzip() is None
    except Exception:  # a damaged or hostile file may fail in any way
        intact = False
    loaded = _unpickled(content, path) if intact else None
    if loaded is None or _format_of(loaded) == FORMAT:  # which carries a checksum, and an intact one
        raise _Damaged("is truncated or damaged")
    return content


def _unpickled(content: bytes, path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of files that it then refuses
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(member.file_size for member in archive.infolist()) > len(content):
                    raise _Damaged  # compressed, as torch never does: it could fill the memory
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise _refusal(path) from None
    except Exception:  # a damaged or hostile file may fail in any way
        raise _Damaged("is truncated or damaged") from None


def _format_of(loaded: Any) -> int | None:
    number = loaded.get("format") if isinstance(loaded, dict) else None
    return number if type(number) is int else None


def _refusal(path: Path) -> InputError:
    return InputError(
        f"the checkpoint {path} is refused: it holds objects other than tensors and plain values, "
        "which could run code; pcdarts never writes such a file"
    )


def _differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Up to three fields that differ, with both values; empty when none does.

    A field that only one of them has is of an older or newer version, in which it does not exist or does not count.
    """
    names = [name for name in {"job": None, **wanted} if name in saved or name == "job"]
    names = [name for name in names if saved.get(name) != wanted.get(name)]
    told = [f"{shown(name)} is {shown(saved.get(name))} there and {shown(wanted.get(name))} here" for name in names[:3]]
    if len(names) > 3:
        told.append(f"{len(names) - 3} more differ")
    return ", ".join(told)
