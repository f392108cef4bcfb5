"""Checkpoints: saved whole or not at all, loaded without unpickling anything but tensors and plain values."""

import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pcdarts.errors import InputError
from pcdarts.run.folder import write_bytes

FORMAT = 1
REMEDY = "restore the file from a copy, or start a new run"


def save_checkpoint(path: Path, state: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """Replace `path` by a checkpoint of `state` (tensors and plain values, nested in dicts, lists and tuples).

    `fingerprint` is what `load_checkpoint` must be given to load it again: `config.fingerprint()`.

    Raises:
        RunError: it cannot be saved; the earlier checkpoint stays as it was.
    """
    buffer = io.BytesIO()  # in memory first: an error while writing is then an OSError, never one of the zip writer
    torch.save({"format": FORMAT, "fingerprint": dict(fingerprint), "state": dict(state)}, buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The state saved at `path`, on the CPU.

    Raises:
        InputError: no such file, truncated, not a checkpoint, holds more than tensors and plain values, another
            format, or saved by a run with another configuration.
    """
    content = _load(path)
    if content["format"] != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {content['format']}, but this version of pcdarts reads {FORMAT}: "
            "resume with the version that wrote it, or start a new run"
        )
    saved, state = content.get("fingerprint"), content.get("state")
    if not isinstance(saved, dict) or not isinstance(state, dict):
        raise InputError(f"the checkpoint {path} was not written by pcdarts: {REMEDY}")
    differences = _differences(saved, fingerprint)
    if differences:
        raise InputError(
            f"{path} belongs to another configuration ({differences}): "
            "resume with the configuration it was saved with, or start a new run"
        )
    return state


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    if not start:
        raise InputError(f"the checkpoint {path} is empty: {REMEDY}")
    if start != b"PK\x03\x04":
        raise InputError(f"the checkpoint {path} is not a checkpoint: {REMEDY}")
    try:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of files that it then refuses
            if archive.testzip():
                raise zipfile.BadZipFile
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"the checkpoint {path} is refused: it holds objects other than tensors and plain values, "
            "which could run code; pcdarts never writes such a file"
        ) from None
    except Exception:  # a damaged or hostile file may fail in any way
        raise InputError(f"the checkpoint {path} is truncated or damaged: {REMEDY}") from None
    if not isinstance(content, dict) or "format" not in content:
        raise InputError(f"the checkpoint {path} was not written by pcdarts: {REMEDY}")
    return content


def _differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Up to three fields that differ, with both values; empty when none does."""
    names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    told = [f"{name} is {saved.get(name)} there and {wanted.get(name)} here" for name in names[:3]]
    if len(names) > 3:
        told.append(f"{len(names) - 3} more differ")
    return ", ".join(told)
