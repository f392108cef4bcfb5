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
from pcdarts.ops.processor import processor_name
from pcdarts.run.device import choose_device, describe_device


def describe_environment(device: str, threads: int | None) -> dict[str, Any]:
    """What `env.json` holds; `device` and `threads` are those of the configuration.

    Raises:
        InputError: there is no such device.
    """
    chosen = choose_device(device, threads)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "pcdarts": pcdarts.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "torchvision", "numpy")},
        "platform": platform.platform(),
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": describe_device(chosen),
    }


def _command() -> list[str]:
    """What was typed; of another program that calls pcdarts its name alone, since its arguments are its own affair."""
    program = Path(sys.argv[0] if sys.argv else "")
    is_ours = program.stem == "pcdarts" or program.parent.name == "pcdarts"
    return ["pcdarts", *sys.argv[1:]] if is_ours else [program.name]


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
