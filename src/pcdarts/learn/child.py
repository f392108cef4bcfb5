"""The memory and time of a step, measured in a fresh process: nothing that ran before can hide or add to them."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pcdarts.cell.space import stem_stride
from pcdarts.errors import RunError
from pcdarts.learn.steps import SearchStep, Setting

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """One step, in bytes and seconds."""

    step_bytes: int
    """Peak of the step less what the process (or the GPU) held before it."""
    total_bytes: int
    """Peak of the whole process, or of the GPU's memory."""
    weight_seconds: float
    arch_seconds: float


def measure_in_child(setting: Setting, *, timed: bool, limit: float | None = None) -> Measured | None:
    """Take the peak memory of one search step in a process of its own, and, if `timed`, the seconds of its two parts.

    Returns:
        None when it takes longer than `limit` seconds in all, or when the system ends it for want of memory.

    Raises:
        RunError: the process fails in another way.
    """
    command = [sys.executable, "-m", __name__, json.dumps({**asdict(setting), "timed": timed})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return Measured(**json.loads(done.stdout.splitlines()[-1]))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode == -9 or "memory" in last.lower():
        return None
    raise RunError(f"the process that measures a step failed (exit code {done.returncode}): {last}")


def measure(setting: Setting, *, timed: bool) -> Measured:
    """The same in this process."""
    SearchStep(tiny(setting)).search_step()  # loads what the first step of a process needs, and leaves next to nothing
    step = SearchStep(setting)
    step_bytes, total_bytes = peak_of(step.search_step, step.device)
    if not timed:
        return Measured(step_bytes, total_bytes, 0.0, 0.0)
    return Measured(step_bytes, total_bytes, shortest(step, step.weight_step), shortest(step, step.arch_step))


def shortest(step: SearchStep, part: Callable[[], Any]) -> float:
    """Seconds of the fastest of some repetitions of a part: what others do on the machine only makes it slower."""
    times = [step.seconds(part)]
    while len(times) < 4 and sum(times) < 2:
        times.append(step.seconds(part))
    return min(times)


def tiny(setting: Setting) -> Setting:
    """The same computed on so few and small maps that the memory it leaves behind does not count."""
    side = 8 * stem_stride(setting.kind)
    return replace(setting, channels=2 * setting.k, num_cells=3, batch_size=2, image_size=side)


def peak_of(part: Callable[[], Any], device: torch.device) -> tuple[int, int]:
    """The peak memory of one call in bytes: above what was held before it, and in all."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        part()
        peak = torch.cuda.max_memory_allocated(device)
        return peak - before, peak
    try:
        CLEAR_REFS.write_text("5")  # Linux: the peak so far is forgotten
    except OSError:
        before = _largest_resident()
        part()
        return _largest_resident() - before, _largest_resident()
    before = _status("VmRSS")
    part()
    peak = _status("VmHWM")
    return peak - before, peak


def _status(name: str) -> int:
    """A line of the process's status, such as VmRSS, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _largest_resident() -> int:
    """The largest resident size of this process so far, in bytes; it cannot be reset, and Windows has none."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    wanted = order.pop("timed")
    print(json.dumps(asdict(measure(Setting(**order), timed=wanted))))
