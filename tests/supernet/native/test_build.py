"""Compiling the kernels: once, for whoever has a compiler, without harm to whoever has none."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pcdarts.supernet.native import build

needs_compiler = pytest.mark.skipif(build.load() is None, reason="no C++ compiler here")

USE = """
import torch, pcdarts
space = pcdarts.CellSpace(3)
supernet = pcdarts.Supernet(space, channels=4, num_cells=1)
logits = supernet(torch.zeros(2, 3, 4, 4), pcdarts.ArchParameters(space).mixture())
print(supernet.kernels, list(logits.shape))
"""


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        env={**os.environ, "CXXFLAGS": "-O0", **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_without_a_compiler_the_plain_supernet_does_the_work(tmp_path):
    done = run_python(USE, PATH=str(tmp_path), CXX="", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (done.stdout, done.stderr) == ("plain [2, 10]\n", "")


def test_native_kernels_without_a_compiler_are_an_error_that_says_what_to_do(tmp_path):
    code = USE.replace("num_cells=1", 'num_cells=1, kernels="native"')
    done = run_python(code, PATH=str(tmp_path), CXX="", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "no C++ compiler works here: install g++ or clang" in done.stderr


def test_a_compiler_that_fails_is_said_and_the_plain_supernet_does_the_work(tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    done = run_python(USE, CXX=str(compiler), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.stdout == "plain [2, 10]\n"
    assert "the native kernels could not be compiled, the plain ones are used: no such thing" in done.stderr


@needs_compiler
def test_a_cache_folder_that_cannot_be_written_is_said_and_the_kernels_are_used(tmp_path):
    folder = tmp_path / "file"
    folder.write_text("")
    done = run_python(USE, XDG_CACHE_HOME=str(folder))
    assert done.stdout == "native [2, 10]\n"
    assert "cannot be kept, so every start compiles them" in done.stderr


def test_a_library_that_others_could_have_put_there_is_not_loaded(tmp_path):
    made, library = tmp_path / "made.so", tmp_path / "pcdarts" / "kernels.so"
    made.write_bytes(b"a library")
    build._keep(made, library)
    assert build._is_kept(library)
    library.parent.chmod(0o777)
    assert not build._is_kept(library)
    with pytest.raises(PermissionError, match="others may write to it"):
        build._keep(made, library)


def test_a_user_without_a_home_keeps_the_library_in_a_folder_of_their_own(monkeypatch, tmp_path):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(build.Path, "home", no_home)
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path))
    assert build._folder().parent == tmp_path


@needs_compiler
def test_flags_that_cannot_be_read_are_said(monkeypatch):
    monkeypatch.setenv("CXXFLAGS", "'")
    with pytest.warns(UserWarning, match="could not be compiled, the plain ones are used: No closing quotation"):
        assert build.load.__wrapped__() is None
    assert not build.is_missing()


@needs_compiler
def test_several_processes_may_compile_at_once_and_leave_one_library(tmp_path):
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: run_python(USE, XDG_CACHE_HOME=str(tmp_path)), range(2)))
    assert [run.stdout for run in runs] == ["native [2, 10]\n"] * 2
    assert [path.suffix for path in (tmp_path / "pcdarts").iterdir()] == [".so"]


@needs_compiler
def test_a_damaged_library_is_compiled_again(tmp_path):
    run_python(USE, XDG_CACHE_HOME=str(tmp_path))
    (library,) = (tmp_path / "pcdarts").iterdir()
    library.write_bytes(b"\x7fELF")
    done = run_python(USE, XDG_CACHE_HOME=str(tmp_path))
    assert (done.stdout, done.stderr) == ("native [2, 10]\n", "")
