"""Where a job computes."""

import os
import time
from collections.abc import Callable

import torch

from pcdarts.errors import InputError
from pcdarts.ops.precision import Amp, check_amp


def prepare_device(name: str, threads: int | None, local_rank: int, amp: Amp, deterministic: bool) -> torch.device:
    """The device that a job computes on, made ready for it.

    Raises:
        InputError: there is no such device, or it has no such precision.
    """
    device = choose_device(name, threads, local_rank)
    set_determinism(deterministic)
    check_amp(amp, device.type)
    return device


def choose_device(name: str, threads: int | None, local_rank: int = 0) -> torch.device:
    """The device called `name` ("auto": the GPU if there is one, else the CPU), with so many CPU threads.

    Without a number the GPU is that of `local_rank`, so that the processes of one machine have one each.

    Raises:
        InputError: a GPU that this machine does not have.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(f"cuda:{local_rank}" if name == "cuda" and local_rank > 0 else name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device is {name}, but this machine has {torch.cuda.device_count()} GPUs: use --device cpu")
    return device


def peak_memory_gb(device: torch.device) -> float:
    """The most memory used so far, in GB: allocated on a GPU, resident in the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    import resource  # not on Windows, where the figure is not available
    import sys

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def seconds_of(part: Callable[[], object], device: torch.device) -> float:
    """How long one call takes; on a GPU from when it is idle until its last kernel has ended."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def describe_device(device: torch.device, processes: int = 1) -> str:
    """The device as a search cost names it: the GPU's model, or the CPU with its threads; and how many of them."""
    times = f"{processes} x " if processes > 1 else ""
    if device.type == "cuda":
        return times + torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{times}cpu ({threads} thread{'s' if threads > 1 else ''})"


def set_determinism(deterministic: bool) -> None:
    """Whether only algorithms may run that give the same bits every time; where PyTorch has none, it says so."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    if deterministic != torch.are_deterministic_algorithms_enabled():  # to ask for it imports all of the compiler
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False
