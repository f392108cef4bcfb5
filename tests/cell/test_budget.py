"""Derivation under a budget, against the enumeration of all genotypes of small spaces."""

import math
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.cell.budget import RESOURCES, Budget, NetworkCosts, best_genotypes, check_budget
from pcdarts.cell.derive import derive, strengths
from pcdarts.cell.space import CELL_KINDS, PRIMITIVES, CellSpace
from pcdarts.errors import InputError
from pcdarts.supernet.arch import ArchParameters


def random_problem(nodes, seed):
    """Random strengths and costs; as in a network, edges from the inputs have other costs than the rest."""
    draw, space = np.random.default_rng(seed), CellSpace(nodes)
    found = {kind: draw.random((space.num_edges, len(PRIMITIVES))).tolist() for kind in CELL_KINDS}
    from_input = [int(edge.source < 2) for edge in space.edges]
    choices = {kind: draw.integers(0, 6, (2, len(PRIMITIVES), 3))[from_input] for kind in CELL_KINDS}
    rest = draw.integers(0, 10, 3)
    latencies = {kind: draw.integers(0, 6, (2, len(PRIMITIVES), 1))[from_input] for kind in CELL_KINDS}
    choices = {kind: np.dstack([of_kind, latencies[kind]]) for kind, of_kind in choices.items()}
    return found, NetworkCosts(space, choices, np.append(rest, draw.integers(0, 10)))


def budget_of(limits):
    """The budget with these limits, in the order of `RESOURCES` and as they are added up: latency in nanoseconds."""
    *counts, nanoseconds = limits
    return Budget(*counts, None if nanoseconds is None else (nanoseconds + 0.5) / 1e6)


def random_budget(costs, seed, limited=(True, True, True, True)):
    """Limits between the smallest and the largest costs, where limits are wanted."""
    draw = np.random.default_rng(seed + 1)
    edges = 4 * costs.space.num_intermediate
    limits = [least + int(draw.integers(0, 3 * edges)) for least in costs.least().tolist()]
    return budget_of(limit if wanted else None for limit, wanted in zip(limits, limited, strict=True))


def all_cells(costs, found, kind):
    """Every cell of a kind: logarithms of products [cells] and costs [cells, resources]."""
    scores, spent = np.zeros(1), np.zeros((1, len(RESOURCES)), dtype=np.int64)
    for target in range(2, costs.space.num_nodes):
        pairs = [
            ((one, p), (other, q))
            for one, other in combinations(costs.space.edges_into(target), 2)
            for p, q in product(range(1, len(PRIMITIVES)), repeat=2)
        ]
        of_pairs = np.array([sum(math.log(found[kind][edge][p]) for edge, p in pair) for pair in pairs])
        costs_of_pairs = np.array([sum(costs.choices[kind][edge, p] for edge, p in pair) for pair in pairs])
        scores = np.add.outer(scores, of_pairs).ravel()
        spent = (spent[:, None] + costs_of_pairs).reshape(-1, len(RESOURCES))
    return scores, spent


def best_by_enumeration(costs, found, budget, count):
    """The largest logarithms of products of all genotypes within the budget."""
    (normal, normal_costs), (reduce, reduce_costs) = (all_cells(costs, found, kind) for kind in CELL_KINDS)
    limits = np.array([2**60 if limit is None else limit for limit in budget.limits]) - costs.rest
    best = []
    for score, spent in zip(normal, normal_costs, strict=True):
        fitting = reduce[(reduce_costs + spent <= limits).all(axis=1)] + score
        best = sorted([*best, *fitting[fitting > (best[0] if len(best) == count else -np.inf)]])[-count:]
    return best[::-1]


