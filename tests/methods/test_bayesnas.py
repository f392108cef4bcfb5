"""BayesNAS: the closed form on quadratics, the Fisher information, and which switches make the cell."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from pcdarts.cell.space import NASBENCH201, CellSpace
from pcdarts.methods.bayesnas import BayesNAS, relevance, shares_of_nodes
from pcdarts.methods.method import At, Batch, Seen
from pcdarts.supernet.arch import Mixture, check_mixture
from pcdarts.supernet.supernet import Supernet
from small_space import SPACE as ANOTHER
from small_task import task_of

SPACE = CellSpace(3)
AT = At(0, 0, 0, 0, 1)


def number(value: float) -> Tensor:
    return torch.tensor([value]).double()


def test_an_update_is_the_one_made_by_hand() -> None:
    # c = 1 / (1/2 + 3) = 2/7, and ω² = 1/2 - (2/7) / 4 = 3/7
    γ, ω = relevance(number(-1.5), number(2.0), number(3.0))
    assert ω.item() == pytest.approx(math.sqrt(3 / 7))
    assert γ.item() == pytest.approx(1.5 / math.sqrt(3 / 7))


@pytest.mark.parametrize("minimum", [1.0, 0.02])
def test_on_a_quadratic_it_comes_to_the_fixed_point_of_a_switch_that_is_needed_and_to_nothing_of_another(
    minimum: float,
) -> None:
    h = number(50.0)  # the loss / λ is h/2 (s - minimum)²
    γ, ω = number(0.5), number(0.5)
    for _ in range(2000):
        s = (number(minimum) - ω / h).clamp_min(0)  # the minimum of loss / λ + ω |s|
        γ, ω = relevance(s, γ, h)
    if minimum == 1.0:
        torch.testing.assert_close(h * γ**2, s**2 * (1 + γ * h))
        assert 0.9 < γ.item() < 1.0
    else:
        assert s.item() == 0
        assert γ.item() < 1e-9


def test_a_switch_without_curvature_stays_finite() -> None:
    γ, ω = relevance(number(1.0), number(0.5), number(0.0))
    assert γ.isfinite().all()
    assert ω.item() < 1e-5


class Regression:
    """A task of Gaussian regression in the switches of the first normal edge, all at their true values.

    The negative log-likelihood of an image is (y - s · x)² / 2, so its Hessian in a switch is the mean of x².
    """

    def __init__(self) -> None:
        self.scale = torch.tensor([0.5, 1.0, 2.0, 0.1, 1.5, 3.0, 0.7, 0.3]).double()
        self.numbers = torch.Generator().manual_seed(0)

    def arch_batch(self) -> Batch:
        return Batch(torch.zeros(16), torch.zeros(16))

    def images(self, batch: Batch) -> int:
        return len(batch.labels)

    def gradients(self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor]) -> tuple[list[Tensor], Seen]:
        x = self.scale * torch.randn(16, 8, generator=self.numbers, dtype=torch.double)
        y = x.sum(1) + torch.randn(16, generator=self.numbers, dtype=torch.double)
        loss = (y - x @ inputs[0][0]).square().mean() / 2
        found = torch.autograd.grad(loss, inputs, materialize_grads=True)
        return list(found), Seen(loss.detach(), batch.labels, batch.labels)

    def apply(self, optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor], seen: Seen) -> None:
        pass  # the switches stay


def test_the_squared_gradients_of_batches_estimate_the_hessian() -> None:
    method, task = BayesNAS(SPACE), Regression()
    method.arch.double()
    method.fisher = [each.double() for each in method.fisher]
    for _ in range(2000):
        method.step(AT, task, task.arch_batch())  # type: ignore[arg-type]
    found, exact = method.fisher[0][0] / method.batches, task.scale.square()
    assert ((found / exact - 1).abs() < 4 * math.sqrt(2.5 / 2000)).all()  # a square of a nearly normal number
    assert method.fisher[0][1].eq(0).all()


def test_an_epoch_ends_with_new_priors_and_an_operation_is_as_relevant_as_its_edge_allows() -> None:
    torch.manual_seed(0)
    method, task = BayesNAS(SPACE, operation_sparsity=0.5, edge_sparsity=0.25), Regression()
    γ = [each.clone() for each in method.γ]
    method.end_epoch(AT, task, torch.Generator())  # type: ignore[arg-type]
    assert all(torch.equal(old, new) for old, new in zip(γ, method.γ, strict=True))  # nothing was learnt yet
    method.fisher, method.batches = [torch.full_like(each, 6.0) for each in method.fisher], 2
    method.end_epoch(AT, task, torch.Generator())  # type: ignore[arg-type]
    of_edges, _ = relevance(torch.ones(2), γ[2], torch.full((2,), 3 / 0.25))
    of_operations, ω = relevance(torch.ones(2, 8), γ[0], torch.full((2, 8), 3 / 0.5))
    torch.testing.assert_close(method.γ[2], of_edges)
    torch.testing.assert_close(method.γ[0], 1 / (1 / of_operations + 1 / of_edges.unsqueeze(1)))
    torch.testing.assert_close(method.ω[0], ω)
    assert (method.batches, method.fisher[0].abs().sum().item()) == (0, 0)


def test_the_cell_keeps_the_operations_and_edges_of_the_largest_gamma() -> None:
    method = BayesNAS(CellSpace(4))
    γ = torch.full((5, 8), 0.1)
    γ[:, 0] = 9  # `none` is no choice
    γ[0, 3], γ[1, 4], γ[2, 5], γ[3, 1], γ[4, 6] = 0.3, 0.4, 0.2, 0.8, 0.5
    method.γ[0] = γ
    cell = method.genotype(None, torch.Generator()).normal
    assert cell == (("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 1), ("dil_conv_3x3", 2))


@pytest.mark.parametrize("space", [SPACE, ANOTHER], ids=["paper", "another"])
def test_all_operations_are_on_at_first_with_shares_of_nodes_or_plain_sums(space: CellSpace) -> None:
    mixture = BayesNAS(space).mixture()
    check_mixture(mixture, space)
    held = [{space.primitives[column] for column in space.choices(edge)} for edge in range(space.num_edges)]
    assert mixture.op_weights["normal"].sum(1).tolist() == [len(names - {"none"}) for names in held]
    into = [len(space.edges_into(target)) for target in space.intermediate]
    expected = torch.tensor([1 / count for count in into for _ in range(count)])
    torch.testing.assert_close(mixture.edge_weights["normal"].detach(), expected)
    plain = BayesNAS(space, edge_normalization=False).mixture()
    assert plain.edge_weights["normal"].tolist() == [1] * space.num_edges
    halves = shares_of_nodes(torch.tensor([3.0, -1.0]), SPACE)
    assert halves.tolist() == [0.75, -0.25]


def test_a_step_on_a_supernet_follows_loss_and_sparsity() -> None:
    torch.manual_seed(0)
    method = BayesNAS(SPACE, edge_normalization=False, arch_learning_rate=0.5)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2)
    batch = Batch(torch.randn(4, 3, 8, 8), torch.randint(3, (4,)))
    switches = list(method.arch.parameters())
    loss = torch.nn.functional.cross_entropy(supernet(batch.images, method.mixture()), batch.labels)
    gradients = torch.autograd.grad(loss, switches)
    method.step(AT, task_of(supernet, arch_batch=lambda: batch), batch)
    for s, gradient, ω, fisher in zip(switches, gradients, method.ω, method.fisher, strict=True):
        torch.testing.assert_close(s.detach(), 1 - 0.5 * (gradient + 0.01 * ω))
        torch.testing.assert_close(fisher, 4 * gradient.square())


def test_none_has_no_switch_even_where_a_cell_may_hold_it() -> None:
    method = BayesNAS(NASBENCH201)
    method.γ[0][:, 0] = 1e9  # what a switch without any effect on the loss comes to
    assert not method.mixture().op_weights["normal"][:, 0].any()
    assert all(primitive != "none" for primitive, _ in method.genotype(None, torch.Generator()).normal)
