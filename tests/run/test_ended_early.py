"""A training that did not make all its epochs says so, and why."""

from typing import Any

import pytest

from pcdarts.run.ended_early import MINUTES, PATIENCE, about_the_end, how_it_ended, more_than_planned


def test_a_training_that_ended_early_says_after_how_many_epochs_and_why() -> None:
    assert how_it_ended(about_the_end(31, 69, MINUTES)) == "31 of 69 epochs: --max-minutes"
    assert how_it_ended(about_the_end(3, 1500, PATIENCE)) == "3 of 1,500 epochs: --patience"
    assert about_the_end(69, 69, MINUTES) == {}


def test_a_training_that_had_time_for_more_epochs_says_so_and_did_not_end_early() -> None:
    assert about_the_end(70, 69, MINUTES) == {"more_epochs": {"done": 70, "epochs": 69}}
    assert how_it_ended(about_the_end(70, 69, MINUTES)) is None
    assert more_than_planned(about_the_end(70, 69, MINUTES)) == "70 epochs instead of 69"
    assert more_than_planned(about_the_end(31, 69, MINUTES)) is None


@pytest.mark.parametrize(
    "said",
    [
        None,
        31,
        {},
        {"done": 31, "epochs": 69, "by": "<script>"},
        {"done": 69, "epochs": 31, "by": "--patience"},
        {"done": "31", "epochs": 69, "by": "--patience"},
        {"done": 31, "epochs": 10**5000, "by": "--patience"},
    ],
)
def test_a_damaged_result_says_nothing_of_its_end(said: Any) -> None:
    assert how_it_ended({"ended_early": said}) is None
    assert how_it_ended(said) is None
    assert more_than_planned(said) is None


@pytest.mark.parametrize("said", [31, {}, {"done": 31, "epochs": 69}, {"done": "70", "epochs": 69}, {"done": 10**5000}])
def test_a_damaged_result_says_nothing_of_more_epochs(said: Any) -> None:
    assert more_than_planned({"more_epochs": said}) is None
