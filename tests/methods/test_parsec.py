"""PARSEC's importance weights against the sum over all architectures."""

from collections.abc import Sequence
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch, Seen
from pcdarts.methods.parsec import PARSEC, score_gradients
from pcdarts.supernet.arch import Mixture, check_mixture
from pcdarts.supernet.supernet import Supernet
from small_space import SPACE as ANOTHER
from small_task import task_of

SPACE = CellSpace(3)
AT = At(0, 0, 0, 0, 1)
ALL = torch.stack([F.one_hot(torch.tensor(pair), 8) for pair in product(range(8), repeat=2)]).double()
"""All cells of one kind: [64 architectures, 2 edges, 8 primitives]."""
IMAGES = 3


def method_of(space: CellSpace = SPACE, **settings: float) -> PARSEC:
    torch.manual_seed(0)
    method = PARSEC(space, **settings)  # type: ignore[arg-type]
    method.arch.double()
    for parameter in method.arch.parameters():
        parameter.data.normal_()
    return method


def batch_of(seed: int, images: int = IMAGES) -> Batch:
    return Batch(torch.zeros(images), torch.zeros(images), None, lambda: torch.Generator().manual_seed(seed))


class Table:
    """A task that knows the loss of each normal cell; the gradient of each β is its number."""

    def __init__(self) -> None:
        numbers = torch.Generator().manual_seed(1)
        self.of_edges = torch.randn(2, 8, generator=numbers).double()
        self.of_both = torch.randn(8, 8, generator=numbers).double()
        self.number, self.applied = 0, list[list[Tensor]]()

    def losses_of(self, cells: Tensor) -> Tensor:
        return (cells * self.of_edges).sum((1, 2)) + torch.einsum("kp,pq,kq->k", cells[:, 0], self.of_both, cells[:, 1])

    def arch_batch(self) -> Batch:
        self.number += 1
        return batch_of(self.number)

    def images(self, batch: Batch) -> int:
        return len(batch.labels)

    def losses(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self.losses_of(torch.stack([mixture.op_weights["normal"] for mixture in mixtures]))

    def gradients(self, mixture: Mixture, batch: Batch, inputs: list[Tensor]) -> tuple[list[Tensor], Seen]:
        loss = self.losses([mixture], batch)[0].detach()
        return [torch.full_like(each, loss.item()) for each in inputs], Seen(loss, batch.labels, batch.labels)

    def apply(self, optimizer: torch.optim.Optimizer, gradients: list[Tensor], seen: Seen) -> None:
        self.applied.append(gradients)


def marginal(pi: Tensor, losses: Tensor, temperature: float) -> Tensor:
    """log Σ_A p(A|π) p(y|A), over all cells of one kind."""
    log_prior = (ALL * pi.log_softmax(1)).sum((1, 2))
    return (log_prior - IMAGES * losses / temperature).logsumexp(0)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_all_architectures_once_give_the_exact_gradient_where_all_are_as_probable(temperature: float) -> None:
    method, task = method_of(temperature=temperature), Table()
    pi = method.arch.alpha["normal"]
    pi.data.zero_()
    losses = task.losses_of(ALL)
    weights = method.importance(losses, IMAGES)
    mixtures = [Mixture({"normal": cell}, {}) for cell in ALL]
    exact = torch.autograd.grad(-marginal(pi, losses, temperature), pi)
    torch.testing.assert_close(score_gradients(weights, mixtures, {"normal": pi}), list(exact))


def test_many_draws_give_the_exact_gradient_of_the_marginal_likelihood() -> None:
    method, task = method_of(samples=1000), Table()
    pi = method.arch.alpha["normal"]
    losses = task.losses_of(ALL)
    for _ in range(30):
        method.step(AT, task, batch_of(0))  # type: ignore[arg-type]
    found = torch.stack([gradients[0] for gradients in task.applied])
    exact = torch.autograd.grad(-marginal(pi, losses, 1.0), pi)[0]
    error = found.std(0) / 30**0.5
    assert ((found.mean(0) - exact).abs() < 4 * error + 1e-3).all()  # a ratio of means is biased by about 1/1000
    assert (exact.abs() > 20 * error).any()  # the means can tell it from nothing

    posterior = ((ALL * pi.log_softmax(1)).sum((1, 2)) - IMAGES * losses).softmax(0).detach()
    of_beta = torch.stack([gradients[2][0] for gradients in task.applied])
    spread = (posterior @ losses.square() - (posterior @ losses) ** 2).sqrt()
    assert (of_beta.mean() - posterior @ losses).abs() < 4 * spread / 30**0.5


def test_the_weights_learn_by_shares_that_are_the_likelihoods_of_what_was_drawn() -> None:
    method, task, batch = method_of(samples=4), Table(), batch_of(5)
    draws = method.draws(AT, task, batch)  # type: ignore[arg-type]
    likelihoods = (-IMAGES * task.losses([mixture for _, mixture in draws], batch)).exp()
    torch.testing.assert_close(
        torch.stack([torch.as_tensor(share) for share, _ in draws]), likelihoods / likelihoods.sum()
    )
    again = method.draws(AT, task, batch)  # type: ignore[arg-type]
    assert all(
        torch.equal(a.op_weights["reduce"], b.op_weights["reduce"]) for (_, a), (_, b) in zip(draws, again, strict=True)
    )


@pytest.mark.parametrize("space", [SPACE, ANOTHER], ids=["paper", "another"])
def test_an_architecture_has_one_operation_an_edge_in_proportion_to_softmax(space: CellSpace) -> None:
    method = method_of(space, samples=3000)
    mixtures = method.drawn(torch.Generator().manual_seed(0))
    assert mixtures[0].active is not None
    assert mixtures[0].active["normal"].sum(1).tolist() == [1] * space.num_edges
    check_mixture(mixtures[0], space)
    often = torch.stack([mixture.op_weights["normal"] for mixture in mixtures]).mean(0)
    expected = method.mixture().op_weights["normal"].detach()
    assert ((often - expected).abs() <= 4 * (expected * (1 - expected) / 3000).sqrt()).all()


@pytest.mark.parametrize("edge_normalization", [True, False])
def test_a_step_on_a_supernet_moves_everything_that_is_learnt(edge_normalization: bool) -> None:
    torch.manual_seed(0)
    method = PARSEC(SPACE, edge_normalization, samples=3)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2)
    batch = Batch(torch.randn(4, 3, 8, 8), torch.randint(3, (4,)))
    before = [parameter.detach().clone() for parameter in method.arch.parameters()]
    seen = method.step(AT, task_of(supernet, arch_batch=lambda: batch), batch)
    assert seen.logits.shape == (4, 3)
    assert len(before) == (4 if edge_normalization else 2)
    assert all((old != new).any() for old, new in zip(before, method.arch.parameters(), strict=True))
