"""Which kernels were faster on this machine: what was measured, kept beside the compiled library."""

import functools
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from pcdarts.cache import cache_folder, is_private, one_at_a_time, replace_file
from pcdarts.ops.compiling import never_compiled
from pcdarts.supernet.native.build import library_path
from pcdarts.supernet.native.target import target

LARGEST_FILE = 2**16


@dataclass(frozen=True)
class Answer:
    """Seconds of a forward and backward pass."""

    native: float
    plain: float

    @property
    def kernels(self) -> Literal["native", "plain"]:
        """The faster ones."""
        return "native" if self.native <= self.plain else "plain"

    @property
    def ratio(self) -> float:
        """How many times as fast these are as the others."""
        return max(self.native, self.plain) / min(self.native, self.plain)

    def words(self) -> str:
        """`2.1 times as fast as the plain ones (0.21 s against 0.45 s)`."""
        faster, slower = sorted((self.native, self.plain))
        others = "plain" if self.kernels == "native" else "native"
        return f"{self.ratio:.1f} times as fast as the {others} ones ({faster:.2g} s against {slower:.2g} s)"


def network_class(channels: int, k: int, num_nodes: int, sampling: str) -> str:
    """Networks that have their answers in common, computed by as many threads as now."""
    threads = torch.get_num_threads()
    return f"{channels} channels, K = {k}, {num_nodes} nodes, {sampling} sampling, threads: {threads}"


@never_compiled  # it reads a file
def kept_kernels(network: str) -> Literal["native", "plain"] | None:
    """What all that was measured of a class of networks agrees on; None where it does not, or nothing was.

    Later answers of other processes do not change what this process has read.
    """
    found = {answer.kernels for answer in _kept(cache_folder(), target()).get(network, {}).values()}
    return found.pop() if len(found) == 1 else None


def kept_answer(network: str, step: str) -> Answer | None:
    """What was measured of a class of networks and of steps."""
    return _kept(cache_folder(), target()).get(network, {}).get(step)


def measured_answer(network: str, step: str, measure: Callable[[], Answer]) -> Answer:
    """Measure, unless another process is measuring, and keep the answer if that is possible.

    The kernels must be loaded already.
    """
    file = _file()
    if file is None:
        return measure()
    with one_at_a_time(file.parent):
        known = _read(file)
        if (found := known.get(network, {}).get(step)) is not None:
            return found
        known.setdefault(network, {})[step] = answer = measure()
        text = {name: {each: vars(of) for each, of in steps.items()} for name, steps in known.items()}
        with suppress(OSError):
            replace_file(json.dumps(text, indent=1).encode(), file)
    _kept.cache_clear()
    return answer


@functools.cache
def _kept(folder: Path, name: str) -> dict[str, dict[str, Answer]]:
    """All that was kept in a cache folder for a target."""
    file = _file()
    return {} if file is None else _read(file)


def _file() -> Path | None:
    library = library_path()
    return None if library is None else library.with_suffix(".json")


def _read(file: Path) -> dict[str, dict[str, Answer]]:
    """Empty when the file does not exist, is damaged, or may have been written by another user."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        if is_private(file.parent) and file.stat().st_size <= LARGEST_FILE:
            return {
                network: {step: _checked(**answer) for step, answer in steps.items()}
                for network, steps in json.loads(file.read_bytes()).items()
            }
    return {}


def _checked(native: float, plain: float) -> Answer:
    if not all(isinstance(each, float) and math.isfinite(each) and each > 0 for each in (native, plain)):
        raise ValueError("seconds are positive numbers")
    return Answer(native, plain)
