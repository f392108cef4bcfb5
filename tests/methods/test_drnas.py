"""DrNAS: Dirichlet draws with pathwise gradients, and two stages."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from command_line import done, metrics_of, refused
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import recipe
from pcdarts.errors import InputError
from pcdarts.methods.drnas import DrNAS, dirichlet, kl_from_uniform
from pcdarts.methods.method import At, Batch, Seen
from pcdarts.supernet.arch import Mixture, check_mixture
from small_space import SPACE as ANOTHER

SPACE = CellSpace(3)
MANY_EDGES = CellSpace(12)
AT = At(0, 0, 0, 0, 1)


def method_of(space: CellSpace = SPACE, **settings: Any) -> DrNAS:
    torch.manual_seed(0)
    method = DrNAS(space, **settings)
    method.arch.double()
    for parameter in method.arch.parameters():
        parameter.data.normal_()
    return method


def batch_of(seed: int) -> Batch:
    return Batch(torch.zeros(1), torch.zeros(1), None, lambda: torch.Generator().manual_seed(seed))


class Quadratic:
    """A task whose loss is a · w + w' B w in the operations of each edge of the normal cell; it keeps the gradients."""

    def __init__(self) -> None:
        numbers = torch.Generator().manual_seed(1)
        self.a = torch.randn(8, generator=numbers).double()
        self.B = torch.randn(8, 8, generator=numbers).double()
        self.number, self.applied = 0, list[list[Tensor]]()

    def arch_batch(self) -> Batch:
        self.number += 1
        return batch_of(self.number)

    def gradients(self, mixture: Mixture, batch: Batch, inputs: list[Tensor]) -> tuple[list[Tensor], Seen]:
        w = mixture.op_weights["normal"]
        loss = (w @ self.a + torch.einsum("ei,ij,ej->e", w, self.B, w)).sum()
        gradients = torch.autograd.grad(loss, inputs, materialize_grads=True)
        return list(gradients), Seen(loss.detach(), batch.labels, batch.labels)

    def apply(self, optimizer: torch.optim.Optimizer, gradients: list[Tensor], seen: Seen) -> None:
        self.applied.append(gradients)

    def mean(self, concentration: Tensor) -> Tensor:
        """The mean loss under Dirichlet distributions, by their moments."""
        c, s = concentration, concentration.sum(1, keepdim=True)
        products = (c.unsqueeze(2) * c.unsqueeze(1) + torch.diag_embed(c)) / (s * (s + 1)).unsqueeze(2)
        return (c / s @ self.a).sum() + (self.B * products).sum()


@pytest.mark.parametrize("distance", ["l2", "kl"])
def test_the_mean_of_many_steps_follows_the_gradient_of_the_mean_loss_and_the_distance(distance: Any) -> None:
    method, task = method_of(MANY_EDGES, distance=distance, distance_weight=0.3), Quadratic()
    alpha = method.arch.alpha["normal"]
    alpha.data[:] = alpha.data[0]  # every edge is a draw more
    for _ in range(50):
        method.step(AT, task, batch_of(0))  # type: ignore[arg-type]
    found = torch.cat([gradients[0] for gradients in task.applied])
    c = F.elu(alpha[:, 1:]) + 1  # without `none`
    far = alpha.square().sum()
    if distance == "kl":
        far = torch.distributions.kl_divergence(
            torch.distributions.Dirichlet(c), torch.distributions.Dirichlet(torch.ones_like(c))
        ).sum()
    exact = torch.autograd.grad(task.mean(F.pad(c, (1, 0))) + 0.3 * far, alpha)[0]
    error = found.std(0) / len(found) ** 0.5
    assert len(found) == 50 * 65
    assert ((found.mean(0) - exact).abs() < 4 * error + 1e-9).all()
    assert (exact.abs()[:, 1:] > 8 * error[1:]).any()  # the means can tell it from nothing


def test_draws_have_the_moments_of_the_distribution_on_what_is_there_and_leave_the_global_generator_alone() -> None:
    method = method_of(MANY_EDGES)
    method.arch.alpha["reduce"].data[:] = method.arch.alpha["reduce"].data[0]
    before = torch.get_rng_state()
    draws = torch.cat([method.drawn(batch_of(seed)).op_weights["reduce"].detach() for seed in range(50)])
    assert torch.equal(torch.get_rng_state(), before)
    c = (F.elu(method.arch.alpha["reduce"][0, 1:]) + 1).detach()
    mean = c / c.sum()
    variance = mean * (1 - mean) / (c.sum() + 1)
    assert draws[:, 0].eq(0).all()
    torch.testing.assert_close(draws.sum(1), torch.ones(len(draws)).double())
    assert ((draws[:, 1:].mean(0) - mean).abs() < 4 * (variance / len(draws)).sqrt()).all()
    squares = (draws[:, 1:] - mean).square()
    assert ((squares.mean(0) - variance).abs() < 4 * squares.std(0) / len(draws) ** 0.5).all()


def test_a_batch_has_one_draw_whatever_came_between_and_each_kind_of_cell_its_own() -> None:
    method = method_of()
    first = method.drawn(batch_of(3))
    torch.rand(5)
    again = method.draws(AT, Quadratic(), batch_of(3))[0][1]  # type: ignore[arg-type]
    assert all(torch.equal(first.op_weights[kind], again.op_weights[kind]) for kind in SPACE.kinds)
    for parameter in method.arch.parameters():
        parameter.data.zero_()
    drawn = method.drawn(batch_of(3)).op_weights
    assert not torch.equal(drawn["normal"], drawn["reduce"])


