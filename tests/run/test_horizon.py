"""A training with a limit of minutes has as many epochs as fit into them."""

from itertools import pairwise

import pytest

from pcdarts.run.horizon import Horizon
from pcdarts.run.schedule import cosine


class Clock:
    """A clock that stands still unless it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_limit_the_epochs_stay_what_they_are(clock: Clock) -> None:
    horizon = Horizon(10, clock=clock)
    clock.now += 1e6
    horizon.epochs = horizon.plan_after(1)
    assert horizon.epochs == 10
    assert horizon.end_line() is None
    assert not horizon.is_over(9)
    assert horizon.is_over(10)


def test_a_machine_slower_than_planned_gets_fewer_epochs_and_a_faster_one_no_more(clock: Clock) -> None:
    horizon = Horizon(10, minutes=1, clock=clock)
    clock.now += 20
    horizon.epochs = horizon.plan_after(1)
    assert horizon.epochs == 3
    clock.now += 2  # now the machine is faster: 11 s an epoch
    horizon.epochs = horizon.plan_after(2)
    assert horizon.epochs == 5
    clock.now += 2
    for done in range(3, 10):
        horizon.epochs = horizon.plan_after(done)
    assert horizon.epochs == 10
    assert horizon.end_line() is None


def test_a_faster_machine_gets_as_many_more_as_fit_into_its_time_up_to_the_most_that_are_allowed(clock: Clock) -> None:
    for most, epochs in ((600, 60), (40, 40)):
        horizon = Horizon(10, minutes=1, most=most, clock=clock)
        for done in range(1, epochs + 1):
            assert not horizon.is_over(done - 1)
            clock.now += 1
            horizon.epochs = horizon.plan_after(done)
        assert horizon.is_over(epochs)
        assert horizon.end_line() == (
            f"{epochs} epochs instead of 10: they have fitted into its 1 minutes on this machine (--max-minutes); the "
            "schedules ended with them"
        )


@pytest.mark.parametrize("speeds", [(1.0, 3.0), (3.0, 1.0), (1.0, 0.3), (1.0, 4.0, 0.5, 2.0)])
def test_all_the_time_is_used_and_no_more_and_the_rate_falls_to_the_end_however_the_speed_changes(
    clock: Clock, speeds: tuple[float, ...]
) -> None:
    horizon, done, rates = Horizon(40, minutes=10, most=600, clock=clock), 0, [1.0]
    while not horizon.is_over(done):
        rates.append(cosine(done, horizon.epochs, 1.0))
        part = min(len(speeds) - 1, int(len(speeds) * horizon.seconds / 600))
        clock.now += 10 / speeds[part]
        done += 1
        horizon.epochs = horizon.plan_after(done)
    assert 0.9 * 600 < horizon.seconds <= 1.05 * 600
    assert rates[-1] < 0.02
    assert all(later <= 1.01 * rate for rate, later in pairwise(rates))


def test_the_epochs_that_are_done_when_the_time_is_over_are_all_and_this_is_said(clock: Clock) -> None:
    horizon = Horizon(10, minutes=1, clock=clock)
    clock.now += 400
    horizon.epochs = horizon.plan_after(2)
    assert horizon.is_over(2)
    line = horizon.end_line()
    assert line is not None
    assert line.startswith("2 of 10 epochs")
    assert "--max-minutes" in line


def test_a_resumed_training_has_the_plan_and_the_time_that_were_saved(clock: Clock) -> None:
    first = Horizon(10, minutes=1, clock=clock)
    clock.now += 20
    first.epochs = first.plan_after(1)
    clock.now += 5  # in the middle of the second epoch
    state = first.state_dict()
    clock.now += 1e6  # nobody works on it
    second = Horizon(10, minutes=1, clock=clock)
    second.load_state_dict(state)
    assert (second.epochs, second.seconds) == (3, 25.0)
    clock.now += 15
    second.epochs = second.plan_after(2)
    assert second.epochs == 3


def test_a_damaged_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="numbers"):
        Horizon(10, minutes=1).load_state_dict({"epochs": "many", "seconds": 1.0})
