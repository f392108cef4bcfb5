"""How much searches agree, beside chance."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

import pcdarts
from pcdarts.cell.derive import derive, random_genotype, strengths
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import PUBLISHED
from pcdarts.report.agreement import agreement, edge_strengths, rank_agreement
from pcdarts.supernet.arch import ArchParameters

NODES = st.integers(3, 8)
SEEDS = st.integers(0, 999)
SIX = CellSpace(6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_genotype_agrees_with_itself_in_everything(name):
    genotype = pcdarts.published(name)
    found = agreement([genotype, genotype, genotype])
    assert (found.pairs, found.edges, found.operations) == (3, 100.0, 100.0)


@settings(max_examples=25)
@given(nodes=NODES, a=SEEDS, b=SEEDS)
def test_agreement_is_the_same_both_ways_and_never_larger_on_operations(nodes, a, b):
    pair = [random_genotype(CellSpace(nodes), seed) for seed in (a, b)]
    found = agreement(pair)
    assert found == agreement(pair[::-1])
    assert 0 <= found.operations <= found.edges <= 100


def test_edges_and_operations_in_common_are_counted_over_both_cells():
    concat = (2, 3)
    reduce = [("max_pool_3x3", 0), ("skip_connect", 1), ("max_pool_3x3", 0), ("skip_connect", 1)]
    a = pcdarts.Genotype([("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] * 2, concat, reduce, concat)
    b = pcdarts.Genotype([("sep_conv_3x3", 1), ("skip_connect", 0)] * 2, concat, reduce, concat)
    c = pcdarts.Genotype(
        [("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 2)], concat, reduce, concat
    )
    assert (agreement([a, b]).edges, agreement([a, b]).operations) == (100.0, 75.0)
    assert (agreement([a, c]).edges, agreement([a, c]).operations) == (87.5, 87.5)
    assert agreement([a, b, c]).edges == pytest.approx((100 + 87.5 + 87.5) / 3)


@pytest.mark.parametrize("nodes", [3, 5, 6, 7])
def test_the_chance_level_is_what_random_cells_have_in_common(nodes):
    cells = [random_genotype(CellSpace(nodes), seed) for seed in range(60)]
    found = agreement(cells)
    assert found.edges == pytest.approx(found.edges_by_chance, abs=1.0)
    assert found.operations == pytest.approx(found.operations_by_chance, abs=1.0)


def test_two_random_cells_of_the_papers_space_share_most_of_their_edges():
    found = agreement([random_genotype(CellSpace(6), seed) for seed in (0, 1)])
    assert found.edges_by_chance == pytest.approx(100 * (1 + 2 / 3 + 1 / 2 + 2 / 5) / 4)
    assert found.operations_by_chance == pytest.approx(found.edges_by_chance / 7)


def test_nothing_is_compared_with_a_cell_of_another_size_or_with_none():
    five, six = (random_genotype(CellSpace(nodes), 0) for nodes in (5, 6))
    assert agreement([five, six]) is None
    assert agreement([six]) is None
    assert agreement([]) is None


def random_strengths(nodes, seed):
    return np.random.default_rng(seed).random(CellSpace(nodes).num_edges).tolist()


@settings(max_examples=25)
@given(nodes=NODES, a=SEEDS, b=SEEDS)
def test_rank_agreement_is_one_with_itself_minus_one_with_the_reverse_and_the_same_both_ways(nodes, a, b):
    first, second = random_strengths(nodes, a), random_strengths(nodes, b)
    assert rank_agreement(CellSpace(nodes), [first, first]) == pytest.approx(1)
    assert rank_agreement(CellSpace(nodes), [first, [-strength for strength in first]]) == pytest.approx(-1)
    there, back = (rank_agreement(CellSpace(nodes), runs) for runs in ([first, second], [second, first]))
    assert there == back


@settings(max_examples=25)
@given(seed=SEEDS)
def test_at_a_single_node_rank_agreement_is_kendalls_tau_ties_included(seed):
    draws = np.random.default_rng(seed).integers(0, 4, size=(2, 5)).astype(float)
    others = [0.0] * 9  # edges that are equal at every other node say nothing
    found = rank_agreement(SIX, [[*others, *draw] for draw in draws.tolist()])
    if all(len(set(draw)) > 1 for draw in draws.tolist()):
        assert found == pytest.approx(kendalltau(*draws).statistic)
    else:
        assert found is None


def test_edges_of_different_nodes_are_not_compared():
    strengths = [
        [0.9, 0.8, 0.3, 0.2, 0.1],
        [0.8, 0.9, 0.1, 0.2, 0.3],
    ]  # both strong at node 2, as normalisation makes it
    assert rank_agreement(CellSpace(4), strengths) == pytest.approx(-1)


def test_searches_that_have_nothing_in_common_agree_by_chance_on_no_order():
    assert rank_agreement(SIX, [random_strengths(6, seed) for seed in range(40)]) == pytest.approx(0, abs=0.03)


def test_rank_agreement_needs_two_runs_of_one_size_that_prefer_something():
    assert rank_agreement(SIX, [random_strengths(6, 0)]) is None
    assert rank_agreement(SIX, [random_strengths(5, 0), random_strengths(6, 0)]) is None
    assert rank_agreement(SIX, [random_strengths(6, 0), [0.2] * 14]) is None


@settings(max_examples=10)
@given(seed=SEEDS, edge_normalization=st.booleans())
def test_edge_strengths_are_those_that_the_derivation_keeps_the_two_largest_of(seed, edge_normalization):
    arch = ArchParameters(CellSpace(6), edge_normalization).double()
    values = np.random.default_rng(seed)
    for parameter in arch.parameters():
        parameter.data.copy_(parameter.data.new_tensor(values.normal(size=parameter.shape)))
    mixture, genotype = arch.mixture(), derive(arch)
    found = edge_strengths(SIX, mixture.op_weights["reduce"].tolist(), mixture.edge_weights["reduce"].tolist())
    assert found == pytest.approx([max(weights[1:]) for weights in strengths(arch)["reduce"]])
    assert SIX.primitives[0] == "none"
    for target in range(2, 6):
        into = {CellSpace(6).edges[edge].source: found[edge] for edge in CellSpace(6).edges_into(target)}
        kept = {source for _, source in genotype.reduce[2 * target - 4 : 2 * target - 2]}
        assert kept == set(sorted(into, key=into.__getitem__)[-2:])


def test_the_mean_over_pairs_counts_every_pair_once():
    runs = [random_strengths(6, seed) for seed in range(4)]
    of_pairs = [rank_agreement(SIX, pair) for pair in combinations(runs, 2)]
    assert rank_agreement(SIX, runs) == pytest.approx(np.mean(of_pairs))
