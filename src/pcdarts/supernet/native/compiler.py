"""The C++ compiler of this machine, and how it makes a library of the kernels."""

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SYSTEMS = {"Linux": "Linux", "Darwin": "macOS"}
"""Where the kernels can be compiled, by the name that Python knows."""
_HERE = Path(__file__).parent
_ZIG_NAMES = {"-march=x86-64": "-mcpu=baseline", "-march=armv8-a": "-mcpu=baseline"}
_SHARED = ("libstdc++.so", "libgcc_s.so", "libm.so", "libc.so", "libdl.so")


class Compiler(NamedTuple):
    """The command that starts it, and what it prints as its version."""

    command: tuple[str, ...]
    version: bytes
    is_zig: bool = False


def find_compiler() -> Compiler | None:
    """$CXX, the system's, or that of the package `ziglang`: the first that runs, None where none does."""
    if platform.system() not in SYSTEMS:
        return None
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        # macOS has a c++ that only offers to install one.
        if name and (path := shutil.which(name)) and (version := _printed(path, "--version")) is not None:
            return Compiler((path,), version)
    package = importlib.util.find_spec("ziglang")
    if package is None or package.origin is None:
        return None
    path = str(Path(package.origin).with_name("zig"))
    version = _printed(path, "version")
    return None if version is None else Compiler((path, "c++"), version, is_zig=True)


def make_library(compiler: Compiler, flags: list[str], folder: Path) -> tuple[Path, ctypes.CDLL]:
    """Compile the kernels into an empty folder, and load them from there.

    Raises:
        OSError, subprocess.SubprocessError: the compiler does not work.
    """
    made, objects = folder / "kernels.so", [folder / "kernels.o", folder / "runtime.o"]
    compile_, kernels = [*compiler.command, *flags], str(_HERE / "kernels.cpp")
    if compiler.is_zig:
        compile_ = [_ZIG_NAMES.get(word, word) for word in compile_]
        compile_.append("-fno-sanitize=undefined")  # zig adds the sanitiser to unoptimised code
        # Building LLVM's C++ library takes a minute. The library that PyTorch has loaded is enough, with runtime.cpp,
        # as long as the kernels use only what is in headers (no strings or streams).
        sources = [kernels, str(_HERE / "runtime.cpp")]
        lean = [[*compile_, "-c", source, "-o", str(at)] for source, at in zip(sources, objects, strict=True)]
        lean.append([*compiler.command, "-shared", "-nostdlib", *map(str, objects), *_loaded(), "-o", str(made)])
        if (library := _try(lean, made, folder)) is not None:
            return made, library
        made = folder / "whole.so"
    _run([*compile_, "-shared", kernels, "-o", str(made)], folder)
    return made, ctypes.CDLL(str(made))


def _try(commands: list[list[str]], made: Path, folder: Path) -> ctypes.CDLL | None:
    """Load what the commands make; None where they fail."""
    try:
        for command in commands:
            _run(command, folder)
        return ctypes.CDLL(str(made))
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:  # killed
            raise
        return None
    except OSError:
        return None


def _run(command: list[str], folder: Path) -> None:
    # In a session of its own: Ctrl-C would stop the compiler too, and look like a compiler that does not work.
    subprocess.run(
        command,
        capture_output=True,
        check=True,
        timeout=600,
        start_new_session=True,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)},
    )


def _printed(*command: str) -> bytes | None:
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _loaded() -> list[str]:
    """The system's C and C++ libraries that PyTorch has loaded, as Linux knows them."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    paths = {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    return sorted(path for path in paths if Path(path).name.startswith(_SHARED))
