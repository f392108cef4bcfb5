"""What holds for every method, by the one that `docs/extending.md` adds.

A batch has one mixture: whatever passes over it, in parts, in the method's step or in that of the weights, sees the
same draw. Stages have networks of their own. A search that was stopped goes on as if it had not been.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from command_line import SEARCH, checkpoint_of, differences, done, metrics_of, refused, run_in
from examples import example
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.methods.method import At, Batch, Task
from pcdarts.methods.methods import METHODS
from pcdarts.supernet.arch import Mixture
from small_task import task_of

with example("A method") as page:
    Noisy, NoisySettings = page.Noisy, page.NoisySettings


class Measured(Noisy):  # type: ignore[misc]  # made from a page
    """It also asks for an error after every epoch, from which alpha learns in several steps, and in the end."""

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        for alpha in self.arch.alpha.parameters():
            alpha.data += task.error(self.mixture()) / 1000 * torch.rand(alpha.shape, generator=chance)

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        assert task is None or 0 <= task.error(self.mixture(), batches=1) <= 100
        found: Genotype = super().genotype(task, chance)
        return found


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "noisy", Measured)
    monkeypatch.setitem(METHOD_SETTINGS, "noisy", NoisySettings)


NOISY = [flag for flag in SEARCH if flag not in ("--arch-learning-rate", "0.1")] + ["--method", "noisy"]
STAGES = [*NOISY, "--epochs", "2", "--arch-frozen-epochs", "1", "--cells", "5"]
AT = At(0, 0, 0, 0, 1)


class Witness(nn.Module):
    """A network that keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.seen: list[tuple[int, Tensor]] = []

    def forward(self, images: Tensor, mixture: Mixture, masks: list[Tensor] | None = None) -> Tensor:
        weights = torch.cat([mixture.op_weights[kind].flatten() for kind in ("normal", "reduce")])
        self.seen.append((len(images), weights.detach().clone()))
        logits: Tensor = self.linear(images.mean(dim=(2, 3))) * (1 + weights.square().sum())
        return logits


