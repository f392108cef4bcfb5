"""What the tables of a study say, cell by cell."""

from dataclasses import replace
from pathlib import Path

import pcdarts
from pcdarts.cell.space import CELL_KINDS
from pcdarts.report.statistics import difference, mean_interval, smallest_visible_difference
from pcdarts.report.study_tables import Table, setting_table, study_table
from pcdarts.run.run_folder import RunFolder
from pcdarts.study.study_outcome import CellOutcome, PaperFigure, Row, StudyOutcome

GENOTYPE = pcdarts.published("pc_darts_cifar10")
SEARCHED = [16.2, 15.1, 17.0]
RANDOM = [16.9, 17.4, 16.0]


def a_cell(method: str, seed: int, error: float | None, setting: str | None = None, searched: bool = True):
    """One seed with its result, or one that failed where there is no error."""
    done = error is not None
    return CellOutcome(
        method=method,
        setting=setting,
        seed=seed,
        state="done" if done else "failed",
        message=None if done else "killed",
        search=None,
        train=RunFolder(Path("train")),
        output=Path("output.txt"),
        genotype=GENOTYPE if done else None,
        test_errors=(error - 0.1, error + 0.1) if done else (),
        arch_error=None,
        search_hours=1.0 + seed if searched and done else None,
        train_hours=0.25 if done else None,
        search_memory_gb=None,
        device="a CPU" if done else None,
        params=3_400_000 + 50_000 * seed if done else None,
        mult_adds=571_000_000 if done else None,
        skip_connects=dict.fromkeys(CELL_KINDS, 1 + seed) if done else None,
    )


def a_row(method, errors, setting=None, searched=True, paper=None):
    cells = [a_cell(method, seed, error, setting, searched) for seed, error in enumerate(errors)]
    source = "random" if method == "random cells" else "searched"
    return Row(method, setting, tuple(cells), PaperFigure(*paper) if paper else None, source)


def a_study(*rows: Row, scale: str = "small") -> StudyOutcome:
    return StudyOutcome("table3", "Table 3", scale, Path("studies/table3"), "", rows)


TWO_METHODS = a_study(
    a_row("PC and EN", SEARCHED, paper=("2.57 ± 0.07 %", "0.1 GPU-days")), a_row("random cells", RANDOM, searched=False)
)


def column(table: Table, heading: str) -> list[str]:
    return [row[table.columns.index(heading)] for row in table.rows]


def test_every_row_has_mean_spread_and_n_of_its_seeds():
    table = study_table(TWO_METHODS)
    assert column(table, "method") == ["PC and EN", "random cells"]
    assert column(table, "test error, %") == ["16.10 ± 0.95 (n = 3)", "16.77 ± 0.71 (n = 3)"]
    interval = mean_interval(SEARCHED)
    assert column(table, "95 % interval of the mean")[0] == f"{interval.low:.2f} to {interval.high:.2f}"


def test_the_difference_is_to_random_cells_and_negative_where_errors_are_fewer():
    found = difference(SEARCHED, RANDOM)
    expected = f"{found.mean:.2f} ({found.low:.2f} to +{found.high:.2f})".replace("-", "−")
    assert column(study_table(TWO_METHODS), "difference to random cells, points") == [expected, "–"]
    assert expected.startswith("−0.67 (−")


def test_without_random_cells_the_first_method_is_the_reference():
    table = study_table(a_study(a_row("DARTS", RANDOM), a_row("PC-DARTS", SEARCHED)))
    assert column(table, "difference to DARTS, points")[0] == "–"


def test_no_difference_has_no_sign():
    table = study_table(a_study(a_row("a", [1.0, 2.0]), a_row("b", [1.0, 2.0])))
    assert column(table, "difference to a, points")[1].startswith("0.00 (−")


def test_methods_are_compared_within_a_setting():
    five, six = [16.0, 16.2], [18.0, 18.2]
    table = study_table(
        a_study(
            a_row("PC-DARTS", five, "5 nodes"),
            a_row("PC-DARTS", six, "6 nodes"),
            a_row("random cells", [16.0, 16.2], "5 nodes"),
            a_row("random cells", [19.0, 19.2], "6 nodes"),
        )
    )
    means = [text.split(" ")[0] for text in column(table, "difference to random cells, points")]
    assert means == ["0.00", "−1.00", "–", "–"]
    assert column(table, "setting") == ["5 nodes", "6 nodes", "5 nodes", "6 nodes"]


