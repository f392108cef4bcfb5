"""A loss or a gradient that is not a number: nothing comes of the step; the run stops, or leaves the batch out."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from command_line import SEARCH, TRAIN, checkpoint_of, differences, error_line, run_in
from pcdarts.data.batches import Batches
from pcdarts.errors import RunError
from pcdarts.jobs import search, train
from pcdarts.learn.learning import WeightStep, loss_scale, make_scaler
from pcdarts.learn.measure import Average
from pcdarts.methods.method import Seen
from pcdarts.run import session
from pcdarts.run.display.progress import Progress
from pcdarts.run.finite import FiniteCheck, NotFinite
from pcdarts.run.processes import ALONE
from pcdarts.run.run_folder import RunFolder
from small_task import task_of

CPU = torch.device("cpu")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()


def forward(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    logits = network(images)
    loss = F.cross_entropy(logits, labels)
    return loss, loss, logits


def weight_step(network: nn.Module, parts: int = 1, momentum: float = 0.9, every: int = 1) -> WeightStep:
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum, fused=every > 1)
    return WeightStep(
        network,
        optimizer,
        gradient_clip=5.0,
        parts=parts,
        scaler=make_scaler("off", CPU),
        processes=ALONE,
        finite=FiniteCheck(2 if every > 1 else 0, [network], ALONE, every),
    )


def arch_step(
    optimizer: torch.optim.Adam, finite: FiniteCheck, scaler: torch.amp.GradScaler | None = None
) -> Callable[[list[Tensor], Tensor], None]:
    """Steps of α along gradients, and at losses, that a test makes up."""
    task = task_of(nn.Linear(1, 1), scaler=scaler, finite=finite)

    def step(gradients: list[Tensor], loss: Tensor) -> None:
        task.apply(optimizer, gradients, Seen(loss, torch.zeros(0), torch.zeros(0)))

    return step


def batch(bad: bool = False) -> tuple[Tensor, Tensor]:
    images = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if bad:
        images[5, 2] = torch.inf
    return images, torch.arange(8) % 3


@pytest.mark.parametrize("parts", [1, 2])
def test_a_batch_of_infinities_leaves_the_weights_alone(parts: int) -> None:
    net = network()
    step = weight_step(net, parts)
    step(*batch(), forward)
    before = [parameter.clone() for parameter in net.parameters()]
    with pytest.raises(NotFinite, match="the training loss is nan"):
        step(*batch(bad=True), forward)
    assert all(torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True))


def test_a_finite_loss_of_an_infinite_gradient_leaves_the_weights_alone() -> None:
    net = network()
    before = [parameter.clone() for parameter in net.parameters()]

    def steep(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, _, logits = forward(network, images, labels)
        loss = loss + (loss - loss.detach()).sqrt()  # 0, with a slope of infinity
        return loss, loss, logits

    with pytest.raises(NotFinite, match="the norm of the weights' gradient is"):
        weight_step(net)(*batch(), steep)
    assert all(torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize(("loss", "gradient"), [(torch.nan, 1.0), (1.0, torch.inf)])
def test_alpha_and_beta_take_no_step_along_what_is_not_finite(loss: float, gradient: float) -> None:
    arch = nn.Linear(2, 1)
    before = arch.weight.clone()
    step = arch_step(torch.optim.Adam(arch.parameters()), FiniteCheck(0, [], ALONE))
    gradients = [torch.full_like(parameter, gradient) for parameter in arch.parameters()]
    with pytest.raises(NotFinite):
        step(gradients, torch.tensor(loss))
    assert torch.equal(arch.weight, before)
    step([torch.ones_like(gradient) for gradient in gradients], torch.tensor(1.0))
    assert not torch.equal(arch.weight, before)


def test_a_skipped_batch_leaves_no_trace_in_running_statistics_and_the_next_one_too_many_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = network()
    step, finite = weight_step(net), FiniteCheck(1, [net], ALONE)
    progress = Progress(RunFolder(tmp_path), 10, 10)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with finite.guarded(progress, 3, 7, 0.05):
        step(*batch(bad=True), forward)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert capsys.readouterr().err == (
        "pcdarts: warning: the training loss is nan in epoch 3, step 7, at learning rate 0.05: "
        "this batch is skipped (1 of 1 that may be)\n"
    )
    message = "in epoch 3, step 8, at learning rate 0.05; nothing came of this step: 1 batches were skipped before"
    with pytest.raises(RunError, match=message), finite.guarded(progress, 3, 8, 0.05):
        step(*batch(bad=True), forward)


@pytest.mark.parametrize("scale", [0.5, 2.0**14])
def test_in_float16_an_overflow_backs_off_to_a_scale_of_one_and_no_further(scale: float) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    scaler.scale(torch.ones(()))
    net = network().float()
    finite = FiniteCheck(0, [net], ALONE)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    step = WeightStep(net, optimizer, gradient_clip=5.0, parts=1, scaler=scaler, processes=ALONE, finite=finite)
    images, labels = batch()

    def steep(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, _, logits = forward(network, images, labels)
        return loss + (loss - loss.detach()).sqrt(), loss, logits

    before = [parameter.clone() for parameter in net.parameters()]
    for _ in range(max(0, round(math.log2(scale)))):
        step(images.float(), labels, steep)
    with pytest.raises(NotFinite, match="the norm of the weights' gradient"):
        step(images.float(), labels, steep)
    assert all(torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True))
    step(images.float(), labels, forward)  # the next good batch is learnt from, whatever the scale
    assert not torch.equal(next(iter(net.parameters())), before[0])


def test_running_statistics_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    flags = ["--learning-rate", "1e12", "--max-skipped-batches", "4", "--checkpoint-minutes", "1e-9", "--run", "run"]
    assert run_in(tmp_path, *SEARCH, *flags).code == 1
    for path in (tmp_path / "run").glob("checkpoint*.pt"):
        saved = torch.load(path, weights_only=True)["state"]
        assert all(value.isfinite().all() for value in saved["supernet"].values()), path


class Poisoned(Batches):
    """Batches of which one, the fourth of the first epoch, holds infinities."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for number, (images, labels) in enumerate(super().epoch(epoch, start), start):
            yield images * (torch.inf if (epoch, number) == (0, 1) else 1), labels


