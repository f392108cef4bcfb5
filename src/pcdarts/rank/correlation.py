"""Rank correlation of two columns of numbers, Kendall's and Spearman's, each with an interval.

The interval is the percentile bootstrap's: pairs are drawn again with replacement, and of the correlations of many such
draws the middle part is taken. It says how far the figure would move with other pairs from the same source. Both
coefficients are computed from how often each pair was drawn, so that all draws are a few products of matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A correlation, -1 to 1, and the limits of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RankCorrelation:
    """How alike two columns order what they are about."""

    kendall: Interval
    """tau-b: how much likelier two pairs are ordered alike than differently; ties are left out of the count."""
    spearman: Interval
    """rho: Pearson's correlation of the ranks, equals having their mean rank."""
    pairs: int


class Resampling:
    """Pairs drawn again and again, the same draws for all columns that are correlated.

    Args:
        pairs: how many there are, at least two.
        seed: of the draws.
        resamples: how often so many pairs are drawn.
    """

    def __init__(self, pairs: int, seed: int = 0, resamples: int = RESAMPLES) -> None:
        drawn = np.random.default_rng(seed).multinomial(pairs, np.full(pairs, 1 / pairs), resamples)
        self.pairs = pairs
        self.times: _Array = np.vstack([np.ones((1, pairs)), drawn])
        """How often each draw has each pair, [draws, pairs]; the first row is the pairs as they are."""

    def column(self, values: Sequence[float]) -> "Column":
        """What both correlations need of one column of finite numbers, [pairs]."""
        of = np.asarray(values, np.float64)
        signs = np.sign(of[:, None] - of[None, :])
        below = (of[None, :] < of[:, None]) + 0.5 * (of[None, :] == of[:, None])
        ranks = self.times @ below.T
        deviations = ranks - (self.times * ranks).sum(axis=1, keepdims=True) / self.pairs
        return Column(signs, self._total(np.abs(signs)), deviations, (self.times * deviations**2).sum(axis=1))

    def correlation(self, x: "Column", y: "Column", level: float = LEVEL) -> RankCorrelation | None:
        """Both correlations of two columns; None where either has the same number everywhere.

        A draw in which one column has the same number everywhere has no correlation, and is left out.
        """
        if x.untied[0] == 0 or y.untied[0] == 0:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            tau = self._total(x.signs * y.signs) / np.sqrt(x.untied * y.untied)
            rho = (self.times * x.deviations * y.deviations).sum(axis=1) / np.sqrt(x.squares * y.squares)
        return RankCorrelation(_interval(tau, level), _interval(rho, level), self.pairs)

    def _total(self, signs: _Array) -> _Array:
        """The sum of [pairs, pairs] over all two pairs of each draw, [draws]."""
        found: _Array = ((self.times @ signs) * self.times).sum(axis=1)
        return found


@dataclass(frozen=True)
class Column:
    """A column as `Resampling.correlation` takes it."""

    signs: _Array
    """Of the differences of all two numbers, [pairs, pairs]."""
    untied: _Array
    """Twice the number of two pairs that are no ties, in each draw, [draws]."""
    deviations: _Array
    """Of the ranks from their mean, [draws, pairs]."""
    squares: _Array
    """The sum of the squares of these over each draw, [draws]."""


def rank_correlation(
    x: Sequence[float], y: Sequence[float], seed: int = 0, resamples: int = RESAMPLES
) -> RankCorrelation | None:
    """Both correlations of two columns of at least two finite numbers, as `Resampling.correlation`."""
    draws = Resampling(len(x), seed, resamples)
    return draws.correlation(draws.column(x), draws.column(y))


def _interval(found: _Array, level: float) -> Interval:
    value, draws = found[0], found[1:]
    low, high = np.quantile(draws[np.isfinite(draws)], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))
