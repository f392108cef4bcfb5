"""Every kernel by itself, at every width that this machine can run: `kernels_test.cpp` holds it to plain loops."""

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from pcdarts.supernet.native import build, target
from pcdarts.supernet.native.compiler import find_compiler

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler here")
PROGRAM, HEADERS = Path(__file__).with_name("kernels_test.cpp"), Path(build.__file__).parent
KERNELS, PRECISIONS = ("depthwise", "products", "pooling", "fold", "memory"), ("float32", "float64")

CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
"""Of the Debian packages g++-aarch64-linux-gnu and qemu-user."""


def printed(command: list[str], program: Path, headers: Path, source: Path = PROGRAM, runner: tuple[str, ...] = ()):
    """What the program prints that the compiler makes."""
    subprocess.run([*command, "-std=c++17", "-O0", "-w", f"-I{headers}", source, "-o", program], check=True)
    return subprocess.run([*runner, program], capture_output=True, text=True, check=False).stdout.splitlines()


def by_kernel(lines: list[str]) -> dict[str, str]:
    return {" ".join(line.split()[:2]): " ".join(line.split()[2:]) for line in lines}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the program prints for a target, kernel by kernel; compiled once for each."""

    @functools.cache
    def run(name: str, headers: Path = HEADERS) -> dict[str, str]:
        program = tmp_path_factory.mktemp("kernels") / name
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(target.VARIABLE, name)
            flags = target.target_flags()
        return by_kernel(printed([*find_compiler().command, *flags], program, headers))

    return run


@needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", target.targets())
def test_a_kernel_computes_what_plain_loops_do(report, name, kernel, precision):
    assert report(name)[f"{kernel} {precision}"] == "right"


@pytest.mark.skipif(
    shutil.which(CROSS_COMPILER) is None or shutil.which(EMULATOR) is None, reason="no compiler or emulator of AArch64"
)
def test_on_a_processor_with_neon_every_kernel_computes_what_plain_loops_do(tmp_path):
    command = [CROSS_COMPILER, "-static", target._FLAGS["aarch64"]["baseline"]]
    which = tmp_path / "which.cpp"
    which.write_text('#include <cstdio>\n#include "lanes.h"\nint main() { std::puts(pcdarts::PROCESSOR.name); }\n')
    assert printed(command, tmp_path / "which", HEADERS, which, (EMULATOR,)) == ["NEON"]
    found = by_kernel(printed(command, tmp_path / "kernels", HEADERS, runner=(EMULATOR,)))
    assert found == {f"{kernel} {precision}": "right" for kernel in KERNELS for precision in PRECISIONS}


@needs_compiler
def test_a_kernel_that_is_wrong_is_named_and_the_others_are_not(report, tmp_path):
    faults = {
        "fold.h": ("fold.bias[i] = T(-scale * mean);", "fold.bias[i] = T(scale * mean);"),
        "pooling.h": ("T(1) / T(window.count())", "T(window.bottom + window.right < 5 ? NAN : 1) / window.count()"),
    }
    for header in HEADERS.glob("*.h"):
        text = header.read_text("utf-8")
        right, wrong = faults.pop(header.name, ("", ""))
        assert right in text
        (tmp_path / header.name).write_text(text.replace(right, wrong) if right else text, "utf-8")
    assert not faults
    found = report(target.NATIVE, tmp_path)
    wrong = {kernel for kernel, words in found.items() if words != "right"}
    assert wrong == {f"{kernel} {precision}" for kernel in ("fold", "pooling") for precision in PRECISIONS}
    assert found["fold float64"].startswith("wrong by ")
    assert found["fold float64"].endswith(" in training")
    assert found["pooling float64"].startswith("wrong by inf in average")  # a single NaN, before numbers that are right
