"""ENAS: how probable its controller says cells are, and its policy gradient against that of all cells of a space."""

from collections.abc import Sequence
from itertools import permutations, product

import pytest
import torch
from torch import Tensor

from enumerated import AT, assert_unbiased, problem, with_chance
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.data.streams import generator
from pcdarts.methods.method import Batch
from pcdarts.methods.sampling.controller import Controller, cells_of
from pcdarts.methods.sampling.enas import ENAS
from pcdarts.supernet.arch import Mixture
from small_space import SPACE as OTHER_SPACE
from small_task import task_of

SPACE = CellSpace(4, form=CellForm(kinds=("normal",)), primitives=("none", "skip_connect", "sep_conv_3x3"))
"""Two nodes: the first has both inputs, the second two of three; two operations on each edge."""


def all_decisions() -> Tensor:
    """All that the controller can decide about a cell of the space: [96, 1, 4, 2]."""
    found = []
    for operations, inputs in product(product((1, 2), repeat=4), permutations(range(3), 2)):
        found.append([[*zip((0, 1, *inputs), operations, strict=True)]])
    return torch.tensor(found)


class Table:
    """A task in which a cell errs more, the more separable convolutions it has, and the more it uses node 0."""

    network = torch.nn.Identity()

    def __init__(self) -> None:
        self.apply = task_of(torch.nn.Linear(1, 1)).apply

    def arch_batch(self) -> Batch:
        return with_chance(0)

    def errors(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return torch.stack([self.error_of(mixture) for mixture in mixtures])

    @staticmethod
    def error_of(mixture: Mixture) -> Tensor:
        weights = mixture.op_weights["normal"]
        return 10 + 10 * weights[:, 2].sum() + 30 * weights[2].sum()


@pytest.fixture
def method() -> ENAS:
    torch.manual_seed(0)
    made = ENAS(SPACE, False, controller_size=6, controller_samples=20, entropy_weight=0.01)
    made.controller.double()
    for parameter in made.controller.parameters():
        parameter.data.normal_(0, 0.8)
    return made


def test_the_probabilities_of_all_decisions_sum_to_one(method: ENAS) -> None:
    decisions = all_decisions()
    assert len(set(cells_of(decisions, SPACE))) == 48, "two orders of two inputs are one cell"
    drawn = method.controller(len(decisions), None, decisions)
    assert torch.equal(drawn.decisions, decisions)
    assert drawn.log_probs.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert drawn.log_probs.std() > 0.1, "they differ"


def test_cells_are_drawn_as_often_as_they_are_probable(method: ENAS) -> None:
    """4,000 draws, each within 4.5 standard errors."""
    decisions = all_decisions()
    number = 4000
    with torch.no_grad():
        p = method.controller(len(decisions), None, decisions).log_probs.exp()
        drawn = method.controller(number, generator(0))
    same = (drawn.decisions.flatten(1).unsqueeze(1) == decisions.flatten(1)).all(dim=2)
    distance = (same.double().mean(dim=0) - p).abs()
    assert (distance < 4.5 * (p * (1 - p) / number).sqrt()).all()
    again = method.controller(number, None, drawn.decisions)
    torch.testing.assert_close(again.log_probs, drawn.log_probs)


def test_reinforce_estimates_the_policy_gradient_of_all_cells(method: ENAS) -> None:
    """150 estimates from 20 cells each, within four standard errors, each at most a tenth of the largest entry."""
    parameters = [method.controller.op_logits.bias, method.controller.of_query.weight]
    decisions, task = all_decisions(), Table()
    every = method.controller(len(decisions), None, decisions)
    errors = task.errors([method.cells.path(cell) for cell in cells_of(decisions, SPACE)], task.arch_batch())
    rewards = 1 - errors.double() / 100 + 0.01 * every.entropies
    expected = torch.autograd.grad((every.log_probs.exp() * rewards).sum(), parameters)

    method.baseline = 0.5
    estimates = []
    for number in range(150):
        loss, _ = method.policy_loss(task, generator(1, number))  # type: ignore[arg-type]
        estimates.append(torch.cat([-g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    assert_unbiased(torch.stack(estimates), torch.cat([g.flatten() for g in expected]))


def test_the_controller_learns_to_draw_what_is_rewarded() -> None:
    torch.manual_seed(0)
    method, task = ENAS(SPACE, False, controller_size=16, controller_learning_rate=0.02), Table()
    end = generator(0, "end")
    method.end_epoch(AT, task, end)  # type: ignore[arg-type]
    assert method.baseline is None, "nothing before the first step"
    method.step(AT, task, with_chance(0))  # type: ignore[arg-type]
    before = float(Table.error_of(method.mixture()))
    for _ in range(2):
        method.end_epoch(AT, task, end)  # type: ignore[arg-type]
    assert float(Table.error_of(method.mixture())) < before - 10


def test_the_baseline_follows_the_rewards_slowly(method: ENAS) -> None:
    task = Table()
    method.started, method.steps, method.baseline = True, 1, 0.2
    _, rewards = method.policy_loss(task, generator(3))  # type: ignore[arg-type]
    method.end_epoch(AT, task, generator(3))  # type: ignore[arg-type]
    assert method.baseline == pytest.approx(0.99 * 0.2 + 0.01 * float(rewards.mean()))


def test_separable_convolutions_are_favoured_at_the_start_and_most_in_the_first_kind_of_cell() -> None:
    torch.manual_seed(0)
    method = ENAS(CellSpace(4), False)
    shares = {}
    for kind, weights in method.mixture().op_weights.items():
        shares[kind] = float(weights[:, [4, 5]].sum() / weights.sum())
    assert 2 / 7 < shares["reduce"] < shares["normal"]


def test_other_spaces_are_drawn_from_too() -> None:
    drawn = Controller(OTHER_SPACE, 4)(50, generator(0))
    for cell in cells_of(drawn.decisions, OTHER_SPACE):
        for (primitive, source), edge in zip(cell.edges("normal"), OTHER_SPACE.edges, strict=True):
            assert source == edge.source
            assert OTHER_SPACE.primitives.index(primitive) in OTHER_SPACE.choices(OTHER_SPACE.edges.index(edge))


def test_weights_learn_on_a_cell_of_the_controller(method: ENAS) -> None:
    ((share, drawn),) = method.draws(AT, problem()[0], with_chance(2))
    assert share == 1.0
    (cell,) = method.drawn(1, with_chance(2).chance())
    assert torch.equal(drawn.op_weights["normal"], method.cells.path(cell).op_weights["normal"])
