"""Drop-path, the cell's wiring, and the pooling of the auxiliary head."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.primitives import ReluFirst
from pcdarts.cell.space import CellPlan
from pcdarts.errors import InputError
from pcdarts.network.network import Network
from pcdarts.network.parts import AuxiliaryHead, Cell, PoolTo2x2, dense_gradient, draw_share


def genotype_of(*edges: tuple[str, int], concat: tuple[int, ...] = (2,)) -> Genotype:
    return Genotype(normal=edges, normal_concat=concat, reduce=edges, reduce_concat=concat)


def bare_cell(genotype: Genotype, kind: str = "normal") -> Cell:
    """A cell of two channels that takes its inputs as they are."""
    cell = Cell(genotype, CellPlan(kind, 2, in_channels=(2, 2), halve_first_input=False))
    cell.preprocess0 = cell.preprocess1 = ReluFirst(nn.Identity())
    return cell.double()


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    shares = draw_share(torch.ones(20_000, 2, 3, 4, dtype=torch.float64), 0.3)
    assert shares.shape == (20_000, 1, 1, 1)
    torch.testing.assert_close(shares.unique(), torch.tensor([0, 1 / 0.7], dtype=torch.float64))
    assert shares.mean().item() == pytest.approx(1, abs=0.02)


def test_a_gradient_becomes_contiguous_and_stays_the_same():
    x = images(2, 3, 4, 5).requires_grad_()
    weighting = images(2, 6, 4, 5)[:, 1:4]
    plain, dense = (torch.autograd.grad(out, x, weighting)[0] for out in (x * 1, dense_gradient(x)))
    assert torch.equal(dense, plain)
    assert dense.is_contiguous(memory_format=torch.channels_last)


def test_drop_path_touches_every_operation_but_the_identity():
    first, second = images(500, 2, 4, 4), images(500, 2, 4, 4) + 10
    cell = bare_cell(genotype_of(("skip_connect", 0), ("avg_pool_3x3", 1)))
    pooled = cell(first, second) - first
    torch.manual_seed(0)
    arrived = cell(first, second, cell.draw_shares(first, 0.5)) - first
    kept = arrived.flatten(1).abs().amax(dim=1) > 1e-9
    assert 200 < kept.sum() < 300
    torch.testing.assert_close(arrived[kept], 2 * pooled[kept])
    torch.testing.assert_close(arrived[~kept], torch.zeros_like(arrived[~kept]))


def test_a_skip_connection_of_stride_2_is_no_identity_and_can_be_dropped():
    cell = bare_cell(genotype_of(("skip_connect", 0), ("skip_connect", 1)), "reduce")
    torch.manual_seed(0)
    out = cell(images(40, 2, 4, 4), images(40, 2, 4, 4), cell.draw_shares(images(40, 2, 4, 4), 0.5))
    both_dropped = out.flatten(1).abs().amax(dim=1) == 0
    assert 0 < both_dropped.sum() < 25


def test_the_drop_path_of_a_network_can_be_ramped_and_follows_the_global_seed():
    network = Network(genotype_of(("sep_conv_3x3", 0), ("sep_conv_3x3", 1)), channels=2, num_cells=3, auxiliary=False)
    batch = torch.randn(8, 3, 8, 8)
    plain = network(batch)
    network.drop_path = 0.5
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(network(batch))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], plain)
    assert torch.equal(network.eval()(batch), network(batch))
    with pytest.raises(InputError, match=r"drop_path is -0\.1"):
        network.drop_path = -0.1


def test_a_node_adds_its_two_edges_in_the_order_of_the_genotype():
    genotype = genotype_of(
        ("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 2), ("skip_connect", 2), concat=(3, 2)
    )
    first, second = images(2, 2, 3, 3), images(2, 2, 3, 3) + 1
    node = first + second
    assert torch.allclose(bare_cell(genotype)(first, second), torch.cat([2 * node, node], dim=1))


def test_only_operations_on_the_inputs_of_a_reduction_cell_have_stride_2():
    genotype = genotype_of(
        ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 2), ("skip_connect", 1), concat=(2, 3)
    )
    cell = bare_cell(genotype, "reduce")
    assert [getattr(op, "stride", None) for op in cell.ops] == [2, 2, 1, None]
    assert cell(images(2, 2, 7, 6), images(2, 2, 7, 6)).shape == (2, 4, 4, 3)


@pytest.mark.parametrize(("stride", "sides"), [(3, (8, 9, 10)), (2, (7, 8))])
def test_the_auxiliary_pooling_is_the_authors_where_theirs_gives_2x2(stride, sides):
    for side in sides:
        x = images(1, 2, side, side)
        assert torch.allclose(PoolTo2x2(stride)(x), nn.AvgPool2d(5, stride)(x))


@pytest.mark.parametrize("stride", [2, 3])
def test_the_auxiliary_pooling_is_adaptive_where_the_authors_gives_something_else(stride):
    for size in [(1, 1), (1, 4), (2, 3), (5, 6), (7, 1), (13, 24)]:
        x = images(2, 3, *size).requires_grad_()
        pooled, adaptive = PoolTo2x2(stride)(x), F.adaptive_avg_pool2d(x, 2)
        torch.testing.assert_close(pooled, adaptive)
        gradients = [torch.autograd.grad(output.square().sum(), x)[0] for output in (pooled, adaptive)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("height", [1, 2, 3, 7, 11, 24])
@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
def test_the_auxiliary_head_takes_maps_of_any_size(kind, height):
    head = AuxiliaryHead(4, num_classes=3, kind=kind)
    assert head(torch.randn(2, 4, height, 8)).shape == (2, 3)


def test_the_auxiliary_head_leaves_its_map_as_it_was():
    x = torch.randn(2, 4, 8, 8)
    before = x.clone()
    AuxiliaryHead(4, num_classes=3, kind="cifar")(x)
    assert torch.equal(x, before)
