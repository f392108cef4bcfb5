"""ProxylessNAS: the gradient of its gates against the sum over all draws, the step of a pair, and the expected cost."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from enumerated import (
    AT,
    DRAWS,
    NONE,
    SPACE,
    assert_unbiased,
    drawn_of,
    gate_gradients,
    problem,
    spread,
    with_chance,
)
from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.learn.stages import stages_of
from pcdarts.methods.method import At
from pcdarts.methods.proxyless import ProxylessNAS
from pcdarts.network.costs import network_costs
from pcdarts.supernet.arch import check_mixture
from small_space import SPACE as OTHER_SPACE


def made(mode: str, **settings: Any) -> ProxylessNAS:
    method = ProxylessNAS(SPACE, edge_normalization=False, mode=mode, **settings)  # type: ignore[arg-type]
    method.arch.double()
    spread(method.arch)
    return method


def through_softmax(of_gates: Tensor, q: Tensor) -> Tensor:
    """Σ_m ∂L/∂g_m q_m (δ_mi - q_i)."""
    return q * (of_gates - (of_gates * q).sum())


def exact_gradient(p: Tensor, mode: str) -> Tensor:
    """The sum over all draws of both edges, of their probability times the gradient that the draw gives."""
    ways: list[list[tuple[float, int, Tensor]]] = []  # of each edge: probability, open gate, and q
    for row in p:
        if mode == "full":
            ways.append([(float(row[k]), k, row) for k in range(4)])
            continue
        of_edge = []
        for i, j in permutations(range(4), 2):  # i, then j of the others
            q = torch.zeros(4).double()
            q[[i, j]] = row[[i, j]] / row[[i, j]].sum()
            of_edge += [(float(row[i] * row[j] / (1 - row[i]) * q[k]), k, q) for k in (i, j)]
        ways.append(of_edge)
    exact = torch.zeros_like(p)
    for one, k, q in ways[0]:
        for other, m, r in ways[1]:
            of_gates, _ = gate_gradients()[k, m]
            for edge, opened, shares in ((0, k, q), (1, m, r)):
                if opened != NONE:
                    exact[edge] += one * other * through_softmax(of_gates[edge], shares)
    return exact


@pytest.mark.parametrize("mode", ["full", "two"])
def test_the_mean_gradient_is_the_sum_over_all_draws(mode: str) -> None:
    """1,500 draws, within four standard errors, each of which is at most a tenth of the largest entry."""
    method, estimates = made(mode), []
    for number in range(1500):
        mixture, _ = method.gates(with_chance(number))
        of_gates, _ = gate_gradients()[drawn_of(mixture)]
        (estimate,) = torch.autograd.grad(mixture.op_weights["normal"], method.arch.alpha["normal"], of_gates)
        estimates.append(estimate)
    exact = exact_gradient(method.mixture().op_weights["normal"].detach(), mode)
    assert_unbiased(torch.stack(estimates), exact)


@pytest.mark.parametrize("mode", ["full", "two"])
def test_the_supernet_gives_the_gates_of_a_draw_their_gradients(mode: str) -> None:
    method, opened = made(mode), set()
    α = method.arch.alpha["normal"]
    for number in range(6):
        batch = with_chance(number)
        mixture, gates = method.gates(batch)
        check_mixture(mixture, SPACE)
        draw = drawn_of(mixture)
        opened.add(draw)
        assert mixture.active is not None
        active = mixture.active["normal"]
        assert gates["normal"].sum(dim=1).tolist() == [4 if mode == "full" else 2] * 2
        assert active.sum(dim=1).tolist() == [1 if k == NONE else 4 if mode == "full" else 2 for k in draw]
        (found,), _ = problem()[0].gradients(mixture, batch, [α])
        (expected,) = torch.autograd.grad(method.gates(batch)[0].op_weights["normal"], α, gate_gradients()[draw][0])
        torch.testing.assert_close(found, expected)
        assert [bool(row.any()) for row in found] == [k != NONE for k in draw]
    assert any(NONE in draw for draw in opened)


def test_weights_learn_from_one_operation_an_edge_in_proportion_to_softmax_alpha() -> None:
    method = made("two")
    drawn = []
    for number in range(1500):
        ((share, mixture),) = method.draws(AT, problem()[0], with_chance(number))
        assert share == 1
        assert mixture.active is not None
        assert torch.equal(mixture.op_weights["normal"].bool(), mixture.active["normal"])
        drawn.append(mixture.op_weights["normal"].detach())
    assert_unbiased(torch.stack(drawn), method.mixture().op_weights["normal"].detach())
    assert {tuple(each.argmax(dim=1).tolist()) for each in drawn} <= set(DRAWS)


# The step of α


def test_a_pair_keeps_its_total_probability_and_the_others_theirs() -> None:
    costs = NetworkCosts(SPACE, {"normal": np.full((2, 4, 3), [[0], [7], [3], [90]])}, np.array([10, 10, 0]))
    method = made("two", arch_adam_betas=(0.9, 0.999), arch_learning_rate=0.3, arch_weight_decay=0.1, costs=costs)
    method.c = {kind: c.double() for kind, c in method.c.items()}
    task, moved = problem()[0], 0
    for number in range(4):
        before = method.mixture().op_weights["normal"].detach()
        _, pairs = method.gates(with_chance(number))
        task.arch_batch = lambda number=number: with_chance(number)  # type: ignore[misc]
        method.step(AT, task, with_chance(99))
        after = method.mixture().op_weights["normal"].detach()
        pair = pairs["normal"]
        torch.testing.assert_close(after[~pair], before[~pair])
        torch.testing.assert_close((after * pair).sum(dim=1), (before * pair).sum(dim=1))
        moved += int(((after - before).abs() > 1e-3)[pair].sum())
    assert moved >= 8


def test_alpha_moves_in_every_fifth_step() -> None:
    method, task = made("full"), problem()[0]
    moved = []
    for step in range(11):
        before = method.arch.alpha["normal"].detach().clone()
        task.arch_batch = lambda step=step: with_chance(step)  # type: ignore[misc]
        seen = method.step(At(0, step, 0, 0, 1), task, with_chance(99))
        moved.append(not torch.equal(before, method.arch.alpha["normal"]))
        assert (seen is not None) == moved[-1]
    assert [step for step, has_moved in enumerate(moved) if has_moved] == [0, 5, 10]


def test_an_edge_with_one_allowed_primitive_has_a_pair_of_one() -> None:
    for mode in ("full", "two"):
        method = ProxylessNAS(OTHER_SPACE, mode=mode)  # type: ignore[arg-type]
        mixture, gates = method.gates(with_chance(1))
        check_mixture(mixture, OTHER_SPACE)
        assert gates["normal"][4].tolist() == [False, False, False, True, False]
        (gradient,) = torch.autograd.grad(mixture.op_weights["normal"].square().sum(), [method.arch.alpha["normal"]])
        assert gradient.isfinite().all()


# Cost and stages


def test_the_expected_mult_adds_are_those_of_cells_drawn_by_alpha() -> None:
    """The mean of 400 random cells, within four standard errors."""
    space = CellSpace(4)
    costs = network_costs(space, kind="cifar", channels=4, num_cells=3, num_classes=3, image_channels=3, image_size=8)
    method = ProxylessNAS(space, costs=costs, cost_weight=1.0, reference_mult_adds=10**5)
    for α in method.arch.alpha.values():
        α.data.zero_()
        α.data[:, 0] = -100.0  # random cells have no `none`
    cells = [costs.of(random_genotype(space, seed))["mult_adds"] for seed in range(400)]
    expected = (method.cost().detach().double() + 1) * 1e5
    assert_unbiased(torch.tensor(cells).double(), expected)
    start = ProxylessNAS(space, costs=costs, cost_weight=1.0)
    for α in start.arch.alpha.values():
        α.data.zero_()
    assert start.cost().item() == pytest.approx(0, abs=1e-6)
    gradients = torch.autograd.grad(start.cost(), start.arch.alpha["normal"])[0][0]
    assert gradients[0] < 0 < gradients[5]  # none costs nothing, sep_conv_5x5 much


def test_a_warm_up_is_a_stage_whose_weights_stay() -> None:
    config = SearchConfig(method="proxyless", warmup_epochs=4, warmup_learning_rate=0.2, epochs=6, arch_frozen_epochs=1)
    method = ProxylessNAS(CellSpace(3), warmup_epochs=4, warmup_learning_rate=0.2)
    first, second = stages_of(config, method.stages())
    assert (first.end, first.first_arch_epoch, first.learning_rate(0)) == (4, 4, 0.2)
    assert (second.end, second.first_arch_epoch, second.learning_rate(4), second.keeps_weights) == (10, 5, 0.1, True)
    with pytest.raises(ConfigError, match=r"^warmup_learning_rate is 0.2, but warmup_epochs is 0: drop it, or give"):
        SearchConfig(method="proxyless", warmup_learning_rate=0.2)
