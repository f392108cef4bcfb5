"""On a GPU: what would wait for it inside a step is an error there, and bad batches are left out by it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import device_steps
from pcdarts.learn.learning import WeightStep, make_scaler
from pcdarts.learn.measure import Average
from pcdarts.methods.method import Seen
from pcdarts.run.display.progress import Progress
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import ALONE
from pcdarts.run.run_folder import RunFolder
from small_task import task_of


@pytest.fixture
def refuse_to_wait(gpu: torch.device) -> Iterator[Callable[[], None]]:
    """From its call on whatever waits for the GPU raises an error, until the test ends."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
@pytest.mark.parametrize(("second_order", "sampling", "parts"), [(False, "first", 2), (True, "random", 1)])
def test_nothing_waits_in_a_step_of_a_search(
    tmp_path: Path,
    gpu: torch.device,
    refuse_to_wait: Callable[[], None],
    amp: str,
    second_order: bool,
    sampling: str,
    parts: int,
) -> None:
    options: dict[str, Any] = {"second_order": second_order, "sampling": sampling, "parts": parts, "amp": amp}
    assert device_steps.search(tmp_path, gpu, refuse_to_wait, **options) == 2


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_nothing_waits_in_a_step_of_a_training(
    tmp_path: Path, gpu: torch.device, refuse_to_wait: Callable[[], None], amp: str
) -> None:
    assert device_steps.train(tmp_path, gpu, refuse_to_wait, amp=amp) == 2


def state_of(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    moved = dict(module.state_dict())
    for number, state in enumerate(optimizer.state.values()):
        moved |= {f"{number} {name}": value for name, value in state.items() if isinstance(value, Tensor)}
    return {name: value.clone() for name, value in moved.items()}


def test_bad_batches_change_nothing_there(tmp_path: Path, device: torch.device) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).to(device)
    finite, average = FiniteCheck(2, [network], ALONE, every=20), Average("train")
    optimizer, scaler = device_steps.sgd(network), make_scaler("off", device)
    step = WeightStep(network, optimizer, gradient_clip=5.0, parts=1, scaler=scaler, processes=ALONE, finite=finite)
    images, labels = torch.randn(8, 4, device=device), torch.arange(8, device=device) % 3

    def forward(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = network(images)
        loss = nn.functional.cross_entropy(logits, labels)
        return loss, loss, logits

    states, progress = [state_of(network, optimizer)], Progress(RunFolder(tmp_path), 1, 9)
    for factor in (torch.inf, 1.0, torch.nan):
        with finite.guarded(progress, 1, len(states), 0.1):
            loss, logits = step(factor * images, labels, forward)
            average.add(loss, logits, labels, finite.bad)
        states.append(state_of(network, optimizer))
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
    assert not torch.equal(states[2]["0.weight"], states[1]["0.weight"])
    assert all(torch.equal(states[3][name], value) for name, value in states[2].items())
    assert average.state_dict()["images"] == len(images)
    finite.read()
    assert finite.skipped == 2


def test_alpha_and_beta_take_no_bad_step_there(tmp_path: Path, device: torch.device) -> None:
    arch = nn.Linear(2, 1).to(device)
    optimizer, finite = device_steps.adam(arch), FiniteCheck(1, [arch], ALONE, every=20)
    task, progress = task_of(nn.Linear(1, 1).to(device), finite=finite), Progress(RunFolder(tmp_path), 1, 9)
    states = []
    for slope in (1.0, torch.inf, 1.0):
        with finite.guarded(progress, 1, 1, 0.1):
            seen = Seen(torch.ones((), device=device), torch.zeros(0), torch.zeros(0))
            task.apply(optimizer, [torch.full_like(parameter, slope) for parameter in arch.parameters()], seen)
        states.append(state_of(arch, optimizer))
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
    assert not torch.equal(states[2]["weight"], states[1]["weight"])
    finite.read()
    assert finite.skipped == 1
