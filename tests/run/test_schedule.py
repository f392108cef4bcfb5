"""Schedules are those of PyTorch, as pure functions."""

import pytest
import torch

from pcdarts.run.schedule import cosine, drop_path_rate, linear, warmed_up


@pytest.mark.parametrize("end", [0.0, 0.001])
@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_the_cosine_is_the_one_of_pytorch_stepped_once_per_epoch(epochs: int, end: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=end)
    for epoch in range(epochs):
        assert cosine(epoch, epochs, 0.1, end) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()


def test_the_cosine_goes_from_start_to_end() -> None:
    assert [cosine(epoch, 4, 0.8, 0.4) for epoch in (0, 2, 4)] == pytest.approx([0.8, 0.6, 0.4])


def test_drop_path_starts_at_zero_and_grows_linearly() -> None:
    assert [drop_path_rate(epoch, 600, 0.3) for epoch in (0, 300, 600)] == pytest.approx([0.0, 0.15, 0.3])


@pytest.mark.parametrize("end", [0.0, 0.001])
@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_the_linear_decay_is_the_one_of_pytorch_stepped_once_per_epoch(epochs: int, end: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end / 0.5 or 1e-30, epochs)
    for epoch in range(epochs):
        assert linear(epoch, epochs, 0.5, end) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        schedule.step()


def test_the_warm_up_rises_to_the_initial_rate_and_then_the_schedule_holds() -> None:
    rates = [warmed_up(epoch, 5, 0.5, linear(epoch, 250, 0.5)) for epoch in range(7)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.49, 0.488])
    assert warmed_up(0, 0, 0.5, 0.25) == 0.25
