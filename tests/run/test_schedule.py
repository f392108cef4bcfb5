"""Schedules are those of PyTorch, as pure functions."""

import pytest
import torch

from pcdarts.run.schedule import cosine, drop_path_rate


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