def test_the_pathwise_derivative_is_the_numerical_one_with_the_same_random_numbers() -> None:
    # g moves with its shape c so that its distribution function F(g; c) stays where it was drawn.
    from scipy.special import gammainc, gammaincinv

    c = torch.tensor([[0.4, 1.0, 2.5]]).double().requires_grad_()
    torch.manual_seed(0)
    gammas = torch.distributions.Gamma(c, torch.ones_like(c)).rsample().detach()
    torch.manual_seed(0)
    w = dirichlet(c, torch.ones(1, 3, dtype=torch.bool))
    found = torch.stack([torch.autograd.grad(w[0, i], c, retain_graph=True)[0][0] for i in range(3)])
    levels = gammainc(c.detach().numpy(), gammas.numpy())

    def moved(shift: Tensor) -> Tensor:
        g = torch.from_numpy(gammaincinv((c.detach() + shift).numpy(), levels))
        return (g / g.sum())[0]

    shifts = 1e-4 * torch.eye(3).double()
    numerical = torch.stack([(moved(shift) - moved(-shift)) / 2e-4 for shift in shifts], dim=1)
    torch.testing.assert_close(found, numerical, rtol=1e-3, atol=1e-5)


def test_the_divergence_is_over_what_is_there() -> None:
    c = torch.tensor([[0.5, 2.0, 3.0, 1.5]]).double()
    there = torch.tensor([[True, False, True, True]])
    kept = c[:, [0, 2, 3]]
    expected = torch.distributions.kl_divergence(
        torch.distributions.Dirichlet(kept), torch.distributions.Dirichlet(torch.ones_like(kept))
    )
    torch.testing.assert_close(kl_from_uniform(c, there), expected)


def test_after_the_first_stage_every_edge_keeps_the_operations_of_its_largest_alphas() -> None:
    method = method_of(second_k=2, operations_kept=3)
    alpha = method.arch.alpha["normal"]
    alpha.data[0] = torch.tensor([9.0, 0.1, 0.5, 0.3, 0.2, 0.7, 0.0, -1.0])  # `none` is not there
    alpha.data[1] = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])  # of equal ones the first
    for early in (At(3, 1, 0, 3, 5), At(9, 1, 1, 4, 5)):
        method.end_epoch(early, Quadratic(), torch.Generator())  # type: ignore[arg-type]
    assert method.there["normal"].sum(1).tolist() == [7, 7]
    method.end_epoch(At(4, 1, 0, 4, 5), Quadratic(), torch.Generator())  # type: ignore[arg-type]
    assert [row.nonzero().flatten().tolist() for row in method.there["normal"]] == [[2, 3, 5], [1, 2, 3]]
    mixture, drawn = method.mixture(), method.drawn(batch_of(0))
    torch.testing.assert_close(mixture.op_weights["normal"][0, [2, 3, 5]], alpha[0, [2, 3, 5]].softmax(0))
    for each in (mixture, drawn):
        check_mixture(each, SPACE)
        assert torch.equal(each.op_weights["normal"] != 0, method.there["normal"])
    assert [stage.k for stage in method.stages()] == [None, 2]


def test_only_what_an_edge_allows_is_drawn_and_kept() -> None:
    method = method_of(ANOTHER, second_k=1, operations_kept=2)
    check_mixture(method.drawn(batch_of(0)), ANOTHER)
    method.end_epoch(AT, Quadratic(), torch.Generator())  # type: ignore[arg-type]
    check_mixture(method.drawn(batch_of(0)), ANOTHER)
    assert method.there["normal"].sum(1).tolist() == [2, 2, 2, 2, 1, 2]
    with pytest.raises(InputError, match="operations_kept is 6, but an edge has 5 operations"):
        DrNAS(ANOTHER, second_k=1, operations_kept=6)


def test_its_recipe_is_the_published_search_in_two_stages() -> None:
    config = recipe(SearchConfig, "drnas").model_dump()
    assert (config["channels"], config["num_cells"], config["k"], config["second_k"]) == (36, 20, 6, 4)
    assert (config["epochs"], config["arch_frozen_epochs"], config["batch_size"]) == (25, 10, 64)
    assert (config["edge_normalization"], config["operations_kept"]) == (False, 4)


TWO_STAGES = shlex.split(
    "search --method drnas --train-images 40 --image-size 8 --channels 4 --k 4 --second-k 2 --num-cells 3 "
    "--num-nodes 3 --batch-size 10 --epochs 2 --arch-frozen-epochs 1 --arch-learning-rate 0.1"
)


def test_two_stages_have_one_schedule_and_the_second_fewer_operations(tmp_path: Path) -> None:
    # Stopped in the second stage and resumed to the same bits: tests/methods/test_every_method.py.
    done(tmp_path, *TWO_STAGES, "--run", "run")
    records = metrics_of(tmp_path / "run")
    rates = [record["learning_rate"] for record in records]
    assert rates == sorted(rates, reverse=True)
    assert len(rates) == 4
    weights = [[sum(w != 0 for w in edge) for edge in record["op_weights"]["normal"]] for record in records]
    assert weights == [[7, 7], [4, 4], [4, 4], [4, 4]]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--second-k", "8", "--channels", "8"], "second_k is 8, but K only falls: give k (4) or less"),
        (["--second-k", "3"], "second_k is 3, but it must divide channels (4)"),
        (
            ["--operations-kept", "8"],
            "operations_kept is 8, but an edge has 7 operations to choose from: give 7 or fewer",
        ),
    ],
)
def test_a_second_stage_that_cannot_be_is_refused(tmp_path: Path, flags: list[str], line: str) -> None:
    assert refused(tmp_path, *TWO_STAGES, *flags) == line