def poison(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    clean = module.training_batches

    def training_batches(*arguments: Any) -> Batches:
        batches = clean(*arguments)
        batches.__class__ = Poisoned
        return batches

    monkeypatch.setattr(module, "training_batches", training_batches)


@pytest.mark.parametrize(
    ("module", "command", "bad"),
    [(search, [*SEARCH, "--arch-frozen-epochs", "0"], 2), (train, TRAIN, 1)],
    ids=["search", "train"],
)
def test_a_run_stops_at_a_bad_batch_and_goes_on_without_it_when_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, command: list[str], bad: int
) -> None:
    poison(monkeypatch, module)
    stopped = run_in(tmp_path, *command, "--checkpoint-minutes", "1e-9", "--run", "run")
    assert stopped.code == 1
    assert " loss is nan in epoch 1, step 2, at learning rate " in error_line(stopped)

    job = command[0]
    went_on = run_in(tmp_path, job, "--resume", "run", "--max-skipped-batches", "2")
    assert went_on.code == 0
    assert went_on.err.count("this batch is skipped") == bad
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["skipped_batches"] == bad
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["state"]
    name = "supernet" if job == "search" else "network"
    assert all(value.isfinite().all() for value in saved[name].values())


def steep(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    loss, _, logits = forward(network, images, labels)
    return loss + (loss - loss.detach()).sqrt(), loss, logits  # 0 more, with a slope of infinity


@pytest.mark.parametrize("parts", [1, 2])
def test_where_the_device_is_asked_later_bad_batches_change_nothing_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: int
) -> None:
    learnt, found = [], []
    progress = Progress(RunFolder(tmp_path), 10, 10)
    for bad in (True, False):
        net = network()
        step, average = weight_step(net, parts, every=9), Average("train")
        # The very first step too: an optimiser that has no momentum yet must not begin with that of a bad batch.
        for number, images, what in ((1, batch(bad=True), forward), (2, batch(), forward), (3, batch(), steep)):
            if number == 2 or bad:
                with step.finite.guarded(progress, 3, number, 0.05):
                    loss, logits = step(*images, what)
                    average.add(loss, logits, images[1], step.finite.bad)
        assert capsys.readouterr().err == ""
        step.finite.read()
        assert capsys.readouterr().err.count("this batch is skipped") == step.finite.skipped == (2 if bad else 0)
        learnt.append(
            {
                **net.state_dict(),
                "momentum": torch.cat([s["momentum_buffer"].flatten() for s in step.optimizer.state.values()]),
            }
        )
        found.append(average.named())
    assert all(torch.equal(value, learnt[1][name]) for name, value in learnt[0].items())
    assert found[0] == found[1]