def log_product(costs, found, genotype):
    return sum(
        math.log(found[kind][costs.space.edges_into(2 + index // 2)[source]][PRIMITIVES.index(primitive)])
        for kind in CELL_KINDS
        for index, (primitive, source) in enumerate(genotype.edges(kind))
    )


def check(costs, found, budget, ranked):
    """What is ranked has the products it says, keeps to the budget, and stands there once."""
    assert len({each.genotype for each in ranked}) == len(ranked)
    for each in ranked:
        assert log_product(costs, found, each.genotype) == pytest.approx(each.log_product)
        spent, limits = costs.of(each.genotype), (*budget.limits[:3], budget.max_latency)
        assert all(limit is None or spent[name] <= limit for name, limit in zip(RESOURCES, limits, strict=True))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), limited=st.tuples(*4 * [st.booleans()]), count=st.integers(1, 8))
def test_the_best_of_three_nodes_are_those_of_the_enumeration(seed, limited, count):
    found, costs = random_problem(3, seed)
    budget = random_budget(costs, seed, limited)
    expected = best_by_enumeration(costs, found, budget, count)
    if not expected:
        with pytest.raises(InputError, match="at once"):
            best_genotypes(found, costs, budget, count)
        return
    ranked = best_genotypes(found, costs, budget, count)
    assert [each.log_product for each in ranked] == pytest.approx(expected)
    check(costs, found, budget, ranked)


@pytest.mark.parametrize("surplus", [(9, None, None, None), (None, None, None, 9), (12, 12, 12, 12)])
def test_the_best_of_four_nodes_are_those_of_the_enumeration(surplus):
    found, costs = random_problem(4, seed=3)
    least = costs.least().tolist()
    budget = budget_of(None if more is None else cost + more for cost, more in zip(least, surplus, strict=True))
    ranked = best_genotypes(found, costs, budget, 5)
    assert [each.log_product for each in ranked] == pytest.approx(best_by_enumeration(costs, found, budget, 5))
    assert ranked[0].log_product < best_genotypes(found, costs, Budget())[0].log_product
    check(costs, found, budget, ranked)


def test_the_best_of_five_nodes_is_that_of_the_enumeration():
    found, costs = random_problem(5, seed=3)
    costs.choices["reduce"][:] = 0  # so that all normal cells are enough to look at
    smallest = costs.smallest()
    budget = Budget(smallest["mult_adds"] + 7, smallest["params"] + 9, smallest["skips"] + 8)
    scores, spent = all_cells(costs, found, "normal")
    fitting = scores[((spent + costs.rest)[:, :3] <= np.array(budget.limits[:3])).all(axis=1)]
    best_reduction = all_cells(costs, found, "reduce")[0].max()
    (best,) = best_genotypes(found, costs, budget)
    assert best.log_product == pytest.approx(fitting.max() + best_reduction)
    check(costs, found, budget, [best])


@settings(max_examples=40, deadline=None)
@given(nodes=st.integers(3, 7), seed=st.integers(0, 999), edge_normalization=st.booleans(), ties=st.booleans())
def test_without_a_budget_the_best_is_what_derive_finds(nodes, seed, edge_normalization, ties):
    arch = ArchParameters(CellSpace(nodes), edge_normalization)
    draw = torch.Generator().manual_seed(seed)
    for parameter in arch.parameters():
        parameter.data.normal_(generator=draw)
        if ties:
            parameter.data.round_()
    costs = random_problem(nodes, seed)[1]
    roomy = Budget(max_params=10**9)
    assert best_genotypes(strengths(arch), costs, Budget())[0].genotype == derive(arch)
    assert best_genotypes(strengths(arch), costs, roomy, 3)[0].genotype == derive(arch)


def test_the_first_of_many_are_the_same_as_of_few():
    found, costs = random_problem(6, seed=5)
    budget = Budget(max_mult_adds=costs.smallest()["mult_adds"] + 20)
    many = best_genotypes(found, costs, budget, 30)
    assert many[:5] == best_genotypes(found, costs, budget, 5)
    assert [each.log_product for each in many] == sorted((each.log_product for each in many), reverse=True)
    check(costs, found, budget, many)


def test_a_strength_of_zero_is_kept_only_where_it_must_be():
    found, costs = random_problem(4, seed=1)
    found["normal"] = np.where(np.arange(8) == 3, found["normal"], 0.0).tolist()  # all but skip_connect
    assert {primitive for primitive, _ in best_genotypes(found, costs, Budget())[0].genotype.normal} == {"skip_connect"}
    costs.choices["normal"][:, :, 2] = np.arange(8) == 3
    (without,) = best_genotypes(found, costs, Budget(max_skips=int(costs.rest[2])))
    assert "skip_connect" not in {primitive for primitive, _ in without.genotype.normal}


def test_an_impossible_budget_says_what_the_smallest_network_has():
    costs = random_problem(5, seed=2)[1]
    least = costs.smallest()["params"]
    check_budget(costs, Budget(max_params=least))
    with pytest.raises(InputError, match=rf"^max_params is {least - 1}, but the smallest .* has {least} params"):
        check_budget(costs, Budget(max_params=least - 1))
    with pytest.raises(InputError, match="max_params"):
        best_genotypes(random_problem(5, seed=2)[0], costs, Budget(max_params=least - 1))


def test_an_impossible_latency_says_what_the_fastest_network_takes():
    costs = random_problem(5, seed=2)[1]
    costs.rest[3] = 1_234_567
    least = costs.least()[3]
    assert costs.smallest()["latency_ms"] == least / 1e6
    with pytest.raises(InputError) as refusal:
        check_budget(costs, Budget(max_latency=1.2))
    enough = f"{math.ceil(least / 1000) / 1000:g}"
    assert str(refusal.value) == (
        "max_latency is 1.2 ms, but the fastest network that can be derived is predicted to take "
        f"{enough} ms: give {enough} or more"
    )
    check_budget(costs, Budget(max_latency=float(enough)))


def test_without_latencies_a_limit_of_them_is_refused_and_nothing_is_said_of_them():
    found, costs = random_problem(4, seed=2)
    known = NetworkCosts(costs.space, {kind: every[:, :, :3] for kind, every in costs.choices.items()}, costs.rest[:3])
    assert list(known.of(best_genotypes(found, known, Budget())[0].genotype)) == ["mult_adds", "params", "skips"]
    with pytest.raises(InputError, match="max_latency needs costs with latencies"):
        best_genotypes(found, known, Budget(max_latency=1.0))
