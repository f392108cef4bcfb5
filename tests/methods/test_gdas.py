"""GDAS: its draws, its gradient against the surrogate that it defines, and what a node keeps."""

from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor

from enumerated import AT, DRAWS, SPACE, assert_unbiased, drawn_of, gate_gradients, problem, spread, with_chance
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.methods.gdas import GDAS
from pcdarts.methods.gumbel import gumbel_like
from pcdarts.methods.method import At
from pcdarts.supernet.arch import check_mixture
from small_space import SPACE as OTHER_SPACE

τ = 1.5


@pytest.fixture
def method() -> GDAS:
    made = GDAS(SPACE, temperature=τ, temperature_min=τ)
    made.arch.double()
    spread(made.arch)
    return made


def mean_relaxed_gradients(α: Tensor) -> Tensor:
    """[k, i]: E[∂p_k/∂α_i; k is drawn] for one edge of four operations, by integration over the noise.

    With y_j = g_j - g_k the operation k is drawn where all y_j < α_k - α_j. The density of the three differences is
    that of the multivariate logistic distribution, 6 Π exp(-y_j) / (1 + Σ exp(-y_j))^4.
    """
    places, masses = (torch.tensor(x) for x in np.polynomial.legendre.leggauss(50))
    found = torch.zeros(4, 4, dtype=torch.float64)
    for k in range(4):
        others = [j for j in range(4) if j != k]
        bounds = [float(α[k] - α[j]) for j in others]
        low = -30.0
        axes = [(bound - low) / 2 * (places + 1) + low for bound in bounds]
        y = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        mass = prod(
            ((bound - low) / 2 * masses).view([-1 if axis == own else 1 for axis in range(3)])
            for own, bound in enumerate(bounds)
        )
        density = 6 * (-y.sum(0)).exp() / (1 + (-y).exp().sum(0)) ** 4
        weight = density * mass
        torch.testing.assert_close(weight.sum(), α.softmax(0)[k], rtol=1e-6, atol=0)  # the integral is exact enough
        logits = torch.zeros(4, *y.shape[1:], dtype=torch.float64)  # of p, less those of k
        for j, difference in zip(others, y, strict=True):
            logits[j] = (difference + α[j] - α[k]) / τ
        p = logits.softmax(dim=0)
        for i in range(4):
            found[k, i] = (weight * p[k] * (float(i == k) - p[i]) / τ).sum()
    return found


def test_a_draw_is_one_hot_and_computes_nothing_else(method: GDAS) -> None:
    for number in range(20):
        mixture = method.drawn(AT, with_chance(number))
        check_mixture(mixture, SPACE)
        assert mixture.active is not None
        assert torch.equal(mixture.op_weights["normal"], mixture.active["normal"].double())
        assert mixture.active["normal"].sum(dim=1).tolist() == [1, 1]


def test_operations_are_drawn_in_proportion_to_softmax_alpha(method: GDAS) -> None:
    count = 2000
    drawn = torch.stack([method.drawn(AT, with_chance(n)).op_weights["normal"].detach() for n in range(count)])
    assert_unbiased(drawn, method.mixture().op_weights["normal"].detach())


def test_a_batch_sees_one_draw_whatever_alpha_has_become(method: GDAS) -> None:
    before = method.drawn(AT, with_chance(1)).op_weights["normal"].detach()
    again = method.drawn(AT, with_chance(1)).op_weights["normal"].detach()
    method.arch.alpha["normal"].data += 1e-12
    after = method.drawn(AT, with_chance(1)).op_weights["normal"].detach()
    assert torch.equal(before, again)
    assert torch.equal(before, after)


def test_the_gradient_of_a_draw_is_that_of_its_operations_through_the_relaxed_draw(method: GDAS) -> None:
    task, _ = problem()
    for number in range(4):
        batch = with_chance(number)
        found, _ = task.gradients(method.drawn(AT, batch), batch, [method.arch.alpha["normal"]])
        mixture = method.drawn(AT, batch)
        edge_weights = mixture.edge_weights["normal"].detach()
        gates = mixture.op_weights["normal"].detach().clone().requires_grad_()
        all_of_them = type(mixture)(
            {"normal": gates}, {"normal": edge_weights}, {"normal": torch.ones(2, 4, dtype=torch.bool)}
        )
        (of_gates,), _ = task.gradients(all_of_them, batch, [gates])
        of_drawn = of_gates * mixture.active["normal"]  # type: ignore[index]
        expected = torch.autograd.grad(mixture.op_weights["normal"], method.arch.alpha["normal"], of_drawn)
        torch.testing.assert_close(found, [*expected])


