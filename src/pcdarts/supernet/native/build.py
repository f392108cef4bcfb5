"""Compile the kernels once per machine and load them."""

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch

from pcdarts.cache import cache_folder, is_private, one_at_a_time, replace_file
from pcdarts.supernet.native.compiler import Compiler, find_compiler, make_library
from pcdarts.supernet.native.protocol import is_ours
from pcdarts.supernet.native.target import processor, target, target_flags

_SOURCES = sorted([*Path(__file__).parent.glob("*.h"), *Path(__file__).parent.glob("*.cpp")])
_FLAGS = ["-std=c++17", "-O2", "-fPIC", "-fopenmp-simd", "-fno-tree-ter"]
"""Without the last one g++ loads all that a long sum reads before it adds anything, and has no registers for it."""


@functools.cache
def load() -> ctypes.CDLL | None:
    """The compiled kernels, or None where they cannot be made; the first call on a machine compiles them.

    Raises:
        InputError: the target that the environment names does not exist, or cannot be run here.
    """
    target()
    compiler = find_compiler()
    if compiler is None:
        return None
    try:
        library = _library(compiler)
        if (kernels := _open(library)) is not None:
            return kernels
        with one_at_a_time(library.parent):
            return _open(library) or _compile(compiler, library)
    except (OSError, ValueError, subprocess.SubprocessError) as error:  # ValueError: $CXXFLAGS, too
        reason = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace").strip()
        warnings.warn(
            f"the native kernels could not be compiled, the plain ones are used: {reason[:500]}", stacklevel=2
        )
        return None


def is_missing() -> bool:
    """Whether `load` will compile.

    Raises:
        InputError: as `load`.
    """
    target()
    compiler = find_compiler()
    try:
        return compiler is not None and not _is_kept(_library(compiler))
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def library_path() -> Path | None:
    """Where the library is or will be; None where no compiler works."""
    compiler = find_compiler()
    try:
        return None if compiler is None else _library(compiler)
    except (OSError, ValueError):
        return None


def _library(compiler: Compiler) -> Path:
    return cache_folder() / f"kernels-{target()}-{_fingerprint(compiler)}.so"


def _is_kept(library: Path) -> bool:
    return library.exists() and is_private(library.parent)


def _open(library: Path) -> ctypes.CDLL | None:
    """None when the library does not exist, is damaged, has other structures, or may be from another user."""
    try:
        found = ctypes.CDLL(str(library)) if _is_kept(library) else None
    except OSError:
        return None
    return found if found is not None and is_ours(found) else None


def _flags() -> list[str]:
    # The processor comes last: $CXXFLAGS of a packaging system name one that every machine has.
    try:
        given = shlex.split(os.environ.get("CXXFLAGS", ""))
    except ValueError as error:
        raise ValueError(f"CXXFLAGS cannot be read: {error}") from None
    return [*_FLAGS, *given, *target_flags()]


def _fingerprint(compiler: Compiler) -> str:
    """Changes with the sources, the compiler, PyTorch and the processor."""
    digest = hashlib.sha256(compiler.version + torch.__version__.encode() + processor() + " ".join(_flags()).encode())
    for source in _SOURCES:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _compile(compiler: Compiler, library: Path) -> ctypes.CDLL:
    """Make the library. It appears in one step, even if another process compiles it at the same time.

    Raises:
        OSError, subprocess.SubprocessError: the compiler does not work.
        ValueError: the headers are not those of this version.
    """
    with tempfile.TemporaryDirectory() as folder:
        made, loaded = make_library(compiler, _flags(), Path(folder))
        if not is_ours(loaded):
            raise ValueError("their headers have other structures than native/protocol.py: install pcdarts again")
        try:
            _keep(made, library)
        except OSError as error:
            warnings.warn(
                f"the compiled kernels cannot be kept, so every start compiles them: {error}: set XDG_CACHE_HOME to a "
                "folder of your own that can be written",
                stacklevel=2,
            )
    return loaded


def _keep(made: Path, library: Path) -> None:
    """Put the library in its place in one step.

    Raises:
        OSError: it cannot be written there, or others could replace it.
    """
    library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(made.read_bytes(), library)
