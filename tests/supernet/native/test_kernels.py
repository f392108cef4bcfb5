"""Every kernel by itself, at every width that this machine can run: `kernels_test.cpp` holds it to plain loops."""

import functools
import subprocess
from pathlib import Path

import pytest

from pcdarts.supernet.native import build, target
from pcdarts.supernet.native.compiler import find_compiler

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler here")
PROGRAM = Path(__file__).with_name("kernels_test.cpp")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the program prints for a target, kernel by kernel; compiled once for each."""

    @functools.cache
    def run(name: str, headers: Path = Path(build.__file__).parent) -> dict[str, str]:
        program = tmp_path_factory.mktemp("kernels") / name
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(target.VARIABLE, name)
            flags = ["-std=c++17", "-O0", "-w", f"-I{headers}", *target.target_flags()]
        subprocess.run([*find_compiler().command, *flags, PROGRAM, "-o", program], check=True)
        lines = subprocess.run([program], capture_output=True, text=True, check=False).stdout.splitlines()
        return {" ".join(line.split()[:2]): " ".join(line.split()[2:]) for line in lines}

    return run


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ["depthwise", "products", "pooling", "fold"])
@pytest.mark.parametrize("name", target.targets())
def test_a_kernel_computes_what_plain_loops_do(report, name, kernel, precision):
    assert report(name)[f"{kernel} {precision}"] == "right"


def test_a_kernel_that_is_wrong_is_named_and_the_others_are_not(report, tmp_path):
    for header in Path(build.__file__).parent.glob("*.h"):
        text = header.read_text("utf-8")
        if header.name == "fold.h":
            assert "fold.bias[i] = T(-scale * mean);" in text
            text = text.replace("fold.bias[i] = T(-scale * mean);", "fold.bias[i] = T(scale * mean);")
        (tmp_path / header.name).write_text(text, "utf-8")
    found = report(target.NATIVE, tmp_path)
    assert [kernel for kernel, words in found.items() if words != "right"] == ["fold float32", "fold float64"]
    assert found["fold float64"].startswith("wrong by ")
    assert found["fold float64"].endswith(" in training")
