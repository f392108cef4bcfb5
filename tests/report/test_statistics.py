"""What a few runs can show."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pcdarts.report.statistics import (
    difference,
    mean_interval,
    mean_std,
    percentile_interval,
    pooled_std,
    sampling_error,
    smallest_visible_difference,
)

ERRORS = st.lists(st.floats(0, 100).map(lambda value: round(value, 2)), min_size=2, max_size=8)


def test_mean_and_standard_deviation_of_a_sample():
    assert mean_std([2.0, 4.0, 6.0]) == (4.0, 2.0)
    assert mean_std([2.5]) == (2.5, None)


def test_the_interval_of_a_mean_is_that_of_student():
    values = [16.2, 15.1, 17.8, 16.4]
    expected = stats.t.interval(0.9, df=3, loc=np.mean(values), scale=stats.sem(values))
    found = mean_interval(values, level=0.9)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=25)
@given(a=ERRORS, b=ERRORS)
def test_the_interval_of_a_difference_is_that_of_welch(a, b):
    found = difference(a, b)
    if min(np.std(a), np.std(b)) > 0.001:  # SciPy warns of samples without spread
        expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert (found.n_a, found.n_b) == (len(a), len(b))


@settings(max_examples=25)
@given(a=ERRORS, b=ERRORS, shift=st.floats(-50, 50))
def test_intervals_contain_the_mean_grow_with_the_level_and_move_with_the_values(a, b, shift):
    moved = [value + shift for value in a]
    for narrow, wide, after in (
        (mean_interval(a, 0.8), mean_interval(a, 0.95), mean_interval(moved, 0.95)),
        (difference(a, b, 0.8), difference(a, b, 0.95), difference(moved, b, 0.95)),
    ):
        assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high
        assert (after.low, after.high) == pytest.approx((wide.low + shift, wide.high + shift), rel=1e-6, abs=1e-6)


@given(values=ERRORS)
def test_the_interval_of_percentiles_is_the_part_of_students_that_a_mean_of_them_can_reach(values):
    whole, found = mean_interval(values), percentile_interval(values)
    assert found.mean == whole.mean
    assert (found.low, found.high) == (max(0, whole.low), min(100, whole.high))
    assert 0 <= found.low <= found.mean <= found.high <= 100


@settings(max_examples=25)
@given(a=ERRORS, b=ERRORS)
def test_a_difference_the_other_way_round_has_the_other_sign(a, b):
    there, back = difference(a, b), difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-9)


def test_a_single_value_has_no_interval():
    assert mean_interval([]) is None
    assert mean_interval([3.0]) is None
    assert percentile_interval([3.0]) is None
    assert difference([3.0], [2.0, 2.5]) is None
    assert difference([2.0, 2.5], []) is None
    assert smallest_visible_difference(0.5, 1) is None
    assert pooled_std([[1.0], []]) is None


def test_equal_values_have_an_interval_without_width():
    assert mean_interval([3.0, 3.0, 3.0]).high == 3.0
    found = difference([3.0, 3.0], [2.0, 2.0])
    assert (found.low, found.mean, found.high) == (1.0, 1.0, 1.0)
    assert found.shows
    assert not difference([3.0, 3.0], [3.0, 3.0]).shows


def test_an_interval_shows_a_difference_only_when_it_leaves_out_zero():
    assert difference([5.0, 5.1, 5.2], [3.0, 3.1, 3.2]).shows
    assert not difference([5.0, 4.0, 6.0], [4.5, 5.5, 4.0]).shows


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_of_draws_from_one_normal_distribution_contain_its_mean_as_often_as_they_say(n):
    draws = np.random.default_rng(0).normal(10.0, 2.0, size=(1000, n))
    hits = [interval.low <= 10 <= interval.high for interval in map(mean_interval, draws.tolist())]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(("n", "power"), [(3, 0.8), (5, 0.8), (5, 0.5)])
def test_the_smallest_visible_difference_shows_in_the_share_of_studies_that_it_promises(n, power):
    std = 0.7
    shift = smallest_visible_difference(std, n, power=power)
    a, b = np.random.default_rng(1).normal(size=(2, 4000, n)) * std + np.array([shift, 0.0]).reshape(2, 1, 1)
    half = stats.t.ppf(0.975, 2 * n - 2) * np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / n)
    assert np.mean(a.mean(axis=1) - b.mean(axis=1) > half) == pytest.approx(power, abs=0.025)


@settings(max_examples=25)
@given(std=st.floats(0.01, 10), n=st.integers(2, 20))
def test_more_seeds_and_less_spread_show_smaller_differences(std, n):
    assert smallest_visible_difference(std, n + 1) < smallest_visible_difference(std, n)
    assert smallest_visible_difference(2 * std, n) == pytest.approx(2 * smallest_visible_difference(std, n))


def test_a_pooled_spread_ignores_how_far_the_means_are_apart():
    assert pooled_std([[1.0, 3.0], [101.0, 103.0], [50.0]]) == pytest.approx(math.sqrt(2))


def test_a_test_error_is_as_sure_as_its_number_of_images_allows():
    assert sampling_error(50.0, 10_000) == pytest.approx(0.5)
    outcomes = np.random.default_rng(2).binomial(1000, 0.16, size=20_000) / 10
    assert sampling_error(16.0, 1000) == pytest.approx(outcomes.std(), rel=0.02)
