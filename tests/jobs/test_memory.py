"""Out of memory: one line that names what was too large, and what would fit."""

import re
import sys
from pathlib import Path

import pytest

from command_line import end_of, error_line
from forked import Forked

LITTLE_MEMORY = """
import resource, sys
import torch, pcdarts.jobs.search, pcdarts.jobs.train
from pcdarts.cli import run_command
torch.nn.functional.conv2d(torch.zeros(2, 4, 8, 8), torch.zeros(4, 4, 3, 3))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(run_command(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (
            "search --kernels plain --k 4 --channels 4 --train-images 300 --batch-size 110",
            "K = 4, 5 cells of 4 channels, images of 28x28 pixels, first order",
        ),
        (
            "train --genotype darts_v1 --channels 8 --num-cells 5 --train-images 150 --batch-size 70",
            "5 cells of 8 channels, images of 28x28 pixels",
        ),
    ],
    ids=["search", "train"],
)
def test_a_step_too_large_for_the_memory_ends_in_a_line_that_says_what_would_fit(
    tmp_path: Path, command: str, needs: str
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits the memory of a process")
    images = int(command.split()[-1])
    ended = end_of(Forked(tmp_path, *command.split(), "--threads", "1", "--run", "run", code=LITTLE_MEMORY))
    assert ended.code == 1, ended.err
    assert error_line(ended).startswith(f"out of memory in a step of {images} images with {needs}")
    found = re.search(r"; one of (\d+) images fits: .* --batch-size (\d+), or .*-steps (\d+)", ended.err)
    assert found
    fitting, batch_size, parts = map(int, found.groups())
    assert 2 <= fitting == batch_size <= images // 2
    assert parts * fitting >= images


def test_a_network_too_large_for_the_memory_ends_in_a_line(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits the memory of a process")
    command = "train --genotype darts_v1 --channels 512 --train-images 40 --batch-size 20 --threads 1 --run run"
    ended = end_of(Forked(tmp_path, *command.split(), code=LITTLE_MEMORY))
    assert ended.code == 1, ended.err
    assert error_line(ended).startswith("out of memory: use a smaller network")
