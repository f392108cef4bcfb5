"""A supernet that samples more channels begins with the weights of one that sampled fewer."""

import pytest
import torch
from torch import nn

from pcdarts.cell.space import CellSpace
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import Supernet
from pcdarts.supernet.widening import widen

SPACE = CellSpace(4)


def supernet_of(k: int, cells: int = 3) -> Supernet:
    return Supernet(SPACE, channels=8, num_cells=cells, k=k).double()


def sgd_of(network: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), 0.1, 0.9)


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def one_step(network: Supernet, optimizer: torch.optim.SGD) -> None:
    network(torch.rand(2, 3, 8, 8, dtype=torch.double), ArchParameters(SPACE).double().mixture()).sum().backward()
    optimizer.step()


def test_at_the_same_k_all_weights_statistics_and_momenta_are_copied() -> None:
    old, new = supernet_of(2), supernet_of(2)
    before, after = sgd_of(old), sgd_of(new)
    one_step(old, before)
    widen(old, new, chance(), (before, after))
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items())
    buffers = [optimizer.state_dict()["state"] for optimizer in (before, after)]
    assert len(buffers[1]) == len(list(new.parameters()))
    assert all(torch.equal(buffers[0][i]["momentum_buffer"], buffers[1][i]["momentum_buffer"]) for i in buffers[0])
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(old.parameters(), new.parameters(), strict=True))


def test_new_channels_are_copies_of_old_ones_wherever_they_are_read_or_written() -> None:
    old, new = supernet_of(4), supernet_of(2)
    before, after = sgd_of(old), sgd_of(new)
    one_step(old, before)
    widen(old, new, chance(), (before, after))
    narrow, wide = (network.cells[0].operations.dil_conv_3x3 for network in (old, new))
    assert wide.depthwise.shape[1] == 2 * narrow.depthwise.shape[1] == 4
    source = [
        next(i for i in range(2) if torch.equal(wide.depthwise[:, channel], narrow.depthwise[:, i]))
        for channel in range(4)
    ]
    assert source[:2] == [0, 1]
    torch.testing.assert_close(wide.pointwise, narrow.pointwise[:, source][:, :, source])
    torch.testing.assert_close(wide.norm.running_var, narrow.norm.running_var[:, source])
    momenta = before.state[narrow.pointwise]["momentum_buffer"], after.state[wide.pointwise]["momentum_buffer"]
    torch.testing.assert_close(momenta[1], momenta[0][:, source][:, :, source])


def test_supernets_that_differ_in_more_than_k_share_no_weights() -> None:
    with pytest.raises(ValueError, match="differ in K alone"):
        widen(supernet_of(2), supernet_of(2, cells=4), chance())
    with pytest.raises(ValueError, match="K only becomes smaller"):
        widen(supernet_of(2), supernet_of(4), chance())
