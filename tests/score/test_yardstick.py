"""Scores of cells: listed where the table lists them, else predicted; and the regressor that is kept for later."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from command_line import GENOTYPE, end_of
from forked import Forked
from known_cells import accuracy_of, write_table
from pcdarts.cache import cache_folder
from pcdarts.cell.canonical import canonical
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.score import yardstick as module
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


# What is kept


@pytest.fixture
def kept(yardstick: Yardstick) -> Path:
    """The file that holds the yardstick; other tests may have kept their own beside it."""
    file = cache_folder() / f"yardstick-{module._fingerprint(yardstick.table)}"
    assert module._kept(file) is not None
    return file


def copy(kept: Path, folder: Path, content: bytes | None = None) -> Path:
    folder.mkdir(mode=0o700)
    file = folder / kept.name
    file.write_bytes(kept.read_bytes() if content is None else content)
    file.chmod(0o600)
    return file


def test_a_damaged_regressor_is_not_read(kept, tmp_path):
    whole = kept.read_bytes()
    assert module._kept(copy(kept, tmp_path / "whole")) is not None
    middle = len(whole) // 2
    damaged = (b"", whole[:-1], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b"x" * 99)
    for number, content in enumerate(damaged):
        assert module._kept(copy(kept, tmp_path / str(number), content)) is None
    assert module._kept(tmp_path / "nowhere" / kept.name) is None


def test_a_regressor_that_others_could_have_written_is_not_read(kept, tmp_path):
    file = copy(kept, tmp_path / "open")
    for path, mode, is_read in [(file, 0o666, False), (file, 0o600, True), (file.parent, 0o777, False)]:
        path.chmod(mode)
        assert (module._kept(file) is not None) == is_read


def test_another_table_and_another_version_have_files_of_their_own(yardstick, monkeypatch):
    name = module._fingerprint(yardstick.table)
    assert module._fingerprint(replace(yardstick.table, path=Path("moved.csv"))) == name
    assert module._fingerprint(replace(yardstick.table, checksum="0")) != name
    monkeypatch.setattr("pcdarts.__version__", "99")
    assert module._fingerprint(yardstick.table) != name


def test_where_nothing_can_be_kept_it_is_said_and_the_scores_are_the_same(yardstick, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remarks: list[str] = []
    again = make_yardstick(yardstick.table.path, say=remarks.append)
    assert remarks == [
        "fitting a regressor on 60 cells, six times for the cross-validation",
        f"cannot keep it in {tmp_path}/file/pcdarts (Not a directory), so that every start fits it again",
    ]
    assert again.scores(NEW) == yardstick.scores(NEW)
    assert again.quality == yardstick.quality


def test_of_two_processes_one_fits_and_the_other_waits_for_it(tmp_path):
    table = write_table(tmp_path / "cells.csv", nodes=4)
    code = f"""
from pathlib import Path
from pcdarts.score.yardstick import make_yardstick
made = make_yardstick(Path({str(table)!r}))
print(made.quality)
"""
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    jobs = [Forked(tmp_path, code=code, environment=environment) for _ in range(2)]
    both = [end_of(job) for job in jobs]
    assert [ended.code for ended in both] == [0, 0], both
    assert sorted(ended.out.count("fitting a regressor") for ended in both) == [0, 1]
    assert both[0].out.splitlines()[-1] == both[1].out.splitlines()[-1]
    assert len(list((tmp_path / "cache" / "pcdarts").iterdir())) == 1
