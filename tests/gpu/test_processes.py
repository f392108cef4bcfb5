"""Several processes with a GPU each, as far as one card shows it, and one process with less memory than it needs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from command_line import SEARCH, differences, done, end_of, error_line, ours, run_in, torchrun
from on_a_gpu import draw_images, make_supernet
from pcdarts.errors import InputError
from pcdarts.run.device import choose_device, set_determinism
from pcdarts.run.processes import Processes


@pytest.fixture
def told_of_another(tmp_path: Path, device: torch.device) -> Iterator[Processes]:
    """What a process has that believes in a second one, so that it communicates: over NCCL on a GPU, with itself."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield Processes(rank=0, count=2)
    dist.destroy_process_group()


def test_what_processes_tell_each_other_goes_over_nccl(device: torch.device, told_of_another: Processes) -> None:
    processes = told_of_another
    backend = dist.group.WORLD._get_backend(device)  # type: ignore[union-attr]
    assert type(backend).__name__ == ("ProcessGroupNCCL" if device.type == "cuda" else "ProcessGroupGloo")
    values = torch.arange(6.0, device=device).view(2, 3)
    assert torch.equal(processes.total(values), values)
    first, second = processes.average([values, values[0]])  # of two, of which one never answers
    assert torch.equal(first, values / 2)
    assert torch.equal(second, values[0] / 2)
    assert torch.equal(processes.gather(values), values.cpu())
    assert processes.gather_lines(["a", "b", "a"]) == ["a", "b"]
    assert processes.any(True, False) == [True, False]
    assert processes.share(b"order") == b"order"
    module = nn.BatchNorm2d(4).to(device)
    module.running_mean.uniform_()
    before = module.running_mean.clone()
    processes.share_buffers(module)
    processes.check_same(module, "weights")
    processes.barrier()
    assert torch.equal(module.running_mean, before)


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_gradients_averaged_over_nccl_are_those_of_one_process(
    device: torch.device, told_of_another: Processes, sampling: str
) -> None:
    supernet, arch = make_supernet(sampling=sampling)
    supernet, arch = supernet.to(device), arch.to(device)
    masks = supernet.draw_masks() if sampling == "random" else None
    images, labels = draw_images(4, 3, 8, 8).to(device), torch.arange(4, device=device)
    gradients = []
    for network in (supernet, told_of_another.distribute(deepcopy(supernet))):
        F.cross_entropy(network(images, arch.mixture().detach(), masks), labels).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for alone, averaged in zip(*gradients, strict=True):
        torch.testing.assert_close(averaged, alone, rtol=1e-9, atol=1e-12)


def test_torchrun_with_one_process_computes_what_the_command_alone_does(tmp_path: Path, device: torch.device) -> None:
    command = [*SEARCH, "--epochs", "2", "--deterministic", "--device", device.type]
    ended = end_of(torchrun(tmp_path, *command, "--run", "run", count=1))
    assert ended.code == 0, ended.err
    assert ours(ended) == []
    try:
        done(tmp_path, *command, "--run", "alone")
    finally:
        set_determinism(False)
    assert differences(tmp_path / "run", tmp_path / "alone") == []


def test_a_process_without_a_gpu_of_its_own_is_refused(gpu: torch.device) -> None:
    count = torch.cuda.device_count()
    with pytest.raises(InputError, match=f"this machine has {count} GPUs"):
        choose_device(gpu.type, None, local_rank=count)


SPARE_BYTES = 300 * 2**20


@contextmanager
def little_memory_left() -> Iterator[None]:
    """So little of the card's memory for this process; those that it starts have all of it."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + SPARE_BYTES) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (
            "search --k 1 --channels 15 --num-cells 5 --train-images 1200 --batch-size 500 --epochs 1 "
            "--arch-frozen-epochs 0",
            "K = 1, 5 cells of 15 channels, images of 28x28 pixels, first order",
        ),
        (
            "train --genotype darts_v1 --channels 32 --num-cells 8 --train-images 600 --batch-size 500 --epochs 1",
            "8 cells of 32 channels, images of 28x28 pixels",
        ),
    ],
    ids=["search", "train"],
)
def test_a_step_too_large_for_the_card_ends_in_a_line_that_says_what_would_fit(
    tmp_path: Path, gpu: torch.device, command: str, needs: str
) -> None:
    with little_memory_left():
        ended = run_in(tmp_path, *command.split(), "--device", gpu.type, "--run", "run")
    assert ended.code == 1, ended
    assert error_line(ended).startswith(f"out of memory in a step of 500 images with {needs}; one of 250 images fits: ")
    assert re.search(r"--batch-size 250, or with --gradient-accumulation-steps 2", ended.err)


def test_a_network_too_large_for_the_card_ends_in_a_line(tmp_path: Path, gpu: torch.device) -> None:
    command = "train --genotype darts_v1 --channels 200 --num-cells 20 --train-images 40 --batch-size 20 --epochs 1"
    with little_memory_left():
        ended = run_in(tmp_path, *command.split(), "--device", gpu.type, "--run", "run")
    assert ended.code == 1, ended
    assert error_line(ended).startswith("out of memory: use a smaller network")
