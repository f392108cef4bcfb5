"""What methods of whole cells share, and random search with shared weights."""

from functools import partial

import pytest
import torch
from torch import Tensor

from enumerated import AT, SPACE, problem, with_chance
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.data.streams import generator
from pcdarts.methods.method import Task
from pcdarts.methods.sampling.random_ws import RandomWS
from pcdarts.methods.sampling.whole_cells import WholeCells, as_texts, from_texts, random_cell
from pcdarts.supernet.arch import Mixture, check_mixture
from small_space import SPACE as OTHER_SPACE

whole_cells = partial(WholeCells, rate=0.1, betas=(0.5, 0.999), weight_decay=0.0)


class ByRule:
    """A task in which a cell errs by the operation of its first edge, otherwise on few batches than on all."""

    def __init__(self, few: dict[str, float], all_: dict[str, float]) -> None:
        self.few, self.all, self.asked = few, all_, list[tuple[str, int | None]]()

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        primitive = SPACE.primitives[int(mixture.op_weights["normal"][0].argmax())]
        self.asked.append((primitive, batches))
        return (self.all if batches is None else self.few)[primitive]


def cell(first: str, second: str = "sep_conv_3x3") -> Genotype:
    return Genotype.of_space(SPACE, {"normal": ((first, 0), (second, 1))})


def test_the_best_on_few_batches_are_compared_on_all_images() -> None:
    arch = whole_cells(SPACE, False, "cpu")
    cells = [cell("skip_connect"), cell("avg_pool_3x3"), cell("sep_conv_3x3"), cell("skip_connect")]
    few = {"skip_connect": 50.0, "avg_pool_3x3": 40.0, "sep_conv_3x3": 45.0}
    everything = {"avg_pool_3x3": 44.0, "sep_conv_3x3": 43.0}
    task = ByRule(few, everything)
    assert arch.best(task, cells, 2, 2) == cells[2]  # type: ignore[arg-type]
    assert task.asked[:3] == [("skip_connect", 2), ("avg_pool_3x3", 2), ("sep_conv_3x3", 2)], "each cell once"
    assert task.asked[3:] == [("avg_pool_3x3", None), ("sep_conv_3x3", None)]


def test_of_equals_the_first_is_better() -> None:
    arch, same = whole_cells(SPACE, False, "cpu"), dict.fromkeys(SPACE.primitives, 30.0)
    cells = [cell("avg_pool_3x3"), cell("sep_conv_3x3")]
    task: Task = ByRule(same, same)  # type: ignore[assignment]
    assert arch.best(task, cells, 1, 10) == cells[0]
    assert arch.best(task, cells, 1, 1) == cells[0]


@pytest.mark.parametrize("space", [CellSpace(5), OTHER_SPACE])
def test_the_uniform_mixture_is_how_often_random_cells_have_an_operation(space: CellSpace) -> None:
    """4,000 cells; four standard errors of a frequency are at most 0.032."""
    arch, chance = whole_cells(space, False, "cpu"), generator(0, "cells")
    uniform, found = arch.uniform(), arch.often([random_cell(space, chance) for _ in range(4000)])
    check_mixture(uniform, space)
    for kind in space.kinds:
        assert (uniform.op_weights[kind] - found.op_weights[kind]).abs().max() < 0.032


def test_beta_learns_under_the_cell_that_is_drawn_for_the_arch_batch() -> None:
    task, batch = problem()
    arch = whole_cells(SPACE, True, "cpu").double()
    before = arch.beta["normal"].detach().clone()
    drawn = []

    def draw(chance: torch.Generator) -> Genotype:
        drawn.append(random_cell(SPACE, chance))
        return drawn[0]

    seen = arch.learn(task, draw)
    assert seen is not None
    torch.testing.assert_close(seen.loss, task.losses([_with(arch, drawn[0], before)], batch)[0])
    (gradient,), _ = task.gradients(arch.path(drawn[0]), batch, [arch.beta["normal"]])
    assert gradient.abs().max() > 0
    moved = (arch.beta["normal"].detach() - before).abs()
    assert float(moved.max()) == pytest.approx(0.1, rel=1e-3), "Adam's first step"


def _with(arch: WholeCells, cell: Genotype, beta: Tensor) -> Mixture:
    other = whole_cells(SPACE, True, "cpu").double()
    other.beta["normal"].data.copy_(beta)
    return other.path(cell)


def test_without_edge_normalisation_nothing_is_learnt_and_no_batch_is_taken() -> None:
    method = RandomWS(SPACE, edge_normalization=False)
    task: Task = ByRule({}, {})  # type: ignore[assignment]  # which has no batches
    assert method.step(AT, task, with_chance(0)) is None
    assert [*method.arch.parameters()] == []


def test_errors_on_a_batch_count_wrong_answers_and_move_no_statistics() -> None:
    task, batch = problem()
    arch = whole_cells(SPACE, False, "cpu").double()
    arch.ones = arch.ones.double()
    paths = [arch.path(cell(first)) for first in ("skip_connect", "sep_conv_3x3")]
    before = {name: buffer.clone() for name, buffer in task.network.named_buffers()}
    errors = task.errors(paths, batch)
    assert all(torch.equal(before[name], buffer) for name, buffer in task.network.named_buffers())
    with torch.no_grad():
        logits = [task.network(batch.images, path, batch.masks) for path in paths]
    expected = [100 * float((each.argmax(1) != batch.labels).float().mean()) for each in logits]
    assert errors.tolist() == pytest.approx(expected)


def test_cells_are_the_same_after_they_were_texts() -> None:
    for space in (CellSpace(6), OTHER_SPACE):
        cells = [random_genotype(space, seed) for seed in range(3)]
        assert from_texts(as_texts(cells), space) == cells


def test_a_batch_of_random_search_always_has_the_same_cell_and_other_batches_have_others() -> None:
    method = RandomWS(SPACE, edge_normalization=False)
    task, _ = problem()
    drawn = [method.draws(AT, task, with_chance(n))[0][1].op_weights["normal"] for n in (0, 0, 1, 2, 3)]
    assert torch.equal(drawn[0], drawn[1])
    assert any(not torch.equal(drawn[0], other) for other in drawn[2:])


def test_random_search_compares_as_many_cells_as_it_is_told() -> None:
    method = RandomWS(SPACE, edge_normalization=False, candidates=5, candidate_batches=3, finalists=1)
    errors = {"skip_connect": 3.0, "avg_pool_3x3": 2.0, "sep_conv_3x3": 1.0}
    task = ByRule(errors, errors)
    chance = generator(0, "genotype", 1)
    same_chance = generator(0, "genotype", 1)
    candidates = [random_cell(SPACE, same_chance) for _ in range(5)]
    found = method.genotype(task, chance)  # type: ignore[arg-type]
    assert {batches for _, batches in task.asked} == {3}
    assert errors[found.normal[0][0]] == min(errors[each.normal[0][0]] for each in candidates)
