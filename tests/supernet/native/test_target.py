"""The processor that the kernels are compiled for: this one, or a lesser one that the environment names."""

import platform

import pytest
import torch

from command_line import refused
from pcdarts.errors import InputError
from pcdarts.supernet.native import build, cells, target

needs_compiler = pytest.mark.skipif(build.load() is None, reason="no C++ compiler here")


@pytest.fixture(autouse=True)
def fresh():
    """Nothing that was loaded for another target."""
    build.load.cache_clear()
    yield
    build.load.cache_clear()


def test_kernels_are_made_for_this_processor_unless_the_environment_says_more(monkeypatch):
    monkeypatch.delenv(target.VARIABLE, raising=False)
    assert target.target() == "native"
    monkeypatch.setenv(target.VARIABLE, "")
    assert target.target() == "native"


def test_a_target_that_does_not_exist_is_refused_with_those_that_do(monkeypatch):
    monkeypatch.setenv(target.VARIABLE, "baselin")
    with pytest.raises(InputError, match=r"PCDARTS_NATIVE_TARGET.* no target: did you mean 'baseline'\?"):
        build.load()
    with pytest.raises(InputError, match="no target"):
        build.is_missing()


def test_the_command_line_says_it_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv(target.VARIABLE, "sse9")
    line = refused(tmp_path, "bench", "--repeats", "1")
    assert line.startswith('PCDARTS_NATIVE_TARGET is "sse9", which is no target: use one of native')


def test_a_target_whose_instructions_the_processor_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(target, "processor", lambda: b"flags : sse2 ssse3")
    monkeypatch.setenv(target.VARIABLE, "avx2")
    with pytest.raises(InputError, match=r"whose instructions this processor lacks: unset it, or use one of native, b"):
        build.load()


@needs_compiler
def test_every_target_has_a_library_of_its_own(monkeypatch):
    libraries = set()
    for name in target.targets():
        monkeypatch.setenv(target.VARIABLE, name)
        libraries.add(build._library(build.find_compiler()))
    assert len(libraries) == len(target.targets()) > 1


@needs_compiler
@pytest.mark.parametrize("name", target.targets())
def test_a_block_has_as_many_images_as_a_vector_of_the_target_has_lanes(monkeypatch, name):
    monkeypatch.setenv(target.VARIABLE, name)
    lanes = cells.images_per_block()
    assert f", {lanes} images to a vector, " in cells.description()
    assert cells.pack(torch.ones(lanes + 1, 2, 3, 4)).shape == (2, 2, 3, 4, lanes)
    if name == "avx2":
        assert cells.description() == "AVX2, 8 images to a vector, tiles of 4x3 vectors in 16 registers"
