"""What the native kernels promise besides equality with the equations, which test_equivalence.py holds them to."""

import pytest
import torch
from torch import Tensor

from operations import sizes_alive
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.native import cells
from pcdarts.supernet.native.build import is_missing
from pcdarts.supernet.supernet import Supernet

pytestmark = pytest.mark.skipif(not cells.available(), reason="no C++ compiler here")


def make(k=4, *, sampling="first", channels=8, cells=3):
    torch.manual_seed(0)
    space = CellSpace(5)
    supernet = Supernet(space, channels=channels, num_cells=cells, k=k, channel_sampling=sampling, kernels="native")
    return supernet, ArchParameters(space)


def draw_images(count=20, size=8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def gradients(supernet, arch, images, masks=None) -> list[Tensor]:
    loss = supernet(images, arch.mixture(), masks).square().sum()
    return list(torch.autograd.grad(loss, [*supernet.parameters(), *arch.parameters()]))


def test_the_number_of_threads_changes_no_bit():
    supernet, arch = make()
    threads = torch.get_num_threads()
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(gradients(supernet.double(), arch.double(), draw_images().double()))
    torch.set_num_threads(threads)
    for first, second, third in zip(*found, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_single_precision_is_close_to_double(sampling):
    supernet, arch = make(sampling=sampling)
    masks = supernet.draw_masks() if sampling == "random" else None
    single = torch.cat([gradient.flatten() for gradient in gradients(supernet, arch, draw_images(), masks)])
    double = gradients(supernet.double(), arch.double(), draw_images().double(), masks)
    expected = torch.cat([gradient.flatten() for gradient in double])
    assert (single - expected).norm() < 1e-4 * expected.norm()


def test_images_do_not_see_how_the_batch_is_filled_up():
    supernet, arch = make()
    supernet.eval()
    images = draw_images(35)
    whole = supernet(images, arch.mixture())
    parts = torch.cat([supernet(part, arch.mixture()) for part in images.split(7)])
    torch.testing.assert_close(whole, parts)


def test_a_graph_can_be_used_twice_while_other_steps_go_on():
    supernet, arch = make()
    loss = supernet(draw_images(), arch.mixture()).square().sum()
    first = torch.autograd.grad(loss, list(arch.parameters()), retain_graph=True)
    gradients(supernet, arch, 2 * draw_images())
    for before, after in zip(first, torch.autograd.grad(loss, list(arch.parameters())), strict=True):
        assert torch.equal(before, after)


def test_running_statistics_equal_those_of_the_plain_supernet():
    supernet, arch = make()
    plain = Supernet(CellSpace(5), channels=8, num_cells=3, k=4, kernels="plain")
    plain.load_state_dict(supernet.state_dict())
    for network in (supernet, plain):
        for _ in range(2):
            network.double()(draw_images().double(), arch.double().mixture())
    state = plain.state_dict()
    for name, value in supernet.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-9, atol=1e-11)


def test_a_maximum_that_occurs_twice_has_its_gradient_where_the_plain_supernet_has_it():
    supernet, arch = make()
    plain = Supernet(CellSpace(5), channels=8, num_cells=3, k=4, kernels="plain")
    plain.load_state_dict(supernet.state_dict())
    images = draw_images().double().sign()  # equal neighbours, before and after the first layers
    images[:, :, :4] = 1
    expected = gradients(plain.double(), arch.double(), images)
    for ours, theirs in zip(gradients(supernet.double(), arch, images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8)


def test_what_is_not_a_number_comes_out_as_such():
    supernet, arch = make()
    images = draw_images()
    images[3, 0, 2, 2] = torch.nan
    assert supernet(images, arch.mixture()).isnan().any()


def test_frozen_weights_get_no_gradient_and_change_none_of_the_others():
    supernet, arch = make()
    expected = gradients(supernet, arch, draw_images())[-len(list(arch.parameters())) :]
    supernet.requires_grad_(False)
    loss = supernet(draw_images(), arch.mixture()).square().sum()
    for ours, theirs in zip(torch.autograd.grad(loss, list(arch.parameters())), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_half_precision_is_refused_with_the_way_out():
    supernet, arch = make()
    with pytest.raises(InputError, match=r"float32 and float64 on a CPU, not torch.bfloat16 on cpu: use kernels"):
        supernet.bfloat16()(draw_images().bfloat16(), arch.mixture())


def test_autocast_around_a_search_changes_nothing():
    supernet, arch = make()
    expected = supernet(draw_images(), arch.mixture())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(supernet(draw_images(), arch.mixture()), expected)


def test_memory_of_sizes_that_nobody_asks_for_any_more_is_given_back(monkeypatch):
    monkeypatch.setattr(cells._Workspace, "_KEPT_FOR", 20)
    cells.give_back_memory()
    supernet, arch = make()
    before = set(sizes_alive())
    gradients(supernet, arch, draw_images(60))
    largest = max({*sizes_alive()} - before)
    for _ in range(6):
        gradients(supernet, arch, draw_images(20))
    assert largest not in sizes_alive()


def test_nothing_is_read_of_what_an_absent_operation_would_have_written():
    """The memory handed on holds no numbers at all the second time."""
    cells.give_back_memory()
    supernet, arch = make()
    images, chosen = draw_images().double(), torch.arange(9 * 8).view(9, 8) * 7 % 5 < 2

    def found():
        mixture = arch.mixture()
        weights = {kind: weights * chosen for kind, weights in mixture.op_weights.items()}
        loss = supernet(images, Mixture(weights, mixture.edge_weights)).square().sum()
        return torch.autograd.grad(loss, [*supernet.parameters(), *arch.parameters()])

    supernet.double(), arch.double()
    expected = found()
    other, _ = make()
    logits = other.double()(images * torch.nan, arch.mixture())
    assert logits.isnan().all()
    logits.sum().backward()
    for ours, before in zip(found(), expected, strict=True):
        assert torch.equal(ours, before)


def test_nothing_is_compiled_for_a_supernet_that_takes_the_plain_kernels(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where no library is
    space = CellSpace(3)
    assert Supernet(space, channels=4, num_cells=1).prefers_native
    assert Supernet(space, channels=4, num_cells=1, amp="bf16").kernels == "plain"
    assert Supernet(space, channels=64, num_cells=3, k=1).kernels == "plain"
    assert is_missing()


def test_auto_takes_the_kernels_that_the_weights_allow():
    supernet, _ = make()
    supernet.kernels = "auto"
    assert supernet.kernels == "native"
    assert supernet.bfloat16().kernels == "plain"
    assert supernet.to("meta").kernels == "plain"
    assert [Supernet(CellSpace(3), channels=64, num_cells=3, k=k).kernels for k in (1, 2)] == ["plain", "native"]
