"""For which processor the kernels are compiled: this one, or a simpler one that an environment variable names.

The width of the kernels follows from it (`lanes.h`), so that every width can be tested and timed on one machine.
"""

import functools
import os
import platform
from pathlib import Path

from pcdarts.errors import InputError, did_you_mean

VARIABLE = "PCDARTS_NATIVE_TARGET"
NATIVE = "native"
_FLAGS = {
    "x86_64": {NATIVE: "-march=native", "avx2": "-march=haswell", "baseline": "-march=x86-64"},
    "aarch64": {NATIVE: "-march=native", "baseline": "-march=armv8-a"},
}
"""Of each kind of processor, its targets and what a compiler calls them."""
_ANY = {NATIVE: "-march=native", "baseline": ""}


def target() -> str:
    """The target that `PCDARTS_NATIVE_TARGET` names, `native` where it is not set.

    Raises:
        InputError: there is no such target, or this processor cannot run what is compiled for it.
    """
    name = os.environ.get(VARIABLE) or NATIVE
    known = targets()
    if name in known:
        return name
    if any(name in flags for flags in _FLAGS.values()):
        raise InputError(
            f'{VARIABLE} is "{name}", whose instructions this processor lacks: unset it, or use one of '
            f"{', '.join(known)}"
        )
    raise InputError(f'{VARIABLE} is "{name}", which is no target: {did_you_mean(name, known)}')


def targets() -> list[str]:
    """The targets whose kernels this processor can run, `native` first."""
    return [name for name in _flags_here() if name != "avx2" or _runs_avx2()]


def target_flags() -> list[str]:
    """The compiler's flags for `target()`."""
    return [flag for flag in [_flags_here()[target()]] if flag]


@functools.cache  # every pass of a supernet asks for the target
def processor() -> bytes:
    """What Linux says of the processor and its instructions; elsewhere its name."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    return b"".join(line for line in lines[:40] if line.startswith((b"model name", b"flags", b"Features")))


def _flags_here() -> dict[str, str]:
    machine = platform.machine().lower()
    return _FLAGS.get({"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine), _ANY)


def _runs_avx2() -> bool:
    """Every Mac of the last ten years runs AVX2; Linux lists it among the instructions of the processor."""
    return platform.system() == "Darwin" or {b"avx2", b"fma"} <= set(processor().split())