def batch_of(size: int, seed: int) -> Batch:
    images = torch.randn(size, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Batch(images, torch.arange(size) % 4, None, lambda: torch.Generator().manual_seed(seed))


# One mixture for a batch


def test_all_parts_and_passes_of_a_batch_see_the_same_draw() -> None:
    method, network = Noisy(CellSpace(3)), Witness()
    weight_batch, arch_batch = batch_of(6, 1), batch_of(9, 2)
    task = task_of(network, parts=3, arch_batch=lambda: arch_batch)
    for parameter in method.arch.parameters():
        parameter.requires_grad_()
    method.optimizer = torch.optim.Adam(method.arch.parameters(), 0.0)  # α stays: what differs is what was drawn
    method.step(AT, task, weight_batch)
    task.learn(weight_batch, method.draws(AT, task, weight_batch))
    assert [size for size, _ in network.seen] == [2, 2, 2, 3, 3, 3, 2, 2, 2]
    draws = {size: [draw for other, draw in network.seen if other == size] for size in (2, 3)}
    assert all(torch.equal(draw, some[0]) for some in draws.values() for draw in some)
    assert not torch.equal(draws[2][0], draws[3][0])


def test_the_parts_of_a_batch_have_the_gradient_of_the_whole() -> None:
    found = []
    for parts in (1, 3):
        torch.manual_seed(0)
        method, network, batch = Noisy(CellSpace(3)), Witness(), batch_of(6, 1)
        gradients, seen = task_of(network, parts=parts).gradients(
            method.drawn(batch), batch, list(method.arch.alpha.parameters())
        )
        found.append([*gradients, seen.loss, seen.logits])
    for whole, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(in_parts, whole)


def test_gradients_come_in_the_order_of_what_they_are_asked_for() -> None:
    method, network, batch = Noisy(CellSpace(3)), Witness(), batch_of(6, 1)
    mixture, task = method.drawn(batch), task_of(network)
    weights = {name: weight.requires_grad_() for name, weight in task.weights.items()}
    alpha, (weight, bias) = list(method.arch.alpha.parameters()), weights.values()
    gate = mixture.op_weights["normal"]
    inputs = [bias, alpha[1], gate, weight, alpha[0]]
    gradients, _ = task.gradients(mixture, batch, inputs, weights)
    assert [gradient.shape for gradient in gradients] == [each.shape for each in inputs]
    assert all(gradient.ne(0).any() for gradient in gradients)


# Several draws of a batch


def test_the_weights_learn_from_several_draws_by_their_shares() -> None:
    method, batch = Noisy(CellSpace(3)), batch_of(6, 1)
    one, other = method.drawn(batch), method.mixture()
    moved = []
    for draws in ([(1.0, one)], [(0.25, one), (0.75, one)], [(torch.tensor(0.25), one), (torch.tensor(0.75), other)]):
        torch.manual_seed(0)
        network = Witness()
        before = network.linear.weight.detach().clone()
        task = task_of(network, torch.optim.SGD(network.parameters(), 0.1), parts=2, gradient_clip=1e9)
        seen = task.learn(batch, draws)
        moved.append((network.linear.weight.detach() - before, seen.loss, seen.logits))
        assert seen.logits.shape == (6, 4)
    alone, twice, mixed = moved
    for found, expected in zip(twice, alone, strict=True):
        torch.testing.assert_close(found, expected)
    torch.manual_seed(0)
    losses = task_of(Witness(), parts=2).losses([one, other], batch)
    torch.testing.assert_close(mixed[1], 0.25 * losses[0] + 0.75 * losses[1])
    torch.testing.assert_close(alone[1], losses[0])
    assert not torch.allclose(mixed[0], alone[0])


# A search by it


def test_a_search_by_an_added_method_is_stopped_and_goes_on_as_if_it_had_not_been(
    tmp_path: Path, noisy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*NOISY, "--channel-sampling", "random", "--gradient-accumulation-steps", "2", "--epochs", "3"]
    done(tmp_path, *flags, "--run", "whole")
    stop_at(monkeypatch, At(2, 1, 0, 2, 3))
    assert run_in(tmp_path, *flags, "--checkpoint-minutes", "1e-9", "--run", "stopped").code == 130
    assert checkpoint_of(tmp_path / "stopped")["/state/place/step"] == 1
    stop_at(monkeypatch, At(2, 1, 0, 2, 3), Measured, "end_epoch")  # saved between its measurements
    assert run_in(tmp_path, "search", "--resume", "stopped").code == 130
    done(tmp_path, "search", "--resume", "stopped")
    assert differences(tmp_path / "stopped", tmp_path / "whole") == []


@pytest.mark.parametrize("place", [At(1, 1, 0, 1, 2), At(3, 1, 1, 1, 2)], ids=["first stage", "second stage"])
def test_a_search_in_stages_trains_a_network_for_each_and_goes_on_in_either(
    tmp_path: Path, noisy: None, monkeypatch: pytest.MonkeyPatch, stages: Path, place: At
) -> None:
    stop_at(monkeypatch, place)
    assert run_in(tmp_path, *STAGES, "--checkpoint-minutes", "1e-9", "--run", "stopped").code == 130
    done(tmp_path, "search", "--resume", "stopped")
    assert differences(tmp_path / "stopped", stages) == []


def test_the_second_stage_has_its_own_cells_and_learning_rates(stages: Path) -> None:
    records, saved = metrics_of(stages), checkpoint_of(stages)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert records[0]["learning_rate"] == records[2]["learning_rate"] > records[1]["learning_rate"]
    assert ["arch_loss" in record for record in records] == [False, True, False, True]
    assert saved["/state/place/stage"] == 1
    steps = [int(saved[path]) for path in saved if "/supernet/cells.4." in path and path.endswith("batches_tracked")]
    assert steps
    assert min(steps) > 0


def test_what_looks_at_a_search_in_stages_counts_the_epochs_of_all(tmp_path: Path, noisy: None, stages: Path) -> None:
    (status,) = json.loads(done(tmp_path, "status", str(stages), "--json"))
    assert (status["epoch"], status["epochs"]) == (4, 4)
    lines = (stages / "log.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["1/4", "2/4", "3/4", "4/4"]
    done(tmp_path, "report", str(stages), "--out", "report")
    assert (
        "epochs 1 to 2 with 3 cells and K = 2, α frozen in the first epoch; epochs 3 to 4 with 5 cells and K = 2, "
        "α frozen in the first epoch."
    ) in (tmp_path / "report" / "report.md").read_text()
    assert "Pale: α was frozen in the first epoch and in epoch 3." in (tmp_path / "report" / "report.html").read_text()


def test_a_search_that_found_a_whole_cell_has_none_to_choose_within_a_budget(
    tmp_path: Path, noisy: None, stages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "rank" in done(tmp_path, "show", str(stages), "--budget", "--max-skips", "1")
    monkeypatch.setattr(NoisySettings, "has_budgets", False)
    line = refused(tmp_path, "show", str(stages), "--budget", "--max-skips", "1")
    assert line.endswith(
        "was searched by noisy, which finds whole cells and does not weigh their operations: --budget has nothing to "
        "choose from; drop it"
    )
    line = refused(tmp_path, *STAGES, "--max-skips", "1", "--run", "run")
    assert line.endswith("and noisy finds whole cells: drop it, or use method darts")


def test_a_search_in_stages_is_not_trained_on(tmp_path: Path, noisy: None) -> None:
    done(tmp_path, *STAGES, "--run", "run")
    for epochs in ("9", "3"):
        line = refused(tmp_path, "search", "--resume", "run", "--epochs", epochs)
        assert line == "run has several stages, and cannot be trained on: drop --epochs"
    assert done(tmp_path, "search", "--resume", "run") == "run is finished: there is nothing to resume\n"


def test_a_stage_that_does_not_fit_the_settings_is_refused_at_once(tmp_path: Path, noisy: None) -> None:
    line = refused(tmp_path, *STAGES, "--cells", "-1", "--run", "run")
    assert line.startswith("stage 2 of noisy: num_cells is -1, but it must be")
    line = refused(tmp_path, *STAGES, "--arch-frozen-epochs", "2", "--epochs", "1", "--run", "run")
    assert line == "arch_frozen_epochs is 2, but it must be at most epochs (1)"


def stop_at(monkeypatch: pytest.MonkeyPatch, place: At, method: Any = Noisy, part: str = "step") -> None:
    """The next search by this method ends in the middle of a step, or when it has ended an epoch."""
    do = getattr(method, part)

    def until_then(self: Any, at: At, *more: Any) -> Any:
        if at != place:
            return do(self, at, *more)
        monkeypatch.setattr(method, part, do)
        if part != "step":
            do(self, at, *more)
        raise KeyboardInterrupt

    monkeypatch.setattr(method, part, until_then)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A search in two stages, of three and of five cells."""
    folder = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "noisy", Measured)
        patch.setitem(METHOD_SETTINGS, "noisy", NoisySettings)
        done(folder, *STAGES, "--run", "run")
        yield folder / "run"
