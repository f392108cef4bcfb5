"""P-DARTS: its stages, which operations go, the dropout's rate, and the cap on skips, by hand-made α."""

import math
import shlex
from dataclasses import replace
from typing import Any

import pytest
import torch

from pcdarts.cell.derive import derive
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.flags import read_flags
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError
from pcdarts.jobs.outcome.under_budget import budget_of
from pcdarts.learn.networks import make_method
from pcdarts.learn.stages import stages_of
from pcdarts.methods.method import At, Batch
from pcdarts.methods.p_darts import LARGEST_GRADIENT, PDARTS
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(4)
BATCH = Batch(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))
NONE, MAX, AVG, SKIP, SEP3, SEP5, DIL3, DIL5 = range(8)


def at(stage: int, epoch: int, epochs: int = 25) -> At:
    return At(epoch, 0, stage, epoch, epochs)


def method_of(space: CellSpace = SPACE, edge_normalization: bool = True, **settings: Any) -> PDARTS:
    torch.manual_seed(0)
    return PDARTS(space, edge_normalization, **settings)


def entered(method: PDARTS, stage: int) -> None:
    """The method after its first weight step of a stage; a step of the weights alone needs no task."""
    method.draws(at(stage, 0), None, BATCH)  # type: ignore[arg-type]


def test_its_stages_have_more_cells_and_each_has_the_epochs_and_the_frozen_epochs_of_the_search() -> None:
    config = resolve(SearchConfig, flags={"recipe": "p-darts"})
    stages = stages_of(config, make_method(config, CellSpace(6)).stages())
    assert [stage.config.num_cells for stage in stages] == [5, 11, 17]
    assert [(stage.first_epoch, stage.first_arch_epoch, stage.end) for stage in stages] == [
        (0, 10, 25),
        (25, 35, 50),
        (50, 60, 75),
    ]
    assert not any(stage.keeps_weights for stage in stages)
    assert [round(stage.learning_rate(stage.first_epoch), 6) for stage in stages] == [0.025] * 3


def test_the_operations_of_the_smallest_alpha_go_after_each_stage_edge_by_edge() -> None:
    method = method_of()
    rising = torch.arange(8.0)
    method.arch.alpha["normal"].data.copy_(torch.stack([rising, -rising, rising, rising, rising.roll(2)]))
    method.arch.alpha["reduce"].data.copy_(-rising.expand(5, 8))
    entered(method, 1)
    assert [row.nonzero().flatten().tolist() for row in method.there["normal"]] == [
        [SKIP, SEP3, SEP5, DIL3, DIL5],
        [NONE, MAX, AVG, SKIP, SEP3],
        [SKIP, SEP3, SEP5, DIL3, DIL5],
        [SKIP, SEP3, SEP5, DIL3, DIL5],
        [NONE, MAX, SEP5, DIL3, DIL5],  # whose α are 6, 7, 3, 4 and 5
    ]
    assert method.there["reduce"].all(0).nonzero().flatten().tolist() == [NONE, MAX, AVG, SKIP, SEP3]
    mixture = method.mixture()
    assert torch.equal(mixture.op_weights["normal"] > 0, method.there["normal"])
    torch.testing.assert_close(mixture.op_weights["normal"].sum(1), torch.ones(5))

    alpha = torch.zeros(5, 8)
    alpha[:, MAX] = 99  # which edge 0 has no more: what has gone does not come back
    alpha[:, DIL5], alpha[:, SEP3], alpha[:, DIL3] = 3, 2, 1
    method.arch.alpha["normal"].data.copy_(alpha)
    entered(method, 2)
    assert method.there["normal"][0].nonzero().flatten().tolist() == [SEP3, DIL3, DIL5]
    assert method.there["normal"][1].nonzero().flatten().tolist()[0] == MAX
    assert method.there["normal"].sum(1).tolist() == [3] * 5


