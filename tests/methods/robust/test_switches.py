"""The switches of dense methods: each against numbers, and none of them where it is off."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from command_line import SEARCH, checkpoint_of, done, refused
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.methods.recipes import SMALL_VARIANTS, VARIANTS
from pcdarts.config.methods.robust import RobustSettings
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError
from pcdarts.learn.networks import make_method
from pcdarts.methods.darts import DARTS
from pcdarts.methods.method import At, Batch, Seen, Task
from pcdarts.methods.robust.switches import Robust, Switches, log_sum_exp, made_robust, perturbed, with_auxiliary_skips
from pcdarts.supernet import reference
from pcdarts.supernet.arch import Mixture, check_mixture
from pcdarts.supernet.supernet import Supernet
from small_space import SPACE as OTHER_SPACE
from small_task import task_of

SPACE = CellSpace(4)
SKIP = SPACE.primitives.index("skip_connect")


def chance(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(seed: int) -> Batch:
    images = torch.randn(4, 3, 8, 8, generator=chance(seed), dtype=torch.float64)
    return Batch(images, torch.arange(4) % 3, None, lambda: chance(seed))


def searched(**switches: Any) -> tuple[Robust, Task]:
    """DARTS with switches, in float64, on a tiny supernet."""
    torch.manual_seed(0)
    method = DARTS(SPACE)
    method.arch.double()
    for parameter in method.arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
    task = task_of(supernet, torch.optim.SGD(supernet.parameters(), 0.1), arch_batch=lambda: batch_of(2))
    return Robust(method, Switches(**switches)), task


def at(epoch: int, epochs: int = 10) -> At:
    return At(epoch, 0, 0, epoch, epochs)


# Nothing is on


def test_without_switches_a_method_is_not_wrapped() -> None:
    config = resolve(SearchConfig)
    assert isinstance(config, RobustSettings)
    assert type(make_method(config, SPACE)) is DARTS
    method = DARTS(SPACE)
    assert made_robust(method, {}) is method


def test_switches_whose_strength_is_nought_change_no_bit(tmp_path: Path) -> None:
    done(tmp_path, *SEARCH, "--run", "plain")
    done(tmp_path, *SEARCH, "--perturbation", "1e-30", "--perturbation-start", "0", "--run", "robust")
    ours, theirs = (checkpoint_of(tmp_path / run) for run in ("robust", "plain"))
    named = {path.replace("/method/method/", "/method/"): value for path, value in ours.items()}
    same = [path for path in theirs if path.startswith("/state/") and "seconds" not in path]
    assert len(same) > 100
    assert [path for path in same if not equal(named[path], theirs[path])] == []


def equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


# SDARTS-RS


def test_the_perturbation_keeps_its_bounds_and_grows_from_epoch_to_epoch() -> None:
    robust, task = searched(perturbation=0.3)
    assert [robust.switches.radius(at(epoch)) for epoch in (0, 5, 10)] == pytest.approx([0.03, 0.165, 0.3])
    clean = robust.mixture()
    moved = []
    for epoch in (0, 5):
        ((share, mixture),) = robust.draws(at(epoch), task, batch_of(1))
        assert share == 1
        check_mixture(mixture, SPACE)
        for kind in SPACE.kinds:
            assert torch.equal(mixture.edge_weights[kind], clean.edge_weights[kind])
            weights = mixture.op_weights[kind]
            assert ((weights >= 0) & (weights <= 1)).all()
            assert ((weights - clean.op_weights[kind]).abs() <= robust.switches.radius(at(epoch)) + 1e-12).all()
        moved.append((mixture.op_weights["normal"] - clean.op_weights["normal"]).abs().max())
    assert 0.02 < moved[0] < moved[1]


def test_a_batch_has_one_perturbation_and_alpha_learns_without() -> None:
    robust, task = searched(perturbation=0.3)
    plain, other_task = searched()
    first, second = (robust.draws(at(5), task, batch_of(1))[0][1].op_weights["normal"] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, robust.draws(at(5), task, batch_of(3))[0][1].op_weights["normal"])
    robust.step(at(5), task, batch_of(1))
    plain.step(at(5), other_task, batch_of(1))
    for ours, theirs in zip(robust.arch.parameters(), plain.arch.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_absent_stays_absent_when_weights_are_perturbed() -> None:
    weights = torch.full((OTHER_SPACE.num_edges, 5), 0.5)
    weights[:, 2] = 0
    moved = perturbed(Mixture({"normal": weights}, {"normal": torch.ones(6)}), 0.4, chance())
    assert (moved.op_weights["normal"][:, 2] == 0).all()
    assert (moved.op_weights["normal"][:, 0] != 0.5).all()


# DARTS-


def test_an_auxiliary_skip_adds_to_what_an_edge_gives() -> None:
    torch.manual_seed(0)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
    cell = supernet.cells[0]
    op_weights = torch.rand(len(SPACE.primitives)).double()
    extra = with_auxiliary_skips(Mixture({"normal": op_weights.expand(5, -1)}, {}), SPACE, 0.7).op_weights["normal"]
    x = torch.randn(2, 4, 8, 8).double()
    mask = reference.first_channels(cell)[3]
    plain, with_skip = (reference.partial_channels(cell, 3, x, weights, mask) for weights in (op_weights, extra[3]))
    torch.testing.assert_close(with_skip[:, mask], plain[:, mask] + 0.7 * x[:, mask])
    assert torch.equal(with_skip[:, ~mask], plain[:, ~mask])


def test_the_auxiliary_skip_fades_in_both_steps_and_is_not_in_the_cell() -> None:
    robust, task = searched(auxiliary_skip=True)
    clean = robust.mixture()
    for epoch, weight in ((0, 1.0), (5, 0.5), (10, 0.0)):
        ((_, mixture),) = robust.draws(at(epoch), task, batch_of(1))
        added = mixture.op_weights["reduce"] - clean.op_weights["reduce"]
        torch.testing.assert_close(added[:, SKIP], torch.full((5,), weight).double())
        assert float(added.detach().abs().sum()) == pytest.approx(5 * weight)
    expected, _ = task.gradients(
        with_auxiliary_skips(robust.mixture(), SPACE, 0.5), batch_of(2), list(robust.arch.parameters())
    )
    taken = Taken(task)
    robust.step(at(5), taken, batch_of(1))
    assert all(torch.equal(*pair) for pair in zip(taken.gradients_taken, expected, strict=True))
    assert robust.genotype(None, chance()) == robust.method.genotype(None, chance())


def test_an_auxiliary_skip_is_only_where_the_space_allows_a_skip() -> None:
    weights = {"normal": torch.zeros(6, 5)}
    active = {"normal": torch.zeros(6, 5, dtype=torch.bool)}
    mixture = with_auxiliary_skips(Mixture(weights, {"normal": torch.ones(6)}, active), OTHER_SPACE, 0.5)
    check_mixture(mixture, OTHER_SPACE)
    assert mixture.op_weights["normal"][:, 0].tolist() == [0.5, 0.5, 0.5, 0.5, 0, 0]


class Taken:
    """A task whose optimisers take no step: it keeps the gradients that they would have had."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.gradients_taken: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def apply(self, optimizer: torch.optim.Optimizer, gradients: list[Tensor], seen: Seen) -> None:
        self.gradients_taken = list(gradients)