def test_where_the_device_is_asked_later_it_is_said_which_batches_were_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = network()
    step, progress = weight_step(net, every=3), Progress(RunFolder(tmp_path), 10, 10)
    for number, bad in enumerate((False, True, True), 1):
        assert capsys.readouterr().err == ""
        with step.finite.guarded(progress, 3, number, 0.05):
            step(*batch(bad), forward)
    assert capsys.readouterr().err == "".join(
        f"pcdarts: warning: the training loss is nan in epoch 3, step {number}, at learning rate 0.05: "
        f"this batch is skipped ({number - 1} of 2 that may be)\n"
        for number in (2, 3)
    )
    assert step.finite.state_dict() == {"skipped": 2}
    with step.finite.guarded(progress, 3, 4, 0.05):
        step(*batch(bad=True), forward)
    message = "in epoch 3, step 4, at learning rate 0.05; nothing came of this step: 2 batches were skipped before"
    with pytest.raises(RunError, match=message):
        step.finite.check_modules()  # before anything is saved


@pytest.mark.parametrize(("loss", "gradient"), [(torch.nan, 1.0), (1.0, torch.inf)])
def test_where_the_device_is_asked_later_alpha_and_beta_take_no_bad_step_either(
    tmp_path: Path, loss: float, gradient: float
) -> None:
    arch = nn.Linear(2, 1)
    optimizer, finite = torch.optim.Adam(arch.parameters()), FiniteCheck(1, [arch], ALONE, every=9)
    step, progress = arch_step(optimizer, finite), Progress(RunFolder(tmp_path), 1, 9)
    states = []
    for value, slope in ((1.0, 1.0), (loss, gradient), (1.0, 1.0)):
        with finite.guarded(progress, 1, 1, 0.1):
            step([torch.full_like(parameter, slope) for parameter in arch.parameters()], torch.tensor(value))
        moved = [arch.weight.detach(), *optimizer.state[arch.weight].values()]
        states.append([x.clone() for x in moved])
    assert all(torch.equal(now, then) for now, then in zip(states[1], states[0], strict=True))
    assert not any(torch.equal(now, then) for now, then in zip(states[2], states[1], strict=True))
    finite.read()
    assert finite.skipped == 1


def test_a_run_begun_where_each_number_is_looked_at_goes_on_where_that_is_asked_later(tmp_path: Path) -> None:
    arch = nn.Linear(2, 1)
    optimizer, scaler = torch.optim.Adam(arch.parameters()), make_scaler("off", CPU)
    for every in (1, 9):
        finite = FiniteCheck(0, [], ALONE, every)
        step = arch_step(optimizer, finite, scaler)
        with finite.guarded(Progress(RunFolder(tmp_path), 1, 9), 1, 1, 0.1):
            step([torch.ones_like(parameter) for parameter in arch.parameters()], torch.tensor(1.0))
    assert [int(state["step"]) for state in optimizer.state.values()] == [2, 2]


