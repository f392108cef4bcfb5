"""Derivation: what is kept of α and β."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.cell.derive import derive, random_genotype
from pcdarts.cell.space import PRIMITIVES, CellSpace
from pcdarts.supernet.arch import ArchParameters


def arch_with(nodes=6, edge_normalization=True, seed=0):
    arch = ArchParameters(CellSpace(nodes), edge_normalization).double()
    draw = torch.Generator().manual_seed(seed)
    for parameter in arch.parameters():
        parameter.data.normal_(generator=draw)
    return arch


@settings(max_examples=30)
@given(nodes=st.integers(3, 8), seed=st.integers(0, 999), edge_normalization=st.booleans())
def test_each_node_keeps_its_two_strongest_edges_and_their_best_operations(nodes, seed, edge_normalization):
    arch = arch_with(nodes, edge_normalization, seed)
    mixture, genotype = arch.mixture(), derive(arch)
    for kind in ("normal", "reduce"):
        strength = mixture.op_weights[kind] * mixture.edge_weights[kind][:, None]
        first_edge = 0
        for target in range(2, nodes):
            of_node = strength[first_edge : first_edge + target, 1:]
            best = of_node.max(dim=1)
            kept = genotype.edges(kind)[2 * (target - 2) : 2 * (target - 2) + 2]
            assert {source for _, source in kept} == set(best.values.topk(2).indices.tolist())
            assert best.values[kept[0][1]] >= best.values[kept[1][1]]
            for primitive, source in kept:
                assert primitive == PRIMITIVES[1 + best.indices[source]]
            first_edge += target


def test_beta_decides_between_edges_that_alpha_finds_equal():
    arch = arch_with()
    arch.alpha["normal"].data.zero_()
    arch.beta["normal"].data.zero_()
    arch.beta["normal"].data[9:14] = torch.tensor([0.0, 3.0, 0.0, 2.0, 0.0])  # the five edges into node 5
    assert [source for _, source in derive(arch).normal[6:]] == [1, 3]


def test_beta_can_overrule_alpha():
    arch = arch_with()
    arch.beta["normal"].data.zero_()
    arch.alpha["normal"].data.zero_()
    arch.alpha["normal"].data[9:14, 4] = torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0])
    assert [source for _, source in derive(arch).normal[6:]] == [0, 1]
    arch.beta["normal"].data[13] = 4.0
    assert [source for _, source in derive(arch).normal[6:]] == [4, 0]


def test_none_is_never_kept_but_weakens_its_edge():
    arch = arch_with()
    arch.alpha["reduce"].data.zero_()
    arch.beta["reduce"].data.zero_()
    arch.alpha["reduce"].data[:, 4] = 1.0
    arch.alpha["reduce"].data[0, 0] = 9.0
    genotype = derive(arch)
    assert all(primitive == "sep_conv_3x3" for primitive, _ in genotype.reduce)
    arch.alpha["reduce"].data[2:5, 0] = torch.tensor([9.0, 0.0, 0.0])
    assert [source for _, source in derive(arch).reduce[2:4]] == [1, 2]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_random_cells_are_cells_of_the_space_and_repeatable(seed):
    genotype = random_genotype(CellSpace(6), seed)
    assert genotype == random_genotype(CellSpace(6), seed)
    for kind in ("normal", "reduce"):
        edges = genotype.edges(kind)
        assert len(edges) == 8
        for node in range(4):
            (_, first), (_, second) = edges[2 * node : 2 * node + 2]
            assert first != second


def test_random_cells_differ_between_seeds():
    assert len({random_genotype(CellSpace(6), seed) for seed in range(20)}) == 20


@pytest.mark.parametrize("nodes", [0, 2])
def test_a_cell_without_intermediate_nodes_is_refused(nodes):
    with pytest.raises(ValueError, match="num_nodes"):
        CellSpace(nodes)
