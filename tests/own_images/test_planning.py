"""The plan of a fit: what a refusal names is then accepted, on a machine whose speed is made up."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from made_facts import CIFAR
from pcdarts.config.fit_config import FitConfig
from pcdarts.errors import InputError
from pcdarts.own_images.planning import Plan, Planner
from pcdarts.own_images.rules import MARGIN, SAFETY, Facts, Shape, StepTime


class Machine(Planner):
    """A machine that takes so many seconds for a step of a network of one cell and one channel, and as long per cell
    and channel more."""

    def __init__(self, config: FitConfig, facts: Facts, seconds: float) -> None:
        super().__init__(config, facts)
        self.seconds = seconds

    def _step_time(self, shape: Shape, batch_size: int, genotype: str | None) -> StepTime:
        step = self.seconds * shape.num_cells * shape.channels
        return StepTime(step, step / batch_size / 3)

    def _search_step_time(self, settings: dict[str, Any], images: int) -> tuple[float, float]:
        return 30 * self.seconds, 30 * self.seconds


def planned(minutes: float, facts: Facts, seconds: float, used: float, **flags: Any) -> Plan:
    config = FitConfig(folder=Path("photos"), minutes=minutes, compare=None, **flags)
    return Machine(config, facts, seconds).plan(SAFETY * 60 * minutes - used, 60 * minutes)


@settings(max_examples=100, deadline=None)
@given(
    minutes=st.floats(0.1, 60),
    images=st.integers(1, 5000),
    seconds=st.floats(1e-5, 0.05),
    used=st.floats(0, 60),
    slower=st.floats(1, 0.99 * MARGIN),
    flags=st.fixed_dictionaries(
        {"search": st.sampled_from(["auto", "always", "never"])},
        optional={"epochs": st.integers(1, 300), "search_epochs": st.integers(3, 50)},
    ),
    chooses=st.booleans(),
)
def test_the_minutes_that_a_refusal_names_are_enough_even_where_steps_are_slower_when_they_are_measured_again(
    minutes: float, images: int, seconds: float, used: float, slower: float, flags: dict[str, Any], chooses: bool
) -> None:
    facts = replace(CIFAR, train=(images,) * 10, validation=(images,) * 10 if chooses else ())
    named = refused_with(minutes, facts, seconds, used, **flags)
    if named is None:
        return
    assert named > minutes
    seconds *= slower
    if flags["search"] == "always" or "search_epochs" in flags:  # the first refusal may not know of the search yet
        named = refused_with(named, facts, seconds, used, **flags) or named
    assert refused_with(named, facts, seconds, used, **flags) is None


def refused_with(minutes: float, facts: Facts, seconds: float, used: float, **flags: Any) -> int | None:
    """The minutes that a refusal names; None of a plan that is not refused."""
    try:
        planned(minutes, facts, seconds, used, **flags)
    except InputError as refusal:
        return int(re.findall(r": give --minutes (\d+) or more", str(refusal))[0])
    return None


def test_a_search_that_nobody_asks_for_is_left_out_where_the_training_needs_its_time() -> None:
    facts, fixed = replace(CIFAR, validation=(45,) * 10), {"epochs": 300, "num_cells": 5, "channels": 16}
    assert not isinstance(planned(60, facts, 0.0001, 0, **fixed).search, str)
    training = planned(200, facts, 0.002, 0, **fixed, search="never").training
    minutes = (training.seconds + 60) / (60 * SAFETY)  # hardly more than the training needs
    assert planned(minutes, facts, 0.002, 0, **fixed).search == (
        "it would leave too little time for the training (--minutes, --search always)"
    )


def test_what_chooses_between_two_cells_is_no_longer_than_the_training_whose_cell_is_chosen() -> None:
    facts = replace(CIFAR, validation=(45,) * 10)
    trials = {
        epochs: planned(10, facts, 0.0001, 0, num_cells=5, channels=8, search="always", epochs=epochs).trial_epochs
        for epochs in (1, 4, 300)
    }
    assert (trials[1], trials[4]) == (2, 4)  # two at least
    assert 4 < trials[300] < 300  # a twentieth of the time
