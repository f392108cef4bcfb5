"""Scores of cells: listed where the table lists them, else predicted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from command_line import GENOTYPE
from known_cells import accuracy_of
from pcdarts.cell.canonical import canonical
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.score.regressor import Quality
from pcdarts.score.table import KnownCell
from pcdarts.score.yardstick import Yardstick, make_yardstick

NEW = [random_genotype(CellSpace(4), seed) for seed in range(300)]


def with_operations(name: str) -> Genotype:
    edges = ((name, 0), (name, 1), (name, 0), (name, 2))
    return Genotype(edges, (2, 3), edges, (2, 3))


@pytest.fixture
def yardstick(known_table: Path) -> Yardstick:
    remarks: list[str] = []
    made = make_yardstick(known_table, say=remarks.append)
    assert remarks == []  # it was kept
    return made


def test_the_rule_of_the_table_is_learnt(yardstick):
    scores = yardstick.scores(NEW)
    truth = [accuracy_of(genotype) for genotype in NEW]
    assert spearmanr([score.accuracy for score in scores], truth).statistic > 0.9
    assert yardstick.quality.rank_correlation > 0.85
    best, worst = yardstick.scores([with_operations("sep_conv_3x3"), with_operations("max_pool_3x3")])
    assert best.percentile > 95
    assert worst.percentile < 5
    within = [
        low <= true <= high for true, (low, high) in zip(truth, (score.interval for score in scores), strict=True)
    ]
    assert np.mean(within) > 0.85
    percentiles = [
        score.percentile for score in yardstick.scores([random_genotype(CellSpace(4), seed) for seed in range(1000)])
    ]
    assert np.mean(percentiles) == pytest.approx(50, abs=1)


def test_a_cell_of_the_table_has_its_accuracy_and_no_interval(yardstick):
    known = yardstick.table.fitted[3]
    normal, reduce = known.genotype.normal, known.genotype.reduce
    swapped = Genotype((normal[1], normal[0], *normal[2:]), (3, 2), reduce, (2, 3))
    [score] = yardstick.scores([swapped])
    assert (score.accuracy, score.interval, score.listed) == (accuracy_of(swapped), None, True)
    assert yardstick.scores([GENOTYPE])[0].listed is False


def test_what_is_listed_on_another_scale_is_predicted(yardstick):
    elsewhere = KnownCell(canonical(GENOTYPE), 12.0, 1.0, "whole")
    table = replace(yardstick.table, others=(elsewhere,))
    assert table.listed(GENOTYPE) == elsewhere
    assert replace(yardstick, table=table).scores([GENOTYPE]) == yardstick.scores([GENOTYPE])


def test_random_cells_of_equal_accuracy_count_half(yardstick):
    known = yardstick.table.fitted[0]
    below, equal = known.accuracy - 1, known.accuracy
    for random, percentile in [([below, equal, equal, 99], 50), ([equal] * 4, 50), ([99] * 4, 0), ([below] * 4, 100)]:
        assert replace(yardstick, random=np.array(random)).scores([known.genotype])[0].percentile == percentile


def test_scores_are_in_the_order_of_the_genotypes(yardstick):
    alone = [yardstick.scores([genotype])[0] for genotype in NEW[:3]]
    assert yardstick.scores(NEW[:3]) == alone
    assert yardstick.scores([]) == []


def test_cells_of_other_spaces_are_refused(yardstick):
    with pytest.raises(InputError, match=r"it has 6 nodes, but the cells of .* have 4"):
        yardstick.scores([published("darts_v1")])
    with pytest.raises(InputError, match="conv_7x1_1x7 is an operation that no search of this space can choose"):
        yardstick.scores([with_operations("conv_7x1_1x7")])
    with pytest.raises(InputError, match="its normal cell does not concatenate all intermediate nodes"):
        yardstick.scores([replace(GENOTYPE, normal_concat=(3,))])


def test_what_the_cross_validation_found_is_said_and_that_it_is_poor(yardstick):
    poor = replace(yardstick, regressor=replace(yardstick.regressor, quality=Quality(60, 0.31, 1.25, 3)))
    assert poor.words() == [
        f"60 rows of {yardstick.table.path}: {yardstick.table.notes[0].split(': ')[1]}",
        "five-fold cross-validation on 60 cells: rank correlation 0.310 (Spearman), mean absolute error 1.25 points",
        "that is poor: on this table alone, do not trust predictions and percentiles",
    ]
    assert len(yardstick.words()) == 2
