"""SNAS: its pathwise gradient and that of the cost, against differences of the loss under the same noise."""

import numpy as np
import pytest
import torch
from torch import Tensor

from enumerated import AT, NONE, SPACE, assert_unbiased, problem, spread, with_chance
from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import recipe
from pcdarts.methods.method import At
from pcdarts.methods.snas import SNAS, log_costs
from pcdarts.network.costs import network_costs
from pcdarts.supernet.arch import check_mixture
from small_space import SPACE as OTHER_SPACE

COSTS = NetworkCosts(
    SPACE,
    {
        "normal": np.array(
            [
                [[0, 0, 0], [0, 0, 1], [90, 0, 0], [8000, 400, 0]],
                [[0, 0, 0], [0, 0, 1], [90, 0, 0], [900, 20, 0]],
            ]
        )
    },
    np.array([10, 10, 0]),
)
"""Made-up mult-adds, parameters and skips of each operation on each edge."""


def made(**settings: object) -> SNAS:
    """The step of SGD that this takes at rate 1 is its gradient."""
    method = SNAS(
        SPACE, arch_optimizer="sgd", arch_learning_rate=1, arch_weight_decay=0, **{"cost_weight": 0.1, **settings}
    )
    method.arch.double()
    method.c = {kind: c.double() for kind, c in method.c.items()}
    spread(method.arch)
    return method


def step(method: SNAS, number: int = 5) -> list[Tensor]:
    """What α and β lose in a step."""
    before = [parameter.detach().clone() for parameter in method.arch.parameters()]
    method.step(AT, problem()[0], with_chance(number))
    return [old - new.detach() for old, new in zip(before, method.arch.parameters(), strict=True)]


def test_the_gradient_is_that_of_loss_and_cost_under_the_same_noise() -> None:
    method, batch = made(costs=COSTS, temperature=0.5, temperature_min=0.5), with_chance(5)
    found, ε = step(method), 1e-5
    for parameter, moved in zip(method.arch.parameters(), found, strict=True):
        parameter.data += moved  # back to where it was

    def loss() -> Tensor:
        mixture = method.drawn(AT, batch)
        return problem()[0].losses([mixture], batch)[0] + method.cost(mixture).detach()

    for parameter, gradient in zip(method.arch.parameters(), found, strict=True):
        for index in np.ndindex(parameter.shape):
            value, losses = parameter.data[index].item(), []
            for moved_to in (value + ε, value - ε):
                parameter.data[index] = moved_to
                losses.append(loss())
            parameter.data[index] = value
            torch.testing.assert_close((losses[0] - losses[1]) / (2 * ε), gradient[index], rtol=1e-4, atol=1e-7)
    assert all(gradient.abs().max() > 1e-3 for gradient in found)


def test_the_noise_of_a_batch_stays_when_alpha_moves_and_its_weights_learn_from_it() -> None:
    method, batch = made(), with_chance(2)
    ((share, drawn),) = method.draws(AT, problem()[0], batch)
    α = method.arch.alpha["normal"].detach()
    noise = drawn.op_weights["normal"].detach().log() - α
    α[0, 1] += 1.0
    again = method.drawn(AT, batch).op_weights["normal"].detach().log() - α
    assert share == 1
    torch.testing.assert_close(noise - noise[:, :1], again - again[:, :1])


def test_cold_draws_are_one_hot_in_proportion_to_softmax_alpha_and_so_is_their_cost() -> None:
    """1,500 draws, within four standard errors, each of which is at most a tenth of the largest entry."""
    method = made(costs=COSTS, temperature=1e-3, temperature_min=1e-3)
    draws = [method.drawn(AT, with_chance(number)) for number in range(1500)]
    expected = method.mixture()
    shares = torch.stack([draw.op_weights["normal"].detach() for draw in draws])
    assert_unbiased(shares, expected.op_weights["normal"].detach())
    assert_unbiased(torch.stack([method.cost(draw).detach() for draw in draws]), method.cost(expected).detach())


def test_the_temperature_falls_in_equal_steps_towards_its_lowest_value() -> None:
    method, spreads = made(temperature=1.0, temperature_min=0.04), []
    for epoch in (0, 1, 2, 3):
        weights = method.drawn(At(epoch + 3, 0, 1, epoch, 4), with_chance(0)).op_weights["normal"].detach().log()
        spreads.append(float(weights[0, 3] - weights[0, 2]))
    assert [spreads[0] / spread for spread in spreads] == pytest.approx([1.0, 0.76, 0.52, 0.28])


def test_costs_are_logarithms_and_what_costs_nothing_has_none() -> None:
    c = log_costs(COSTS, "normal")
    torch.testing.assert_close(c[0], torch.tensor([0, 0, np.log(90) / 2, (np.log(8000) + np.log(400)) / 2]).float())
    space = CellSpace(3)
    costs = network_costs(space, kind="cifar", channels=4, num_cells=3, num_classes=3, image_channels=3, image_size=8)
    of = dict(zip(space.primitives, log_costs(costs, "normal")[0].tolist(), strict=True))
    assert of["none"] == of["skip_connect"] == 0
    assert 0 < of["dil_conv_3x3"] < of["sep_conv_3x3"] < of["sep_conv_5x5"]
    method = SNAS(space, cost_weight=0.5, reduction_cost_weight=3, costs=costs)
    (normal, reduce) = (
        torch.autograd.grad(method.cost(method.mixture()), method.arch.alpha[kind])[0] for kind in ("normal", "reduce")
    )
    p = [method.mixture().op_weights[kind].detach() for kind in ("normal", "reduce")]
    for gradient, λ, kind, weights in ((normal, 0.5, "normal", p[0]), (reduce, 1.5, "reduce", p[1])):
        c = log_costs(costs, kind)
        torch.testing.assert_close(gradient, λ * weights * (c - (weights * c).sum(1, keepdim=True)))


def test_a_large_gradient_is_clipped() -> None:
    whole, clipped = step(made()), step(made(arch_gradient_clip=1e-3))
    norms = [torch.cat([moved.flatten() for moved in each]).norm() for each in (whole, clipped)]
    assert norms[0] > 1e-2
    torch.testing.assert_close(norms[1], torch.tensor(1e-3).double())
    torch.testing.assert_close(clipped[0] * (norms[0] / norms[1]), whole[0])


def test_a_primitive_that_the_space_does_not_allow_has_no_share() -> None:
    method = SNAS(OTHER_SPACE)
    mixture = method.drawn(AT, with_chance(1))
    check_mixture(mixture, OTHER_SPACE)
    (gradient,) = torch.autograd.grad(mixture.op_weights["normal"].square().sum(), [method.arch.alpha["normal"]])
    assert gradient.isfinite().all()


def test_a_stronger_none_is_not_kept() -> None:
    method = SNAS(SPACE)
    method.arch.alpha["normal"].data[:, NONE] = 9.0
    assert "none" not in [primitive for primitive, _ in method.genotype(None, torch.Generator()).normal]


def test_the_rows_of_the_paper_are_recipes_that_differ_by_the_weight_of_the_cost() -> None:
    names = ("snas-mild", "snas-moderate", "snas-aggressive")
    rows = [recipe(SearchConfig, name + size) for size in ("", "-small") for name in names]
    assert [row.method for row in rows] == ["snas"] * 6
    weights = [row.model_dump()["cost_weight"] for row in rows]
    assert weights[:3] == weights[3:] == sorted(set(weights))
    assert {row.k for row in rows[:3]} == {1}
