"""GAEA's step: mirror descent on simplices."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import recipe
from pcdarts.methods.gaea import GAEA, SMALLEST
from pcdarts.methods.method import At, Batch
from pcdarts.supernet.supernet import Supernet
from small_space import SPACE as ANOTHER
from small_task import task_of

SPACE = CellSpace(4)
AT = At(0, 0, 0, 0, 1)


def method_of(space: CellSpace = SPACE, rate: float = 0.1) -> GAEA:
    method = GAEA(space, arch_learning_rate=rate)
    method.arch.double()
    return method


def stepped(method: GAEA, gradient_of_ops: Tensor, gradient_of_edges: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of the normal cell after a step along the same gradients in all cells."""
    for alpha, beta in zip(method.arch.alpha.values(), method.arch.beta.values(), strict=True):
        alpha.grad, beta.grad = gradient_of_ops.expand_as(alpha), gradient_of_edges.expand_as(beta)
    method.optimizer.step()
    mixture = method.mixture().detach()
    return mixture.op_weights["normal"], mixture.edge_weights["normal"]


def test_it_begins_uniform_over_operations_and_over_the_edges_of_a_node() -> None:
    mixture = method_of().mixture().detach()
    torch.testing.assert_close(mixture.op_weights["reduce"], torch.full((5, 8), 1 / 8).double())
    torch.testing.assert_close(mixture.edge_weights["reduce"], torch.tensor([1 / 2] * 2 + [1 / 3] * 3).double())


def test_two_steps_are_those_made_by_hand() -> None:
    method, gradient, edges = method_of(), torch.zeros(8).double(), torch.zeros(5).double()
    gradient[3], edges[2] = -10.0, 20.0
    for number in (1, 2):
        ops, of_edges = stepped(method, gradient, edges)
        e = math.exp(number)  # p · exp(0.1 · 10) each time
        assert ops[0, 3].item() == pytest.approx(e / (e + 7))
        assert ops[4, 0].item() == pytest.approx(1 / (e + 7))
        less = math.exp(-2 * number)
        assert of_edges.tolist() == pytest.approx([0.5, 0.5, *(each / (less + 2) for each in (less, 1, 1))])


@given(st.integers(0, 10_000))
def test_no_other_point_of_the_simplex_is_lower_by_gradient_and_distance(seed: int) -> None:
    torch.manual_seed(seed)
    method, gradient = method_of(rate=0.5), torch.randn(8).double()
    method.arch.alpha["normal"].data.normal_()
    before = method.mixture().detach().op_weights["normal"]
    after, _ = stepped(method, gradient, torch.zeros(5).double())

    def height(q: Tensor) -> Tensor:
        return 0.5 * (q * gradient).sum(1) + (q * (q / before).log()).sum(1)

    others = torch.randn(20, *after.shape).double().softmax(-1)
    assert all((height(after) <= height(0.9 * after + 0.1 * other)).all() for other in others)


def test_where_all_gradients_of_an_edge_are_equal_it_rests() -> None:
    method = method_of()
    method.arch.alpha["normal"].data.normal_()
    before = method.mixture().detach().op_weights["normal"]
    after, edges = stepped(method, torch.tensor(3.0).double(), torch.tensor(-2.0).double())
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(edges, torch.tensor([1 / 2] * 2 + [1 / 3] * 3).double())


def test_it_comes_to_rest_at_the_minimum_inside_and_at_the_corner_of_a_linear_loss() -> None:
    method, target = method_of(rate=1.0), torch.tensor([0.05, 0.1, 0.15, 0.2, 0.2, 0.15, 0.1, 0.05]).double()
    for _ in range(300):  # of |p - target|² / 2
        p = method.mixture().detach().op_weights["normal"]
        p, _ = stepped(method, p[0] - target, torch.zeros(5).double())
    torch.testing.assert_close(p, target.expand_as(p), rtol=1e-6, atol=1e-9)
    for _ in range(2):
        p, _ = stepped(method, 1000 * torch.arange(8).double(), torch.zeros(5).double())
    smallest = SMALLEST / (1 + 7 * SMALLEST)
    torch.testing.assert_close(p[0], torch.tensor([1 / (1 + 7 * SMALLEST), *[smallest] * 7]).double())


def test_a_gradient_beyond_all_bounds_leaves_finite_weights_and_can_be_undone() -> None:
    method = method_of()
    method.arch.float()
    gradient = torch.tensor([1e30, *[0.0] * 6, -1e30])
    assert stepped(method, gradient, torch.zeros(5))[0].isfinite().all()
    assert stepped(method, -gradient, torch.zeros(5))[0][0, 0] > 0.99


def test_only_what_an_edge_allows_has_weight() -> None:
    method = method_of(ANOTHER)
    weights, _ = stepped(method, torch.arange(5.0).double(), torch.zeros(6).double())
    assert weights[1].nonzero().flatten().tolist() == [0, 1, 4]
    torch.testing.assert_close(weights.sum(1), torch.ones(6).double())


def test_nothing_changes_where_the_device_found_a_bad_number() -> None:
    method = method_of()
    method.arch.alpha["normal"].data.normal_()
    before = method.mixture().detach().op_weights["normal"]
    for found, is_same in ((1.0, True), (0.0, False)):
        method.optimizer.found_inf = torch.tensor(found)  # type: ignore[attr-defined]
        after, _ = stepped(method, torch.randn(8).double(), torch.zeros(5).double())
        assert torch.equal(after, before) == is_same


@pytest.mark.parametrize("edge_normalization", [True, False])
def test_a_step_on_a_supernet_follows_the_gradient_of_the_weights_themselves(edge_normalization: bool) -> None:
    torch.manual_seed(0)
    method = GAEA(SPACE, edge_normalization)
    method.arch.double()
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
    batch = Batch(torch.randn(4, 3, 8, 8).double(), torch.randint(3, (4,)))
    mixture = method.mixture()
    learnt = [mixture.op_weights["normal"], mixture.op_weights["reduce"]]
    learnt += [mixture.edge_weights[kind] for kind in SPACE.kinds if edge_normalization]
    loss = torch.nn.functional.cross_entropy(supernet(batch.images, mixture), batch.labels)
    gradients = torch.autograd.grad(loss, learnt)
    seen = method.step(AT, task_of(supernet, arch_batch=lambda: batch), batch)
    torch.testing.assert_close(seen.loss, loss.detach())
    now = method.mixture().detach()
    for kind, gradient in zip(SPACE.kinds, gradients[:2], strict=True):
        unscaled = mixture.op_weights[kind] * (-0.1 * gradient).exp()
        torch.testing.assert_close(now.op_weights[kind], (unscaled / unscaled.sum(1, keepdim=True)).detach())
    if edge_normalization:
        unscaled = (mixture.edge_weights["normal"] * (-0.1 * gradients[2]).exp()).detach()
        torch.testing.assert_close(now.edge_weights["normal"][:2], unscaled[:2] / unscaled[:2].sum())
        torch.testing.assert_close(now.edge_weights["normal"][2:], unscaled[2:] / unscaled[2:].sum())
    else:
        assert now.edge_weights["normal"].tolist() == [1.0] * 5


def test_its_recipe_is_that_of_pc_darts_without_frozen_epochs() -> None:
    config = recipe(SearchConfig, "gaea").model_dump()
    assert (config["k"], config["batch_size"], config["epochs"], config["learning_rate"]) == (4, 256, 50, 0.1)
    assert (config["arch_frozen_epochs"], config["arch_learning_rate"], config["edge_normalization"]) == (0, 0.1, True)
