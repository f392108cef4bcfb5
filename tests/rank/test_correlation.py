"""Rank correlations with their intervals."""

import math

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from pcdarts.rank.correlation import RankCorrelation, rank_correlation


def correlated(x: list[float], y: list[float], **options: int) -> RankCorrelation:
    found = rank_correlation(x, y, **options)
    assert found is not None
    return found


def test_a_column_and_itself_have_the_correlation_one_and_reversed_minus_one() -> None:
    column = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    same, reverse = correlated(column, column), correlated(column, [-value for value in column])
    for found, sign in ((same, 1), (reverse, -1)):
        for each in (found.kendall, found.spearman):
            assert (each.value, each.low, each.high) == pytest.approx((sign, sign, sign))
    assert same.pairs == 6


def test_only_the_order_counts() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]
    assert correlated(x, y) == correlated([math.exp(value) for value in x], [value**3 for value in y])


def test_with_ties_the_correlations_are_those_of_scipy() -> None:
    random = np.random.default_rng(1)
    x, y = random.integers(0, 6, 40).tolist(), random.integers(0, 4, 40).tolist()
    found = correlated(x, y)
    assert found.kendall.value == pytest.approx(kendalltau(x, y).statistic)
    assert found.spearman.value == pytest.approx(spearmanr(x, y).statistic)


def test_the_interval_is_that_of_pairs_drawn_again() -> None:
    """The same draws, correlated one by one by scipy."""
    random = np.random.default_rng(2)
    x = random.integers(0, 9, 12)
    y = x + random.integers(0, 9, 12)
    found = correlated(x.tolist(), y.tolist(), seed=5, resamples=40)
    drawn = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), 40)
    again = [np.repeat(np.arange(12), times) for times in drawn]
    for each, by_scipy in ((found.kendall, kendalltau), (found.spearman, spearmanr)):
        draws = [by_scipy(x[chosen], y[chosen]).statistic for chosen in again]
        assert (each.low, each.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Normal pairs of correlation r have tau = 2 asin(r) / pi and rho = 6 asin(r / 2) / pi."""
    random, r, trials = np.random.default_rng(3), 0.6, 150
    tau, rho = 2 * math.asin(r) / math.pi, 6 * math.asin(r / 2) / math.pi
    covers = np.zeros(2)
    for trial in range(trials):
        x = random.standard_normal(40)
        y = r * x + math.sqrt(1 - r * r) * random.standard_normal(40)
        found = correlated(x.tolist(), y.tolist(), seed=trial, resamples=200)
        covers += [found.kendall.low <= tau <= found.kendall.high, found.spearman.low <= rho <= found.spearman.high]
    assert np.all(covers / trials > 0.9)
    assert np.all(covers / trials < 0.99)


def test_a_column_of_one_number_has_no_correlation() -> None:
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert rank_correlation([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]) is None