# beta-DARTS


def test_the_penalty_has_the_gradient_of_the_mean_of_log_sum_exp() -> None:
    robust, task = searched(beta_penalty=8.0)
    plain, _ = searched()
    with_penalty, without = Taken(task), Taken(task)
    robust.step(at(5), with_penalty, batch_of(1))
    plain.step(at(5), without, batch_of(1))
    added = [ours - theirs for ours, theirs in zip(with_penalty.gradients_taken, without.gradients_taken, strict=True)]
    arch = robust.method.arch

    def loss() -> float:
        rows = torch.cat([arch.alpha[kind].detach() for kind in SPACE.kinds])
        return 4.0 * float(rows.exp().sum(dim=1).log().sum()) / 10  # λ(5) = 4; two kinds of five edges

    for (name, parameter), found in zip(arch.named_parameters(), added, strict=True):
        for place in (0, 7, parameter.numel() - 1) if name.startswith("alpha") else ():
            before = parameter.data.view(-1)[place].item()
            parameter.data.view(-1)[place] = before + 1e-5
            above = loss()
            parameter.data.view(-1)[place] = before - 1e-5
            below = loss()
            parameter.data.view(-1)[place] = before
            assert found.view(-1)[place].item() == pytest.approx((above - below) / 2e-5, rel=1e-6)
        assert name.startswith("alpha") or not found.any()


def test_the_penalty_leaves_out_operations_that_are_gone() -> None:
    alpha = {"normal": torch.tensor([[1.0, 2.0, 3.0]])}
    mixture = Mixture({"normal": torch.tensor([[0.4, 0.0, 0.6]])}, {"normal": torch.ones(1)})
    assert float(log_sum_exp(alpha, mixture)) == pytest.approx(float(torch.tensor([1.0, 3.0]).logsumexp(0)))


# From the command line


def test_switches_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, *SEARCH, "--perturbation", "2") == "perturbation is 2, but it must be at most 1"
    line = refused(tmp_path, *SEARCH, "--perturbation", "0.01")
    assert line.startswith("perturbation_start is 0.03, but it must be at most perturbation (0.01)")
    line = refused(tmp_path, *SEARCH, "--skip-cap", "2")
    assert line == (
        "there is no flag --skip-cap: here it is --max-skips (the best cell with so few of them, by exact search)"
    )
    line = refused(tmp_path, "search", "--method", "gaea", "--beta-penalty", "2")
    assert line == (
        "beta_penalty is 2, but it is about logits of a softmax, which method gaea does not have: drop it, or use "
        "method darts"
    )


OF_DARTS = [name for name, settings in VARIANTS.items() if settings["method"] == "darts"]


@pytest.mark.parametrize("recipe", [name + size for name in OF_DARTS for size in ("", "-small")])
def test_the_recipe_of_a_variant_is_darts_with_a_switch(recipe: str) -> None:
    config = resolve(SearchConfig, flags={"recipe": recipe})
    assert (config.method, config.recipe) == ("darts", recipe)
    assert isinstance(make_method(config, SPACE), Robust)
    assert sorted(VARIANTS) == sorted(SMALL_VARIANTS)


def test_the_recipe_of_a_variant_gives_its_switch_to_another_dense_method_and_is_refused_for_others() -> None:
    for method in ("gaea", "drnas", "p-darts", "fair-darts"):
        assert resolve(SearchConfig, flags={"recipe": "sdarts-rs", "method": method}).perturbation == 0.3  # type: ignore[attr-defined]
    assert resolve(SearchConfig, flags={"recipe": "darts-v1", "method": "gaea"}).perturbation == 0  # type: ignore[attr-defined]
    with pytest.raises(InputError) as refusal:
        resolve(SearchConfig, flags={"recipe": "sdarts-rs", "method": "gdas"})
    assert str(refusal.value).startswith(
        "the recipe sdarts-rs is about perturbation, for methods that weigh all operations, and not for gdas: choose "
        "another recipe, or --method darts, gaea, fair-darts, drnas"
    )
