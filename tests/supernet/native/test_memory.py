"""When memory runs out, the kernels say so and the process lives on."""

import os
import subprocess
import sys

import pytest
import torch

from pcdarts.supernet.native import cells, protocol

pytestmark = pytest.mark.skipif(not cells.available(), reason="no C++ compiler here")

PASSES_WITH_LITTLE_MEMORY = """
import resource, threading
import torch
from pcdarts.cell.space import CellSpace
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import Supernet

torch.set_num_threads(1)
arch = ArchParameters(CellSpace(3))
supernet = Supernet(arch.space, channels=16, num_cells=2, k=1, kernels="native")
images = torch.randn(16, 3, 24, 24)
supernet(images, arch.mixture()).sum().backward()  # what is made once is made

def attempt(spare):
    supernet(torch.randn(2, 3, 8, 8), arch.mixture())  # the C library gives a thread its own data, or ends the process
    held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + spare, resource.RLIM_INFINITY))
    try:
        supernet(images, arch.mixture()).sum().backward()
    except (MemoryError, RuntimeError):
        outcomes.append("refused")
    else:
        outcomes.append("finished")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

outcomes = []
for spare in (*range(0, 12 << 20, 700_000), 1 << 30):
    thread = threading.Thread(target=attempt, args=(spare,))  # one that has no scratch memory yet
    thread.start()
    thread.join()
print(*outcomes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_search_step_without_memory_is_refused_and_the_process_lives_on():
    # Memory that was given back really is, so that the limit counts.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", PASSES_WITH_LITTLE_MEMORY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.split()
    assert len(outcomes) == 19
    assert outcomes[-1] == "finished"


def test_a_kernel_without_memory_raises_a_memory_error_and_can_be_called_again():
    lanes = cells.images_per_block()
    x, output, statistics = torch.ones(1, 2, 4, 4, lanes), torch.zeros(1, 1, 4, 4, lanes), torch.zeros(2, 1)
    weight, mean, variance = torch.ones(1, 2), torch.zeros(1), torch.ones(1)

    def convolve(in_channels: int) -> None:
        shape = protocol.PreprocessShape(
            batch=lanes, in_channels=in_channels, out_channels=1, height=4, width=4, stride=1, training=False
        )
        tensors = protocol.fill(
            protocol.PreprocessTensors, x.dtype, input=x, weights=[weight, None], output=output, statistics=statistics,
            running_mean=mean, running_var=variance,
        )  # fmt: skip
        cells._call("preprocess_forward", x.dtype, shape, tensors)

    with pytest.raises(MemoryError, match="the native kernels found no memory"):
        convolve(2**44)
    convolve(2)
    torch.testing.assert_close(output, torch.full_like(output, 2), rtol=1e-4, atol=0)
