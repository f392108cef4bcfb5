"""α, β and the mixture they stand for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.cell.space import CellSpace
from pcdarts.supernet.arch import ArchParameters, normalize_edges


def test_the_paper_space_has_fourteen_edges_and_eight_primitives():
    arch = ArchParameters(CellSpace(6))
    for kind in ("normal", "reduce"):
        assert arch.alpha[kind].shape == (14, 8)
        assert arch.beta[kind].shape == (14,)
    assert len(list(arch.parameters())) == 4


@settings(max_examples=20)
@given(nodes=st.integers(3, 9), seed=st.integers(0, 99))
def test_edge_weights_sum_to_one_at_every_node_and_op_weights_on_every_edge(nodes, seed):
    space = CellSpace(nodes)
    arch = ArchParameters(space, generator=torch.Generator().manual_seed(seed)).double()
    for parameter in arch.parameters():
        parameter.data *= 2000
    mixture = arch.mixture()
    for kind in ("normal", "reduce"):
        torch.testing.assert_close(mixture.op_weights[kind].sum(1), torch.ones(space.num_edges, dtype=torch.float64))
        for target in range(2, nodes):
            into = [i for i, edge in enumerate(space.edges) if edge.target == target]
            assert len(into) == target
            total = mixture.edge_weights[kind][into].sum()
            torch.testing.assert_close(total, torch.ones((), dtype=torch.float64))


def test_beta_of_one_node_does_not_move_the_weights_of_another():
    space = CellSpace(6)
    beta = torch.randn(14)
    before = normalize_edges(beta, space)
    beta[5:9] += torch.tensor([1.0, -1.0, 2.0, 0.0])  # the four edges into node 4
    after = normalize_edges(beta, space)
    assert torch.equal(before[:5], after[:5])
    assert torch.equal(before[9:], after[9:])
    assert not torch.allclose(before[5:9], after[5:9])
    torch.testing.assert_close(after[5:9], torch.softmax(beta[5:9], 0))


def test_beta_receives_a_gradient():
    arch = ArchParameters(CellSpace(6))
    arch.mixture().edge_weights["normal"].square().sum().backward()
    assert arch.beta["normal"].grad is not None
    arch.beta["normal"].data.normal_()
    arch.zero_grad()
    arch.mixture().edge_weights["normal"].square().sum().backward()
    assert arch.beta["normal"].grad.ne(0).all()


def test_without_edge_normalisation_there_is_no_beta_and_every_edge_weighs_one():
    arch = ArchParameters(CellSpace(6), edge_normalization=False)
    assert not list(arch.beta.parameters())
    assert arch.mixture().edge_weights["reduce"].eq(1).all()


@pytest.mark.parametrize("edge_normalization", [True, False])
def test_a_detached_mixture_has_the_same_weights_and_no_graph(edge_normalization):
    mixture = ArchParameters(CellSpace(5), edge_normalization).mixture()
    detached = mixture.detach()
    for kind in ("normal", "reduce"):
        assert torch.equal(detached.op_weights[kind], mixture.op_weights[kind])
        assert not detached.op_weights[kind].requires_grad
        assert not detached.edge_weights[kind].requires_grad
