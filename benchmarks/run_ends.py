"""What a finished run leaves behind, and where two such ends differ, bit by bit.

For `kill_harness.py` and `same_bits.py`. It reads files and imports nothing of pcdarts: the runs may be those of
another version.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAY_DIFFER = ("/seconds", "/hours", "/train_seconds", "/peak_memory_gb", "/kernels_why")
"""What may differ between ends, by the end of its path: times, memory, and the reason given for the kernels."""

NO_RESULT = ("env.json", "state.json")
"""Files that say where a run was computed, and by whom."""

End = dict[str, Any]
"""Tensors and plain values by their path, such as `/checkpoint.pt/state/place/epoch` or `/seed-1/result.json/seed`."""


def end_of(run: Path) -> End:
    """All that a run holds in checkpoints, metrics and JSON files (results and genotypes), but what may differ.

    The runs of several seeds are folders in `run`. Of several records of one epoch the last one counts.
    """
    found: dict[str, Any] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        if path.name == "checkpoint.pt":
            found[name] = torch.load(path, map_location="cpu", weights_only=True)
        elif path.name == "metrics.jsonl":
            found[name] = records(path)
        elif path.suffix == ".json" and path.name not in NO_RESULT:
            found[name] = json.loads(path.read_text("utf-8"))
    return {path: value for path, value in leaves("", found) if not path.endswith(MAY_DIFFER)}


def records(metrics: Path) -> dict[int, dict[str, Any]]:
    """The last record of each epoch; a line that is none is left out."""
    found = {}
    for line in metrics.read_text("utf-8").splitlines():
        with suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            found[record["epoch"]] = record
    return found


def leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    """The values in nested dicts, lists and tuples, each with the path to it."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in items for leaf in leaves(f"{path}/{key}", item)]
    return [(path, value)]


def differences(one: End, other: End) -> list[str]:
    """The paths at which two ends are not the same, bit by bit."""
    shared = one.keys() & other.keys()
    return sorted((one.keys() ^ other.keys()) | {path for path in shared if not same(one[path], other[path])})


def same(one: Any, other: Any) -> bool:
    """Whether two tensors have one type, one shape and the same bits, or two plain values one type and one value."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(bits(one), bits(other))
    return type(one) is type(other) and repr(one) == repr(other)  # so that NaN equals NaN, and 0.0 not -0.0


def bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor: zero and minus zero differ there, and NaN is equal to itself."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)