def test_a_stage_begins_with_a_new_alpha_and_optimiser_and_within_a_stage_nothing_goes() -> None:
    method = method_of()
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2)
    task = task_of(supernet, arch_batch=lambda: BATCH)
    for parameter in method.arch.parameters():
        parameter.data.fill_(7.0)
    method.step(at(0, 10), task, BATCH)
    assert method.optimizer.state
    before = method.there["normal"].clone()
    method.draws(at(0, 24), task, BATCH)
    assert torch.equal(method.there["normal"], before)
    entered(method, 1)
    for parameter in method.arch.parameters():
        assert 0 < parameter.abs().max() < 0.01
    assert not method.optimizer.state
    again = method_of()
    again.arch.load_state_dict({name: torch.full_like(each, 7.0) for name, each in method.arch.state_dict().items()})
    entered(again, 1)
    for ours, theirs in zip(method.arch.parameters(), again.arch.parameters(), strict=True):
        assert torch.equal(ours, theirs)  # it comes from the batch's place in the run


def test_dropout_falls_linearly_while_alpha_is_frozen_and_then_exponentially() -> None:
    method = method_of()
    method.stage = 1
    rates = [method.rate(at(1, epoch)) for epoch in (0, 4, 9)]
    assert rates == pytest.approx([0.4 * 24 / 25, 0.4 * 20 / 25, 0.4 * 15 / 25])
    method.learnt_from = 10
    rates = [method.rate(at(1, epoch)) for epoch in (10, 11, 24)]
    assert rates == pytest.approx([0.4, 0.4 * math.exp(-0.2), 0.4 * math.exp(-2.8)])
    entered(method, 2)  # a stage begins with its own rate, and with a frozen α
    assert method.rate(at(2, 0)) == pytest.approx(0.7 * 24 / 25)


def test_weights_and_alpha_learn_with_dropout_and_what_is_reported_has_none() -> None:
    method = method_of()
    ((share, drawn),) = method.draws(at(0, 0), None, BATCH)  # type: ignore[arg-type]
    assert share == 1
    assert drawn.skip_dropout is not None
    assert drawn.skip_dropout.rate == pytest.approx(0.1 * 24 / 25)
    assert method.mixture().skip_dropout is None


@pytest.mark.parametrize("edge_normalization", [True, False])
def test_alpha_follows_the_gradient_with_dropout_cut_to_a_norm_of_5(edge_normalization: bool) -> None:
    method = method_of(edge_normalization=edge_normalization)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2)
    with torch.no_grad():
        supernet.classifier.weight.mul_(400)
    batch = BATCH._replace(chance=lambda: torch.Generator().manual_seed(3))
    applied: list[torch.Tensor] = []
    task = task_of(supernet, arch_batch=lambda: batch)
    task.apply = lambda optimizer, gradients, seen: applied.extend(gradients)  # type: ignore[method-assign]
    method.step(at(0, 10), task, batch)
    mixture = replace(method.mixture(), skip_dropout=method.draws(at(0, 10), task, batch)[0][1].skip_dropout)
    loss = torch.nn.functional.cross_entropy(supernet(batch.images, mixture), batch.labels)
    expected = torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(method.arch.parameters()))])
    found = torch.cat([each.flatten() for each in applied])
    assert expected.norm() > LARGEST_GRADIENT
    assert found.norm().item() == pytest.approx(LARGEST_GRADIENT, rel=1e-4)
    torch.testing.assert_close(found, expected * LARGEST_GRADIENT / expected.norm(), rtol=1e-3, atol=1e-4)


# The cap on skips


def with_skips(strengths: list[float], skips_kept: int | None, others: float = 0.2) -> PDARTS:
    """Every edge of the normal cell has a skip of such a strength, and a sep_conv_3x3 of another."""
    method = method_of(edge_normalization=False, skips_kept=skips_kept)
    there = torch.zeros(5, 8, dtype=torch.bool)
    there[:, [NONE, SKIP, SEP3]] = True
    method.there = {"normal": there, "reduce": there.clone()}
    weights = torch.full((5, 8), 1e-9)
    weights[:, SKIP], weights[:, SEP3] = torch.tensor(strengths), others
    weights[:, NONE] = 1 - weights[:, SKIP] - others
    for kind in ("normal", "reduce"):
        method.arch.alpha[kind].data.copy_(weights.log())  # type: ignore[index]
    return method


