"""Batch statistics over all processes: two processes with a part of a batch each equal one with the whole batch."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import process_pair
from command_line import end_of
from forked import Forked
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.network.network import Network
from pcdarts.ops.synchronize import SynchronizedBatchNorm2d, WholeBatch, sum_over_processes, synchronize_norms


def test_two_processes_equal_one_with_the_whole_batch(tmp_path):
    # One test, because a pair of processes is dear: whatever fails is named.
    one, other = run_pair(tmp_path)
    for case in process_pair.CASES:
        whole = process_pair.run_case(case)
        assert all(one[case][kind].keys() == other[case][kind].keys() == whole[kind].keys() for kind in whole)
        for name, expected in whole["by image"].items():
            check(torch.cat([one[case]["by image"][name], other[case]["by image"][name]]), expected, f"{case}: {name}")
        for name, expected in whole["summed"].items():
            check(one[case]["summed"][name] + other[case]["summed"][name], expected, f"{case}: {name}")
        for name, expected in whole["shared"].items():
            check(one[case]["shared"][name], expected, f"{case}: {name}")
            assert torch.equal(one[case]["shared"][name], other[case]["shared"][name]), f"{case}: {name}"


def run_pair(folder: Path) -> list[dict[str, process_pair.Outcome]]:
    """What two real processes, which talk by gloo, each make of all cases."""
    environment = {"GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    code = Path(process_pair.__file__).read_text()
    processes = [Forked(folder, str(folder), rank, code=code, environment=environment) for rank in "01"]
    for process in processes:
        ended = end_of(process)
        assert ended.code == 0, ended.err
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def check(found: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10, msg=lambda text: f"{name}: {text}")


def test_alone_a_synchronized_norm_is_batch_norm_to_the_bit():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.BatchNorm2d(4, affine=False)
    )
    plain[1][0].weight.data.uniform_(0.5, 2)
    synchronized = copy.deepcopy(plain)
    synchronize_norms(synchronized)
    images = torch.randn(5, 3, 6, 6)
    assert sum(isinstance(module, SynchronizedBatchNorm2d) for module in synchronized.modules()) == 2
    assert torch.equal(synchronized(images), plain(images))
    assert list(synchronized.state_dict()) == list(plain.state_dict())
    assert torch.equal(synchronized.eval()(images), plain.eval()(images))


def test_alone_the_whole_batch_is_that_of_this_process():
    x = torch.randn(5, 3, 4, 6)
    batch = WholeBatch.of(x, over_processes=True)
    assert batch == (5, False)
    assert batch.pixels(x) == 5 * 4 * 6
    assert batch.sums(x)[0] is x
    assert sum_over_processes(x) is x


def test_a_synchronized_network_takes_the_state_of_another():
    options = {"channels": 4, "num_cells": 3, "num_classes": 4}
    torch.manual_seed(0)
    plain = Network(published("pc_darts_cifar10"), **options)
    torch.manual_seed(0)
    synchronized = Network(published("pc_darts_cifar10"), **options, synchronize=True)
    for (name, expected), (other, found) in zip(
        plain.state_dict().items(), synchronized.state_dict().items(), strict=True
    ):
        assert (name, True) == (other, torch.equal(expected, found))
    with pytest.raises(InputError, match="batch of 1 image"):  # of all processes, of which there is one
        synchronized(torch.randn(1, 3, 9, 9))
