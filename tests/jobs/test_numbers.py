"""A loss or a gradient that is not a number: nothing comes of the step; the run stops, or leaves the batch out."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from command_line import SEARCH, TRAIN, error_line, run_in
from pcdarts.data.batches import Batches
from pcdarts.errors import RunError
from pcdarts.jobs import search, train
from pcdarts.jobs.learning import ArchStep, WeightStep, make_scaler
from pcdarts.jobs.numbers import NotFinite, Numbers
from pcdarts.run.folder import RunFolder
from pcdarts.run.processes import ALONE
from pcdarts.run.progress import Progress

CPU = torch.device("cpu")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()


def forward(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    logits = network(images)
    loss = F.cross_entropy(logits, labels)
    return loss, loss, logits


def weight_step(network: nn.Module, parts: int = 1, momentum: float = 0.9) -> WeightStep:
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum)
    return WeightStep(
        network,
        optimizer,
        gradient_clip=5.0,
        parts=parts,
        scaler=make_scaler("off", CPU),
        processes=ALONE,
        numbers=Numbers(0, [network], ALONE),
    )


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
    step = ArchStep(arch, torch.optim.Adam(arch.parameters()), make_scaler("off", CPU), Numbers(0, [], ALONE))
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
    step, numbers = weight_step(net), Numbers(1, [net], ALONE)
    progress = Progress(RunFolder(tmp_path), 10, 10)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with numbers.guarded(progress, 3, 7, 0.05):
        step(*batch(bad=True), forward)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert capsys.readouterr().err == (
        "pcdarts: warning: the training loss is nan in epoch 3, step 7, at learning rate 0.05: "
        "this batch is skipped (1 of 1 that may be)\n"
    )
    message = "in epoch 3, step 8, at learning rate 0.05; nothing came of this step: 1 batches were skipped before"
    with pytest.raises(RunError, match=message), numbers.guarded(progress, 3, 8, 0.05):
        step(*batch(bad=True), forward)


@pytest.mark.parametrize("scale", [0.5, 2.0**14])
def test_in_float16_an_overflow_backs_off_to_a_scale_of_one_and_no_further(scale: float) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    scaler.scale(torch.ones(()))
    net = network().float()
    numbers = Numbers(0, [net], ALONE)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    step = WeightStep(net, optimizer, gradient_clip=5.0, parts=1, scaler=scaler, processes=ALONE, numbers=numbers)
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
