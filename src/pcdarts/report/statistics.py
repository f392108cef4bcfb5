"""Statistics of a few runs: intervals of a mean and of a difference, and the smallest difference that shows.

`docs/statistics.md` explains them. They assume that the values are independent draws of a normal distribution: seeds,
not epochs and not images.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import nctdtrinc, stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean and the limits of its interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The mean of a sample less that of another, and the limits of its interval, in the unit of the values."""

    mean: float
    low: float
    high: float
    n_a: int
    n_b: int

    @property
    def shows(self) -> bool:
        """Whether the interval does not contain 0. If it does, nothing is shown, not even equality."""
        return not self.low <= 0 <= self.high


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the standard deviation (n - 1 in the denominator; None for a single value) of at least one value."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's t interval of a mean: mean ± t·std/√n with n - 1 degrees of freedom; None for fewer than two values.

    A share `level` of such intervals contains the true mean, for any n.
    """
    if len(values) < 2:
        return None
    mean = fmean(values)
    half = _t(level, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def percentile_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """The t interval of the mean of values from 0 to 100, cut at these limits.

    The true mean cannot lie in the part that is cut off, so the coverage stays the same.
    """
    found = mean_interval(values, level)
    return found and Interval(found.mean, max(0.0, found.low), min(100.0, found.high))


def difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Difference | None:
    """Welch's interval of mean(a) - mean(b): the spreads may differ; None if either has fewer than two values."""
    if min(len(a), len(b)) < 2:
        return None
    mean = fmean(a) - fmean(b)
    of_a, of_b = (stdev(values) ** 2 / len(values) for values in (a, b))
    half = 0.0
    if of_a + of_b > 0:  # otherwise there is no spread, and the degrees of freedom are 0/0
        share = of_a / (of_a + of_b)
        degrees = 1 / (share**2 / (len(a) - 1) + (1 - share) ** 2 / (len(b) - 1))
        half = _t(level, degrees) * math.sqrt(of_a + of_b)
    return Difference(mean, mean - half, mean + half, len(a), len(b))


def smallest_visible_difference(std: float, n: int, level: float = 0.95, power: float = 0.8) -> float | None:
    """How far apart two true means must be for n seeds of each to show it; None for n < 2.

    To show it means that the interval of the difference lies on the right side of 0, and it does so in a share `power`
    of all studies like this one (noncentral t, 2n - 2 degrees of freedom). `std` is the true standard deviation of both
    methods, in the unit of the answer. Welch's interval is a little wider, so the answer is a little too small.
    """
    if n < 2:
        return None
    degrees = 2 * n - 2
    shift = float(nctdtrinc(degrees, 1 - power, _t(level, degrees)))
    return shift * std * math.sqrt(2 / n)


def pooled_std(samples: Iterable[Sequence[float]]) -> float | None:
    """The common standard deviation of samples with means of their own; None if none has two values."""
    usable = [values for values in samples if len(values) > 1]
    if not usable:
        return None
    squares = sum((len(values) - 1) * stdev(values) ** 2 for values in usable)
    return math.sqrt(squares / sum(len(values) - 1 for values in usable))


def sampling_error(error: float, images: int) -> float:
    """The standard error, in points of %, of one network's test error of `error` % on so many test images.

    The binomial √(p(1 - p)/images): how far the error would move with other test images of the same kind. Runs that
    are tested on the same images share most of it, so their spread does not contain it.
    """
    return 100 * math.sqrt(error / 100 * (1 - error / 100) / images)


def _t(level: float, degrees: float) -> float:
    """How many standard errors an interval extends to either side."""
    return float(stdtrit(degrees, (1 + level) / 2))
