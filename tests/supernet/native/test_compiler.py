"""Which compiler makes the kernels: the system's, or that of the package `ziglang`, which needs no other."""

import ctypes
import importlib.util
import shutil
import sys

import pytest
import torch

import pcdarts
from pcdarts.supernet.native import build
from pcdarts.supernet.native.compiler import find_compiler
from pcdarts.supernet.native.target import VARIABLE

needs_ziglang = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="no ziglang here")
SPACE = pcdarts.CellSpace(3)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without programs, where nothing was compiled yet and the home and cache folders are empty."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    for folder in ("bin", "home"):
        (tmp_path / folder).mkdir()
    build.load.cache_clear()
    yield monkeypatch
    build.load.cache_clear()


def gradients(kernels):
    torch.manual_seed(0)
    supernet = pcdarts.Supernet(SPACE, channels=4, num_cells=2, kernels=kernels).double()
    arch = pcdarts.ArchParameters(SPACE).double()
    supernet(torch.randn(3, 3, 8, 8, dtype=torch.double), arch.mixture()).square().sum().backward()
    return [parameter.grad for parameter in [*supernet.parameters(), *arch.parameters()]]


@needs_ziglang
@pytest.mark.parametrize("name", ["native", "baseline"])
def test_without_a_compiler_on_the_path_that_of_ziglang_makes_the_kernels_alone(machine, tmp_path, name):
    machine.setenv(VARIABLE, name)
    machine.setenv("CXXFLAGS", "-O0")
    for ours, expected in zip(gradients("native"), gradients("plain"), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert files == [build._library(find_compiler())]
    if sys.platform == "linux":  # linked with what PyTorch has loaded: to build LLVM's library takes a minute
        assert b"libstdc++.so.6\0" in files[0].read_bytes()


@needs_ziglang
def test_the_compiler_of_the_system_comes_first(machine):
    assert find_compiler().is_zig
    machine.undo()
    compiler = find_compiler()
    assert compiler.is_zig == (not any(shutil.which(name) for name in ("c++", "g++", "clang++")))


def test_a_compiler_that_does_not_run_is_passed_over(machine, tmp_path):
    """As the c++ of macOS, which only offers to install one."""
    machine.setitem(sys.modules, "ziglang", None)
    for name, body in {"c++": "exit 1", "clang++": "echo clang version 1"}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    compiler = find_compiler()
    assert compiler.command == (str(tmp_path / "bin" / "clang++"),)
    assert compiler.version == b"clang version 1\n"


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="a system whose PyTorch has another runtime")
def test_pytorch_has_the_threads_that_the_kernels_look_for():
    assert ctypes.CDLL(None).GOMP_parallel
