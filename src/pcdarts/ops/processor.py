"""Which processor this machine has: what a time that was measured depends on."""

import platform
from pathlib import Path


def processor_name() -> str | None:
    """The processor's name as Linux knows it; elsewhere whatever Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None
