"""PNAS: how its cells grow, which ones it keeps, and what its predictor learns."""

from typing import Any

import pytest
import torch

from enumerated import problem, with_chance
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.data.streams import generator
from pcdarts.errors import InputError
from pcdarts.methods.method import At
from pcdarts.methods.sampling.pnas import PNAS, blocks
from pcdarts.methods.sampling.predictor import Cell, Predictor
from pcdarts.supernet.arch import Mixture
from pcdarts.supernet.supernet import Supernet
from small_space import SPACE as OTHER_SPACE

SPACE = CellSpace(4, form=CellForm(kinds=("normal",)), primitives=("none", "skip_connect", "sep_conv_3x3"))


class Convolutions:
    """A task in which each separable convolution of a cell takes 20 % of its error away."""

    def __init__(self) -> None:
        self.asked = list[int | None]()

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        self.asked.append(batches)
        return 90 - 20 * float(mixture.op_weights["normal"][:, 2].sum())


@pytest.fixture
def method() -> PNAS:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"predictor_size": 8, "predictor_members": 2, "predictor_steps": 60}
    return PNAS(SPACE, False, beam=6, candidate_batches=3, finalists=2, **settings)


def convolutions(cell: Cell) -> int:
    return sum(primitive == "sep_conv_3x3" for block in cell for primitive, _ in block)


def end(stage: int) -> At:
    return At(stage, 0, stage, 0, 1)


def test_a_node_may_keep_any_two_inputs_with_any_operations() -> None:
    assert len([*blocks(CellSpace(6), 2)]) == 7 * 7
    assert len({*blocks(CellSpace(6), 5)}) == 10 * 7 * 7


def test_there_is_a_stage_for_each_node_which_goes_on_with_weights_and_schedule() -> None:
    first, *others = PNAS(CellSpace(6)).stages()
    assert (first.keeps_weights, first.keeps_schedule) == (False, False)
    assert [(stage.keeps_weights, stage.keeps_schedule) for stage in others] == [(True, True)] * 3


def test_the_cells_predicted_to_be_the_best_continue(method: PNAS) -> None:
    task: Any = Convolutions()
    assert sorted(method.beam) == sorted((block,) for block in blocks(SPACE, 2)), "all cells of one node"
    method.end_epoch(At(0, 0, 0, 0, 2), task, generator(0))
    assert task.asked == [], "only at the end of a stage"
    method.end_epoch(end(0), task, generator(0))
    assert task.asked == [3] * 4, "all cells of one node, on three batches"
    assert len(method.beam) == 6
    assert {len(cell) for cell in method.beam} == {2}
    every = [(first, second) for first in blocks(SPACE, 2) for second in blocks(SPACE, 3)]
    predicted = dict(zip(every, method.predictor.predict(every), strict=True))
    assert sorted(predicted[cell] for cell in method.beam) == pytest.approx(sorted(predicted.values())[:6])
    mean = sum(map(convolutions, every)) / len(every)
    assert sum(map(convolutions, method.beam)) / 6 > mean + 0.5, "it has learnt what a convolution is worth"


def test_the_last_beam_is_measured_and_its_best_are_compared_on_all_images(method: PNAS) -> None:
    task: Any = Convolutions()
    method.end_epoch(end(0), task, generator(0))
    before = set(method.beam)
    method.end_epoch(end(1), task, generator(1))
    assert set(method.beam) == before
    counts = [convolutions(cell) for cell in method.beam]
    assert counts == sorted(counts, reverse=True)
    task.asked.clear()
    found = method.genotype(task, generator(2))
    assert task.asked == [None, None]
    assert sum(primitive == "sep_conv_3x3" for primitive, _ in found.normal) == counts[0]


def test_a_cell_asked_for_early_has_all_nodes(method: PNAS) -> None:
    assert len(method.genotype(None, generator(0)).normal) == 4
    assert method.genotype(None, generator(0)).normal[:2] == method.beam[0][0]


def test_a_cell_that_lacks_nodes_is_computed_without_them(method: PNAS) -> None:
    torch.manual_seed(0)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2, kernels="plain")
    ((_, mixture),) = method.draws(end(0), problem()[0], with_chance(0))
    assert mixture.active is not None
    assert mixture.active["normal"].sum(dim=1).tolist() == [1, 1, 0, 0, 0]
    logits = supernet(torch.randn(2, 3, 8, 8), mixture)
    logits.sum().backward()
    assert logits.isfinite().all()


def test_normal_and_reduction_cells_are_one() -> None:
    method = PNAS(CellSpace(4), False, predictor_size=2)
    found = method.genotype(None, generator(0))
    assert found.normal == found.reduce


def test_the_predictor_learns_which_operations_are_worth_something() -> None:
    torch.manual_seed(0)
    predictor = Predictor(SPACE, 2, 8)
    cells = [(first, second) for first in blocks(SPACE, 2) for second in blocks(SPACE, 3)]
    errors = [90.0 - 20 * convolutions(cell) for cell in cells]
    seen = [number for number in range(len(cells)) if number % 3]
    predictor.fit([cells[n] for n in seen], [errors[n] for n in seen], generator(0), steps=60, learning_rate=0.05)
    others = [number for number in range(len(cells)) if not number % 3]
    distances = [abs(a - errors[n]) for n, a in zip(others, predictor.predict([cells[n] for n in others]), strict=True)]
    assert max(distances) < 10


def test_cells_of_which_one_node_is_the_output_cannot_grow() -> None:
    with pytest.raises(InputError, match="use a space that concatenates them"):
        PNAS(OTHER_SPACE)