def test_the_weakest_skips_go_and_the_edges_are_chosen_anew() -> None:
    strengths = [0.5, 0.4, 0.7, 0.6, 0.3]
    free = with_skips(strengths, None).genotype(None, torch.Generator())
    assert free.normal == (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 0), ("skip_connect", 1))
    capped = with_skips(strengths, 2).genotype(None, torch.Generator())
    # 0.4 goes, then 0.5: the first node keeps both edges, each with its convolution; the second node keeps its skips
    assert capped.normal == (("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 1))
    assert capped.reduce == free.reduce  # the cap is about the normal cell
    one = with_skips(strengths, 1).genotype(None, torch.Generator())
    # then 0.6 goes: the edge from node 2 is stronger now, by its own skip, which goes too; then 0.2 meets 0.2
    assert one.skip_connects("normal") == 1
    assert one.normal[2] == ("skip_connect", 0)
    none = with_skips(strengths, 0).genotype(None, torch.Generator())
    assert {primitive for primitive, _ in none.normal} == {"sep_conv_3x3"}


def test_few_skips_are_left_as_they_are_and_none_is_kept_in_any_case() -> None:
    method = with_skips([0.3, 0.1, 0.1, 0.1, 0.1], 2)
    genotype = method.genotype(None, torch.Generator())
    assert genotype == derive(method)
    assert genotype.skip_connects("normal") == 1


def test_more_operations_than_there_are_cannot_be_kept() -> None:
    space = CellSpace(4, primitives=("none", "skip_connect", "sep_conv_3x3"))
    with pytest.raises(InputError, match="operations_left is 5, but there are 3 operations: give fewer"):
        PDARTS(space)
    for kept in ((3, 5), (5, 2), (9, 3)):
        with pytest.raises(InputError, match=r"operations_left is .* give two numbers from 8 down to 3"):
            SearchConfig(method="p-darts", operations_left=kept)


def test_a_budget_has_the_cap_as_its_limit_of_skips_where_it_says_no_other() -> None:
    assert budget_of(SearchConfig(method="p-darts")).max_skips is None  # no budget: the cap's own rule
    assert budget_of(SearchConfig(method="p-darts", max_mult_adds=10**6)).max_skips == 2
    assert budget_of(SearchConfig(method="p-darts", max_mult_adds=10**6, max_skips=4)).max_skips == 4
    assert budget_of(SearchConfig(method="darts", max_mult_adds=10**6)).max_skips is None


def test_three_numbers_are_asked_for_where_three_are_wanted() -> None:
    with pytest.raises(InputError, match=r"skip_dropout.* must be three numbers"):
        SearchConfig(method="p-darts", skip_dropout=(0.1, 0.2))


def test_with_partial_channels_its_recipe_has_the_settings_of_pc_darts() -> None:
    config = resolve(SearchConfig, flags={"recipe": "pc-p-darts"})
    assert (config.method, config.k, config.edge_normalization) == ("p-darts", 4, True)
    assert (config.batch_size, config.learning_rate, config.num_cells, config.epochs) == (256, 0.1, 5, 25)
    plain = resolve(SearchConfig, flags={"recipe": "p-darts"})
    assert (plain.k, plain.edge_normalization, plain.batch_size, plain.learning_rate) == (1, False, 96, 0.025)


def test_its_settings_of_several_numbers_are_flags() -> None:
    flags, problems = read_flags(SearchConfig, shlex.split("--method p-darts --operations-left 4 3 --added-cells 1 2"))
    config: Any = resolve(SearchConfig, flags=flags, problems=problems)
    assert (config.operations_left, config.added_cells) == ((4, 3), (1, 2))