def test_costs_and_sizes_are_told_for_humans():
    table = study_table(TWO_METHODS)
    assert column(table, "search cost") == ["2 h 00 min", "–"]
    assert column(table, "training cost") == ["15 min 00 s"] * 2
    assert column(table, "parameters") == ["3.4 to 3.5 M"] * 2
    assert column(table, "mult-adds") == ["571 M"] * 2
    assert column(table, "skips, normal cell") == ["2.0", "2.0"]


def test_columns_that_nobody_fills_are_left_out():
    table = study_table(a_study(a_row("random cells", [16.0], searched=False)))
    assert table.columns == (
        "method",
        "test error, %",
        "training cost",
        "parameters",
        "mult-adds",
        "skips, normal cell",
    )


def test_the_papers_figure_stands_beside_ours_only_at_its_own_scale():
    small, paper = study_table(TWO_METHODS), study_table(replace(TWO_METHODS, scale="paper"))
    assert small.columns[-1] == "paper, at its scale"
    assert paper.columns.index("paper") < paper.columns.index("search cost")
    assert column(small, "paper, at its scale") == column(paper, "paper") == ["2.57 ± 0.07 %, 0.1 GPU-days", "–"]
    assert "not comparable" in " ".join(small.caption)
    assert "not comparable" not in " ".join(paper.caption)


def test_the_caption_says_what_so_many_seeds_can_show():
    words = " ".join(study_table(TWO_METHODS).caption)
    visible = smallest_visible_difference(((0.95394**2 + 0.70946**2) / 2) ** 0.5, 3)
    assert "With n = 3 seeds each and the spread seen here (std 0.84 points, pooled)" in words
    assert f"only true differences of about {visible:.1f} points or more would show" in words
    assert "no equality either" in words
    assert "on a CPU" in words


def test_small_spreads_are_told_in_hundredths():
    words = " ".join(study_table(a_study(a_row("DARTS", [2.5, 2.6, 2.64]), a_row("PC-DARTS", [2.4, 2.5, 2.5]))).caption)
    assert "differences of about 0.20 points" in words


def test_a_single_seed_has_no_interval_and_the_caption_says_so():
    table = study_table(a_study(a_row("PC-DARTS", [16.0]), a_row("random cells", [17.0])))
    assert column(table, "test error, %") == ["16.00 (n = 1)", "17.00 (n = 1)"]
    assert not any("interval" in heading or "difference" in heading for heading in table.columns)
    assert "more than one seed" in " ".join(table.caption)


def test_missing_seeds_are_counted():
    table = study_table(a_study(a_row("PC-DARTS", [16.0, None, 17.0]), a_row("random cells", [None, None])))
    assert column(table, "test error, %") == ["16.50 ± 0.71 (n = 2 of 3)", "– (n = 0 of 2)"]
    assert "Not done: 3 of 5 seeds (3 failed)." in table.caption


def test_a_study_that_has_not_begun_has_its_table():
    table = study_table(a_study(a_row("PC-DARTS", [None, None])))
    assert table.columns == ("method", "test error, %")


def test_methods_against_settings_as_in_table_4():
    study = a_study(
        a_row("DARTS-v1", [16.0, 17.0], "5 nodes"),
        a_row("DARTS-v1", [15.0], "6 nodes"),
        a_row("PC-DARTS", [14.0], "5 nodes"),
    )
    table = setting_table(study)
    assert table.columns == ("test error, %", "5 nodes", "6 nodes")
    assert table.rows == (
        ("DARTS-v1", "16.50 ± 0.71 (n = 2)", "15.00 (n = 1)"),
        ("PC-DARTS", "14.00 (n = 1)", "–"),
    )
    assert setting_table(TWO_METHODS) is None


def test_markdown_keeps_its_columns_whatever_a_method_is_called():
    text = Table(("method", "n"), (("a|b\nc", "3"),), ("A caption.",)).to_markdown()
    assert text.splitlines() == ["| method | n |", "|---|---|", "| a\\|b c | 3 |", "", "A caption."]