@pytest.mark.parametrize("every", [1, 9])
def test_in_float16_a_first_step_that_overflows_backs_off_and_the_next_one_is_the_first(
    tmp_path: Path, every: int
) -> None:
    weights = []
    for what in ((steep, forward), (forward,)):
        net = network().float()
        scaler = make_scaler("fp16", CPU)
        optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, fused=True)
        finite, progress = FiniteCheck(0, [net], ALONE, every), Progress(RunFolder(tmp_path), 1, 9)
        step = WeightStep(net, optimizer, gradient_clip=5.0, parts=1, scaler=scaler, processes=ALONE, finite=finite)
        images, labels = batch()
        for number, loss_of in enumerate(what, 1):
            with finite.guarded(progress, 1, number, 0.1):
                step(images.float(), labels, loss_of)
        finite.read()
        assert scaler.get_scale() == 2.0 ** (16 - (len(what) - 1))
        weights.append(torch.cat([parameter.flatten() for parameter in net.parameters()]))
    assert torch.equal(*weights)


def test_in_float16_a_bad_loss_leaves_the_scale_alone_where_the_device_is_asked_later(tmp_path: Path) -> None:
    net = network().float()
    scaler, finite = make_scaler("fp16", CPU), FiniteCheck(1, [net], ALONE, every=9)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, fused=True)
    step = WeightStep(net, optimizer, gradient_clip=5.0, parts=1, scaler=scaler, processes=ALONE, finite=finite)
    before = scaler.state_dict()
    images, labels = batch(bad=True)
    with finite.guarded(Progress(RunFolder(tmp_path), 1, 9), 1, 1, 0.1):
        step(images.float(), labels, forward)
    assert scaler.state_dict() == before
    finite.read()
    assert finite.skipped == 1


def test_a_scale_that_is_off_is_one() -> None:
    assert loss_scale(make_scaler("off", CPU), CPU) == 1
    assert float(loss_scale(make_scaler("fp16", CPU), CPU)) == 2.0**16


@pytest.mark.parametrize("every", [1, 9])
def test_in_float16_an_overflow_of_the_gradient_of_alpha_backs_off_and_is_not_a_bad_batch(
    tmp_path: Path, every: int
) -> None:
    arch, scaler, finite = nn.Linear(2, 1), make_scaler("fp16", CPU), FiniteCheck(0, [], ALONE, every)
    before = arch.weight.clone()
    step = arch_step(torch.optim.Adam(arch.parameters()), finite, scaler)
    for slope, scale, moves in ((torch.inf, 2.0**15, False), (1.0, 2.0**15, True)):
        with finite.guarded(Progress(RunFolder(tmp_path), 1, 9), 1, 1, 0.1):
            step([torch.full_like(parameter, slope) for parameter in arch.parameters()], torch.tensor(1.0))
        assert scaler.get_scale() == scale
        assert torch.equal(arch.weight, before) == (not moves)
    finite.read()
    assert finite.skipped == 0


@pytest.mark.parametrize("amp", ["off", "fp16"])
def test_a_training_that_asks_later_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amp: str
) -> None:
    poison(monkeypatch, train)
    flags = [*TRAIN, "--max-skipped-batches", "2", "--epochs", "2", "--amp", amp]
    at_once = run_in(tmp_path, *flags, "--run", "at-once")
    monkeypatch.setattr(session, "asked_every", lambda device: 3)
    later = run_in(tmp_path, *flags, "--run", "later")
    assert at_once.err == later.err != ""
    assert differences(tmp_path / "later", tmp_path / "at-once") == []


def test_a_search_that_asks_later_skips_the_same_batches_and_learns_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, search)
    flags = [*SEARCH, "--arch-frozen-epochs", "0", "--max-skipped-batches", "2", "--epochs", "2"]
    at_once = run_in(tmp_path, *flags, "--run", "at-once")
    monkeypatch.setattr(session, "asked_every", lambda device: 3)
    later = run_in(tmp_path, *flags, "--run", "later")
    assert at_once.err == later.err != ""
    ours, theirs = (checkpoint_of(tmp_path / run) for run in ("later", "at-once"))
    for path, value in theirs.items():
        if "/arch/" in path or "_average/" in path:
            # A fused Adam rounds in another order, and Adam makes steps of full length (6e-3 here) of tiny gradients.
            torch.testing.assert_close(ours[path], value, rtol=1e-4, atol=1e-5)
