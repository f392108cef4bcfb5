"""Where a run took place: the versions, machine and command that its figures depend on, and nothing personal."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import pcdarts
from pcdarts.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device that a configuration names: auto is the GPU if there is one.

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device is {name}, but PyTorch sees {torch.cuda.device_count()} GPUs: use auto or cpu")
    return device


def describe_environment(device: str, threads: int | None) -> dict[str, Any]:
    """What `env.json` holds; `device` and `threads` are those of the configuration."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["pcdarts", *sys.argv[1:]],
        "pcdarts": pcdarts.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "torchvision", "numpy")},
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "device": _device_name(choose_device(device)),
    }


def _commit() -> str | None:
    """The git commit of the source tree that this package runs from; None when it runs from an installation."""
    source = Path(__file__).parent
    command = ["git", "-C", str(source), "ls-files", "--error-unmatch", "environment.py"]
    try:
        tracked = subprocess.run(command, capture_output=True, timeout=10).returncode == 0
        head = subprocess.run(
            ["git", "-C", str(source), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() or None if tracked else None


def _cpu_model() -> str | None:
    """The CPU's name as Linux knows it; elsewhere whatever Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
