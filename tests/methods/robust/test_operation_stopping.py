"""OLES: whose gradients disagree stops, and what has stopped does not move."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from command_line import SEARCH, checkpoint_of, differences, done, metrics_of, refused, run_in
from pcdarts.cell.space import CellSpace
from pcdarts.methods.darts import DARTS
from pcdarts.methods.method import At, Batch
from pcdarts.methods.robust.operation_stopping import OperationStopping, group_of, operation_weights
from pcdarts.methods.robust.switches import Robust, Switches
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(3)
SEP, DIL = "cells.0.operations.sep_conv_3x3", "cells.1.operations.dil_conv_5x5"


def at(step: int, stage: int = 0) -> At:
    return At(0, step, stage, 0, 1)


def batch_of(seed: int) -> Batch:
    chance = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 3, 6, 6, generator=chance, dtype=torch.float64)
    return Batch(images, torch.randint(3, (4,), generator=chance))


class Search:
    """DARTS with operations that stop, on a tiny supernet with momentum and weight decay."""

    def __init__(self, **switches: float) -> None:
        torch.manual_seed(0)
        method = DARTS(SPACE)
        method.arch.double()
        self.supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
        optimizer = torch.optim.SGD(self.supernet.parameters(), 0.1, 0.9, weight_decay=0.1, fused=True)
        self.task = task_of(self.supernet, optimizer, arch_batch=lambda: batch_of(self.steps + 100))
        self.robust, self.steps = Robust(method, Switches(**switches)), 0

    def step(self) -> None:
        batch = batch_of(self.steps)
        self.robust.step(at(self.steps), self.task, batch)
        self.task.learn(batch, self.robust.draws(at(self.steps), self.task, batch))
        self.steps += 1

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.supernet.named_parameters()}


# Who stops


def stopping_after(*cosines: float, threshold: float = 0.4, steps: int = 2) -> list[bool]:
    """Which of two edges has stopped, after gradients whose cosines are 1 on the first and these on the second."""
    search = Search()
    stopping = OperationStopping(threshold, steps)
    stopping.prepare(at(0), search.task, False)
    names = [name for name, _ in operation_weights(search.task).items() if group_of(name) == DIL]
    shapes = {name: weight.shape for name, weight in operation_weights(search.task).items()}
    for cosine in cosines:
        last = {name: torch.zeros(shapes[name]).double() for name in names}
        ours = {name: torch.zeros(shapes[name]).double() for name in names}
        for name in names:
            last[name][:, 0] = 2.0
            ours[name][0, 0], ours[name][1, 0], ours[name][1, 1] = 3.0, cosine, (1 - cosine**2) ** 0.5
        stopping.compare(ours, last)
    held: list[bool] = stopping.groups[DIL]["held"].tolist()
    return held


def test_an_operation_stops_when_the_mean_cosine_of_its_gradients_is_small() -> None:
    assert stopping_after(0.3, 0.4) == [False, True]
    assert stopping_after(0.3, 0.6) == [False, False]
    assert stopping_after(0.3) == [False, False], "one comparison is not yet a mean of two"
    assert stopping_after(0.9, 0.9, 0.1, 0.2) == [False, True], "the second mean is one of its own"
    assert stopping_after(0.1, 0.2, 0.9, 0.9) == [False, True], "for good"
    assert stopping_after(0.9, 0.1, 0.2, 0.9) == [False, False]


def test_what_was_not_computed_is_not_compared() -> None:
    search = Search()
    stopping = OperationStopping(0.9, 1)
    stopping.prepare(at(0), search.task, False)
    nothing = {name: torch.zeros_like(weight) for name, weight in operation_weights(search.task).items()}
    stopping.compare(nothing, nothing)
    assert stopping.figures == {"stopped": 0}


def test_the_cosine_is_that_of_the_gradients_of_both_splits() -> None:
    search = Search(oles_threshold=1e-9, oles_steps=10)
    search.step()
    assert search.robust.operations
    assert not search.robust.operations.groups[SEP]["count"].any(), "there was no step before the first"
    last = {name: weight.grad for name, weight in search.supernet.named_parameters() if name.startswith(f"{SEP}.")}
    leaves = {name: weight.requires_grad_() for name, weight in search.task.weights.items()}
    arch_batch = batch_of(search.steps + 100)
    gradients, _ = search.task.gradients(search.robust.mixture(), arch_batch, [leaves[name] for name in last], leaves)
    expected = []
    for theirs, ours in zip(last.values(), gradients, strict=True):
        assert theirs is not None
        products, norms = (theirs * ours)[1].sum(0), theirs[1].square().sum(0) * ours[1].square().sum(0)
        expected.append(float((products / norms.sqrt()).mean()))
    search.step()
    group = search.robust.operations.groups[SEP]
    assert group["count"].tolist() == [1, 1]
    assert float(group["total"][1]) == pytest.approx(sum(expected) / 4)


# What has stopped


def test_weights_that_have_stopped_do_not_move_and_the_others_move_as_they_would() -> None:
    search, free = Search(oles_threshold=1e-9, oles_steps=10**6), Search(oles_threshold=1e-9, oles_steps=10**6)
    for _ in range(2):  # momentum has begun
        search.step(), free.step()
    assert search.robust.operations
    search.robust.operations.groups[SEP]["held"][1] = True
    before, of_free = search.weights, free.weights
    assert all(torch.equal(before[name], of_free[name]) for name in before)
    search.step(), free.step()
    after, of_free = search.weights, free.weights
    moved = 0
    for name, weight in after.items():
        if name.startswith(f"{SEP}."):
            assert torch.equal(weight[1], before[name][1]), name
            assert not torch.equal(of_free[name][1], before[name][1]), name
            assert torch.equal(weight[0], of_free[name][0]), name
            moved += 1
        else:
            assert torch.equal(weight, of_free[name]), name
    assert moved == 4
    search.step()
    assert torch.equal(search.weights[f"{SEP}.first.depthwise"][1], before[f"{SEP}.first.depthwise"][1])


def test_a_stage_with_fresh_weights_begins_without_stopped_operations_and_one_that_keeps_them_does_not() -> None:
    for keeps, held in ((False, [False, False]), (True, [False, True])):
        search = Search()
        stopping = OperationStopping(0.4, 1)
        stopping.prepare(at(0), search.task, False)
        stopping.groups[SEP]["held"][1] = True
        stopping.groups[SEP]["total"] += 0.5
        stopping.prepare(at(0, stage=1), search.task, keeps)
        assert stopping.groups[SEP]["held"].tolist() == held
        assert not stopping.groups[SEP]["total"].any()


# A search by it


def test_a_search_in_which_operations_stop_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*SEARCH, "--epochs", "3", "--arch-frozen-epochs", "1", "--oles-threshold", "1", "--oles-steps", "2"]
    flags += ["--perturbation", "0.2", "--auxiliary-skip", "--beta-penalty", "2", "--checkpoint-minutes", "1e-9"]
    done(tmp_path, *flags, "--run", "whole")
    counts = [record.get("stopped") for record in metrics_of(tmp_path / "whole")]
    assert counts[0] == 0
    assert counts[2] > 0
    learn = Robust.draws

    def draws(self: Robust, place: At, *more: object) -> object:
        if (place.epoch, place.step) == (2, 0):
            monkeypatch.undo()
            raise KeyboardInterrupt
        return learn(self, place, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Robust, "draws", draws)
    assert run_in(tmp_path, *flags, "--run", "run").code == 130
    assert checkpoint_of(tmp_path / "run")["/state/place/epoch"] == 2
    done(tmp_path, "search", "--resume", "run")
    assert differences(tmp_path / "run", tmp_path / "whole") == []


def test_operations_do_not_stop_by_gradients_of_other_weights(tmp_path: Path) -> None:
    assert refused(tmp_path, *SEARCH, "--second-order", "--oles-threshold", "0.4") == (
        "oles_threshold is 0.4, but in the second order gradients are those of other weights: drop second_order, or "
        "this"
    )
