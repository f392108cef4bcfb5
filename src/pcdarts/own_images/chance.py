"""What chance explains: errors no better than always naming one class, and differences that are none."""

import math
from collections.abc import Sequence

from pcdarts.report.statistics import sampling_error


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was found in `count` cases (Wilson's)."""
    z = 1.959964
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def chance_error(counts: Sequence[int]) -> float:
    """The error in % of always naming the largest class, of so many images of each class."""
    return 100 * (1 - max(counts) / sum(counts))


def beats_chance(error: float, counts: Sequence[int]) -> bool:
    """Whether an error in % is shown to be lower than that of always naming the largest class."""
    return 100 * interval(error / 100, sum(counts))[1] < chance_error(counts)


def standard_error(one: float, other: float, images: int) -> float:
    """Of the difference of two errors in %, each of so many images."""
    return math.sqrt(2) * sampling_error((one + other) / 2, images)


def searched_is_better(searched: float, published: float, images: int) -> bool:
    """Whether validation errors (in %, of so many images) speak for the searched cell and against the published one.

    By more than the standard error of their difference: published cells are better than what short searches find, so a
    difference that chance explains is none.
    """
    return published - searched > standard_error(searched, published, images)


def choice_between(searched: float, published: float, counts: Sequence[int]) -> tuple[bool, str]:
    """Whether the searched cell is taken, and why, by validation errors in %, of so many images of each class."""
    if not (beats_chance(searched, counts) or beats_chance(published, counts)):
        return False, (
            "no difference is shown: neither is shown to be better than always naming the largest class "
            f"({chance_error(counts):.2f} %), so the published one is trained"
        )
    if searched_is_better(searched, published, sum(counts)):
        return True, "the searched one is trained"
    if published > searched:
        return False, (
            f"no difference is shown: of {sum(counts):,} images, chance explains as much, so the published one is "
            "trained"
        )
    return False, "the published one is trained"