def test_the_mean_gradient_is_that_of_the_surrogate(method: GDAS) -> None:
    """2,000 draws, within four standard errors, each of which is at most a tenth of the largest entry."""
    made = GDAS(SPACE, edge_normalization=False, temperature=τ, temperature_min=τ)
    made.arch.double()
    α = made.arch.alpha["normal"]
    α.data.copy_(method.arch.alpha["normal"])
    estimates = []
    for number in range(2000):
        mixture = made.drawn(AT, with_chance(number))
        of_gates, _ = gate_gradients()[drawn_of(mixture)]
        of_drawn = of_gates * mixture.op_weights["normal"].detach()
        (estimate,) = torch.autograd.grad(mixture.op_weights["normal"], α, of_drawn)
        estimates.append(estimate)

    p, relaxed = α.detach().softmax(dim=1), [mean_relaxed_gradients(row) for row in α.detach()]
    exact = torch.zeros_like(p)
    for draw in DRAWS:
        of_gates, _ = gate_gradients()[draw]
        for edge, k in enumerate(draw):
            other = p[1 - edge, draw[1 - edge]]
            exact[edge] += other * of_gates[edge, k] * relaxed[edge][k]
    assert_unbiased(torch.stack(estimates), exact)


def test_the_temperature_falls_in_equal_steps_and_changes_no_draw() -> None:
    method, batch = GDAS(SPACE, temperature=10, temperature_min=0.1), with_chance(3)
    α, draws = method.arch.alpha["normal"], set()
    for epoch, temperature in ((0, 10), (2, 5.05), (4, 0.1)):
        mixture = method.drawn(At(epoch + 7, 0, 1, epoch, 5), batch)
        draws.add(drawn_of(mixture))
        p = ((α.log_softmax(dim=1) + gumbel_like(α, batch.chance())) / temperature).softmax(dim=1)
        found, expected = (torch.autograd.grad(x.select(1, 3).sum(), α)[0] for x in (mixture.op_weights["normal"], p))
        torch.testing.assert_close(found, expected)
    assert len(draws) == 1


def test_a_primitive_that_the_space_does_not_allow_is_never_drawn() -> None:
    method = GDAS(OTHER_SPACE)
    for number in range(20):
        mixture = method.drawn(AT, with_chance(number))
        check_mixture(mixture, OTHER_SPACE)
        (gradient,) = torch.autograd.grad(mixture.op_weights["normal"].square().sum(), [method.arch.alpha["normal"]])
        assert gradient.isfinite().all()
    method.decode = "pairs"  # where a node keeps every edge, there is nothing to choose
    assert len(method.genotype(None, torch.Generator()).normal) == OTHER_SPACE.num_edges


# What a node keeps


def test_pairs_may_be_of_one_edge_where_edges_are_two() -> None:
    space = CellSpace(4)
    methods = [GDAS(space, edge_normalization=False, decode=decode) for decode in ("edges", "pairs")]
    for method in methods:
        for α in method.arch.alpha.values():
            α.data.zero_()
            α.data[0, 0] = 9.0  # none, which is not kept
            α.data[1, 3], α.data[1, 7] = 3.0, 2.9
            α.data[4, 5] = 1.0
    edges, pairs = (method.genotype(None, torch.Generator()) for method in methods)
    assert edges.normal[:2] == (("skip_connect", 1), ("max_pool_3x3", 0))
    assert pairs.normal[:2] == (("skip_connect", 1), ("dil_conv_5x5", 1))
    assert edges.normal[2] == pairs.normal[2] == ("sep_conv_5x5", 2)


def test_the_settings_of_gdas_are_checked() -> None:
    def refused(**settings: object) -> list[str]:
        with pytest.raises(ConfigError) as refusal:
            SearchConfig(method="gdas", **settings)
        return refusal.value.problems

    assert refused(temperature=1, temperature_min=2) == ["temperature_min is 2, but it must be at most temperature (1)"]
    assert refused(decode="pairs", max_params=10**6) == [
        "decode is pairs, but max_params chooses among cells with two edges a node: drop it, or use edges"
    ]
