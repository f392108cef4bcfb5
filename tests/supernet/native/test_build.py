"""Compiling the kernels: once, for whoever has a compiler, without harm to whoever has none."""

import ctypes
import inspect
import shlex
import subprocess
import sys

import pytest
import torch

import pcdarts
from command_line import Ended, end_of
from forked import Forked
from pcdarts.supernet.native import build, protocol

COMPILER = getattr(build.find_compiler(), "command", None)
needs_compiler = pytest.mark.skipif(build.load() is None, reason="no C++ compiler here")


QUICK = """#!/bin/sh
[ $1 = --version ] && exec "{compiler}" --version
while [ "$1" != -o ]; do shift; done
exec cp "{library}" "$2"
"""
"""A compiler that is asked for the kernels alone, and gives a copy of those that this machine has: it takes no time."""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Environment variables of a machine on which this process has compiled nothing yet, with an empty cache folder."""
    if build.load() is not None:
        compiler = tmp_path / "quick"
        compiler.write_text(QUICK.format(compiler=COMPILER[0], library=build.library_path()))
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build.load.cache_clear()
    yield monkeypatch
    build.load.cache_clear()


def without_compiler(machine, empty_folder):
    machine.setenv("PATH", str(empty_folder))
    machine.delenv("CXX", raising=False)
    machine.setitem(sys.modules, "ziglang", None)


def use(**options):
    """A pass through a small supernet: the kernels that it took, and the shape of the logits."""
    space = pcdarts.CellSpace(3)
    supernet = pcdarts.Supernet(space, channels=4, num_cells=1, **options)
    logits = supernet(torch.zeros(2, 3, 4, 4), pcdarts.ArchParameters(space).mixture())
    return supernet.kernels, list(logits.shape)


def test_without_a_compiler_the_plain_supernet_does_the_work(machine, tmp_path):
    without_compiler(machine, tmp_path)
    assert use() == ("plain", [2, 10])  # and a warning would be an error


def test_native_kernels_without_a_compiler_are_an_error_that_says_what_to_do(machine, tmp_path):
    without_compiler(machine, tmp_path)
    with pytest.raises(pcdarts.InputError, match=r"no C\+\+ compiler works here: .* pip install 'pcdarts\[native\]'"):
        use(kernels="native")


def test_a_compiler_that_fails_is_said_and_the_plain_supernet_does_the_work(machine, tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    machine.setenv("CXX", str(compiler))
    message = "the native kernels could not be compiled, the plain ones are used: no such thing"
    with pytest.warns(UserWarning, match=message):
        assert use() == ("plain", [2, 10])


@needs_compiler
def test_a_cache_folder_that_cannot_be_written_is_said_and_the_kernels_are_used(machine, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.warns(UserWarning, match="cannot be kept, so every start compiles them"):
        assert use() == ("native", [2, 10])


@needs_compiler
def test_a_damaged_library_is_compiled_again(machine):
    library = build.library_path()
    library.parent.mkdir(parents=True, mode=0o700)
    library.write_bytes(b"\x7fELF")
    assert use() == ("native", [2, 10])
    assert ctypes.CDLL(str(library))


@needs_compiler
def test_a_library_whose_structures_differ_is_compiled_again(machine, tmp_path):
    """One with the functions, but of a version whose structures were others, under the name of the one wanted."""
    source = tmp_path / "other.cpp"
    other = protocol.layout().replace("shuffles 56", "mixes 56").replace("\n", "\\n")
    source.write_text(f'extern "C" const char* pcdarts_layout() {{ return "{other}"; }}\n')
    library = build.library_path()
    library.parent.mkdir(parents=True, mode=0o700)
    subprocess.run([*COMPILER, "-shared", "-fPIC", source, "-o", library], check=True)
    assert use() == ("native", [2, 10])
    assert b"mixes 56" not in library.read_bytes()


@needs_compiler
def test_headers_of_another_version_are_said_and_the_plain_supernet_does_the_work(machine):
    fields = [(name, kind) for name, kind in protocol.PreprocessShape._fields_ if name != "stride"]
    other = type("PreprocessShape", (ctypes.Structure,), {"_fields_": fields})
    structures = [other if each is protocol.PreprocessShape else each for each in protocol._STRUCTURES]
    machine.setattr(protocol, "_STRUCTURES", structures)
    message = r"the plain ones are used: their headers have other structures than native/protocol\.py: install pcdarts"
    with pytest.warns(UserWarning, match=message):
        assert use() == ("plain", [2, 10])


@needs_compiler
def test_a_library_that_others_could_have_put_there_is_not_loaded(machine):
    assert use() == ("native", [2, 10])
    library = build.library_path()
    before = library.stat()
    library.parent.chmod(0o777)
    build.load.cache_clear()
    assert build.is_missing()
    with pytest.warns(UserWarning, match="every start compiles them: .* others may write to it"):
        assert use() == ("native", [2, 10])
    assert library.stat() == before  # and none is put there


@needs_compiler
def test_flags_that_cannot_be_read_are_said(machine):
    machine.setenv("CXXFLAGS", "'")
    with pytest.warns(UserWarning, match="the plain ones are used: CXXFLAGS cannot be read: No closing"):
        assert build.load() is None
    assert not build.is_missing()


@needs_compiler
def test_of_several_processes_one_compiles_and_the_others_wait_for_its_library(tmp_path):
    compiler, compiled = tmp_path / "counted", tmp_path / "compiled.txt"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> "{compiled}"\nexec {shlex.join(COMPILER)} "$@"\n')
    compiler.chmod(0o755)
    environment = {"CXX": str(compiler), "CXXFLAGS": "-O0", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    strict = "import warnings\nwarnings.simplefilter('error', DeprecationWarning)"
    code = f"import torch, pcdarts\n{strict}\n{inspect.getsource(use)}\nprint(*use())"
    runs = [Forked(tmp_path, code=code, environment=environment) for _ in range(2)]
    assert [end_of(run) for run in runs] == [Ended(0, "native [2, 10]\n", "")] * 2
    assert [path.suffix for path in (tmp_path / "cache" / "pcdarts").iterdir()] == [".so"]
    assert compiled.read_text().count(" -shared ") == 1
