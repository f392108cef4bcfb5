"""Where a job computes."""

import torch

from pcdarts.errors import InputError


def choose_device(name: str, threads: int | None) -> torch.device:
    """The device called `name` ("auto": the GPU if there is one, else the CPU), with so many CPU threads.

    Raises:
        InputError: a GPU that this machine does not have.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
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


def describe_device(device: torch.device) -> str:
    """The device as a search cost names it: the GPU's model, or the CPU with the threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
