"""Every figure of docs/statistics.md comes out of the code, the paper's own ones of its printed values."""

from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import chdtri, fdtri
from scipy.stats import norm

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import CellSpace
from pcdarts.report.agreement import agreement
from pcdarts.report.statistics import (
    difference,
    mean_interval,
    mean_std,
    percentile_interval,
    sampling_error,
    smallest_visible_difference,
)

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "statistics.md").read_text("utf-8").split())
TABLE_3 = {"PC and EN": (2.57, 0.07), "PC alone": (2.67, 0.11), "EN alone": (2.82, 0.05), "neither": (3.00, 0.14)}
TABLE_4 = {
    "DARTS-v1": [2.89, 3.15, 2.99, 3.07, 3.27],
    "DARTS-v2": [3.11, 2.68, 2.77, 3.14, 3.06],
    "PC-DARTS": [2.72, 2.67, 2.57, 2.75, 2.64],
}


def sample(mean: float, std: float, n: int) -> list[float]:
    """Some n values with this mean and standard deviation: intervals depend on nothing else."""
    steps = np.arange(n) - (n - 1) / 2
    return (mean + std * steps / steps.std(ddof=1)).tolist()


def printed(points: float) -> str:
    return f"{points:.2f}".replace("-", "−")


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10])
def test_the_table_of_factors(n):
    seeds = sample(0, 1, n)
    std_low, std_high = (sqrt((n - 1) / chdtri(n - 1, share)) for share in (0.025, 0.975))
    factors = (mean_interval(seeds).high, difference(seeds, seeds).high, smallest_visible_difference(1, n))
    row = " | ".join(f"{factor:.2f}" for factor in factors)
    assert f"| {n} | {row} | {std_low:.2f} to {std_high:.2f} times what was measured |" in PAGE


@pytest.mark.parametrize("other", ["PC alone", "EN alone", "neither"])
def test_the_papers_table_3(other):
    ours, theirs = TABLE_3["PC and EN"], TABLE_3[other]
    five, three = (difference(sample(*theirs, n), sample(*ours, n)) for n in (5, 3))
    shown = " | ".join("yes" if found.shows else "no" for found in (five, three))
    assert (
        f"| {other} ({theirs[0]:.2f} ± {theirs[1]} %) | {printed(five.mean)} points | "
        f"{printed(five.low)} to {printed(five.high)} | {shown} |"
    ) in PAGE


@pytest.mark.parametrize("cell", TABLE_4)
def test_the_papers_table_4(cell):
    runs, ours = TABLE_4[cell], TABLE_4["PC-DARTS"]
    mean, std = mean_std(runs)
    interval, found = mean_interval(runs), difference(ours, runs)
    less = f"{printed(found.mean)} ({printed(found.low)} to {printed(found.high)}) " if runs is not ours else ""
    figures = f"{mean:.2f} ± {std:.2f} | {interval.low:.2f} to {interval.high:.2f} | {less}|"
    assert f"| {cell} | {', '.join(map(str, runs))} | {figures}" in PAGE


def test_the_ratios_of_the_papers_spreads():
    limit = sqrt(fdtri(4, 4, 0.975))
    v1, v2 = (mean_std(TABLE_4[cell])[1] / mean_std(TABLE_4["PC-DARTS"])[1] for cell in ("DARTS-v1", "DARTS-v2"))
    assert f"is {v2:.1f} times as large, with a 95 % interval of {v2 / limit:.2f} to {v2 * limit:.2f} times" in PAGE
    assert f"for DARTS-v1 {v1:.1f} times, {v1 / limit:.2f} to {v1 * limit:.2f}." in PAGE


def test_the_papers_best_run():
    assert min(TABLE_4["PC-DARTS"]) == TABLE_3["PC and EN"][0] == 2.57
    assert f"whose mean is {mean_std(TABLE_4['PC-DARTS'])[0]:.2f} %" in PAGE


def test_how_far_the_best_of_n_lies_below_the_mean():
    def below(n: int) -> str:
        return f"{quad(lambda x: -x * n * norm.pdf(x) * norm.sf(x) ** (n - 1), -9, 9)[0]:.2f}"

    assert below(2) == f"{1 / sqrt(pi):.2f}"
    assert f"by {below(2)} standard deviations for n = 2, {below(3)} for 3, {below(4)} for 4, {below(5)} for 5" in PAGE
    assert f"{below(10)} for 10." in PAGE


def test_the_other_figures():
    assert f"standard error of {sampling_error(2.57, 10_000):.2f} points" in PAGE
    assert f"with a chance of {100 * (1 - 0.95**10):.0f} %" in PAGE


def test_how_often_intervals_of_five_percentiles_hold_the_true_mean():
    """Anywhere from 0 to 100, or mostly near 100; the bootstrap's interval is the middle 95 % of resampled means."""
    drawn = np.random.default_rng(0).random((4000, 5))
    resampled = np.random.default_rng(1).integers(0, 5, (400, 5))

    def share(low, high, true: float) -> str:
        return f"{100 * np.mean((np.array(low) <= true) & (true <= np.array(high))):.0f} %"

    students, bootstrap = [], []
    for seeds, true in ((100 * drawn, 50.0), (100 * drawn ** (1 / 5), 500 / 6)):
        found = [percentile_interval(study) for study in seeds.tolist()]
        students.append(share([interval.low for interval in found], [interval.high for interval in found], true))
        means = seeds[:, resampled].mean(2)
        bootstrap.append(share(*np.percentile(means, [2.5, 97.5], axis=1), true))
    assert f"holds the true mean in {students[0]} and {students[1]} of such studies" in PAGE
    assert f"a bootstrap in {bootstrap[0]} and {bootstrap[1]}" in PAGE


@pytest.mark.parametrize("nodes", [5, 6, 7])
def test_what_random_cells_have_in_common(nodes):
    found = agreement([random_genotype(CellSpace(nodes), seed) for seed in (0, 1)])
    assert f"| {nodes} | {found.edges_by_chance:.1f} % | {found.operations_by_chance:.1f} % |" in PAGE
    if nodes == 6:
        assert f"**{found.edges_by_chance:.1f} %** of their edges" in PAGE
        assert f"**{found.operations_by_chance:.1f} %** of their operations" in PAGE
