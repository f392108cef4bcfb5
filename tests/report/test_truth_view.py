"""`pcdarts report` with a table of NAS-Bench-201: cells are looked up, epoch by epoch, and set beside all others."""

import json
import re
from statistics import fmean
from xml.etree import ElementTree

import pytest
import yaml

from command_line import done, refused
from known_truth import CELLS, accuracies_of, leave_search, write_table
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.zoo import published
from pcdarts.config.configs import SearchConfig
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.jobs.outcome.truth import truth_of
from pcdarts.study.grid import grid
from pcdarts.study.spec import StudySpec
from pcdarts.study.study_outcome import read_study
from pcdarts.truth.noise import noise_of
from pcdarts.truth.published import PUBLISHED
from pcdarts.truth.table import read_truth
from small_study import finish

BEST_FIRST = sorted(CELLS, key=lambda cell: -accuracies_of(cell)[0])


def row_of(printed: str, *beginning: str) -> list[str]:
    """The cells of the one row of a table that begins so."""
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    [row] = [row for row in rows if row[: len(beginning)] == [*beginning]]
    return row


def test_a_search_is_looked_up_with_rank_regret_and_the_cell_of_every_epoch(tmp_path):
    write_table(tmp_path / "table.csv")
    leave_search(tmp_path / "one", [BEST_FIRST[-1], BEST_FIRST[9], BEST_FIRST[2], BEST_FIRST[2]])
    printed = done(tmp_path, "report", "one", "--table", "table.csv", "--out", "out")
    page = (tmp_path / "out" / "report.html").read_text()
    accuracy, best = accuracies_of(BEST_FIRST[2])[0], accuracies_of(BEST_FIRST[0])[0]
    percentile = 100 * (len(CELLS) - 2.5) / len(CELLS)
    row = row_of(printed, "one", "CIFAR-10, test, 200 epochs")
    assert row[2:6] == [f"{accuracy:.2f}", "3", f"{best - accuracy:.2f}", f"{percentile:.1f}"]
    assert row[-1] == "epoch 3 of 4"
    found = [100 * (len(CELLS) - rank + 0.5) / len(CELLS) for rank in (len(CELLS), 10, 3, 3)]
    assert row_of(printed, "one", f"{found[0]:.0f}") == ["one", *(f"{each:.0f}" for each in found)]
    assert f"{len(CELLS)} of the 15,625 cells of NAS-Bench-201" in printed
    assert "Ranks, regrets and percentiles are among the cells that it lists." in printed
    assert "CIFAR-10, test, 200 epochs: all cells of the table by rank, and those found" in page
    assert "CIFAR-100, test, 200 epochs: the cell that each epoch would give" in page
    assert f"one rank 3, {accuracy:.2f} %" in page
    assert f"the best cell: {best:.2f}" in page
    picture = ElementTree.parse(tmp_path / "out" / "ranks.svg").getroot()
    assert picture.tag.endswith("svg")
    assert f"one rank 3, {accuracy:.2f} %" in "".join(picture.itertext())


def test_what_a_search_has_looked_up_itself_is_told_without_a_table(tmp_path):
    run = leave_search(tmp_path / "one", [CELLS[0]])
    truth = truth_of(write_table(tmp_path / "table.csv"), Genotype.from_text(CELLS[0]))
    (run / "result.json").write_text(json.dumps({"genotype": CELLS[0], **truth}))
    rank = 1 + BEST_FIRST.index(CELLS[0])
    said = f"one has looked its cell up: CIFAR-10, test, 200 epochs: {accuracies_of(CELLS[0])[0]:.2f} % (rank {rank});"
    assert said in done(tmp_path, "report", "one")
    (run / "result.json").write_text(json.dumps({"genotype": CELLS[0], "truth": {"columns": {"acc": 7}}}))
    assert "looked" not in done(tmp_path, "report", "one")


def test_epochs_whose_cell_the_table_lacks_are_left_out_and_told(tmp_path):
    write_table(tmp_path / "table.csv", CELLS[2:])
    leave_search(tmp_path / "one", [CELLS[0], CELLS[1], CELLS[5]])
    printed = done(tmp_path, "report", "one", "--table", "table.csv", "--out", "out")
    assert "One: the table does not list the cells of 2 epochs, which are left out." in printed
    leave_search(tmp_path / "two", [CELLS[5], CELLS[0]])
    assert f"does not list {CELLS[0]}" in refused(tmp_path, "report", "two", "--table", "table.csv", "--out", "out")


def test_a_search_of_the_papers_space_is_not_looked_up(tmp_path):
    write_table(tmp_path / "table.csv")
    run = leave_search(tmp_path / "one", [CELLS[0]])
    (run / "config.yaml").write_text(SearchConfig(epochs=1, arch_frozen_epochs=0).to_yaml())
    for path in (run / "genotype.json", run / "genotypes" / "epoch_001.json"):
        path.write_text(published("darts_v2").to_json())
    line = refused(tmp_path, "report", "one", "--table", "table.csv", "--out", "out")
    assert line.startswith("table.csv scores no cell here; not scored: one (it is no cell of NAS-Bench-201")
    line = refused(tmp_path, "report", "one", "--table", "table.csv", "--kind", "trained", "--out", "out")
    assert line == "table.csv is a table of NAS-Bench-201, which has no kinds of rows: leave kind out"


@pytest.fixture
def study(tmp_path):
    """Two methods with three seeds each that have found cells, and random ones."""
    table = write_table(tmp_path / "table.csv")
    search = {"space": "nasbench201", "num_cells": 3, "epochs": 20}
    methods = {"DARTS": {}, "good": {}, "random": {"cells": "random"}, "given": {"cells": BEST_FIRST[0]}}
    spec = StudySpec(methods=methods, search=search, no_train=True, seeds=3, table=table)
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.yaml").write_text(spec.to_yaml())
    cells = grid(spec, folder)
    found = {"DARTS": BEST_FIRST[-3:], "good": [BEST_FIRST[1], BEST_FIRST[2], BEST_FIRST[1]]}
    for cell in cells:
        if cell.method in found:
            finish(cell, genotype=found[cell.method][cell.seed])
    drawn = [find_genotype(cell.train_config.genotype).to_text() for cell in cells if cell.method == "random"]
    write_table(table, [*dict.fromkeys([*CELLS, *drawn])])
    return folder


def test_a_study_has_a_table_for_each_data_set_with_intervals_regret_ranks_and_published_rows(study):
    printed = done(study.parent, "report", "study")
    table = read_truth(study.parent / "table.csv")
    best = table.ascending[-1, 0]
    found = [accuracies_of(cell) for cell in (BEST_FIRST[1], BEST_FIRST[2], BEST_FIRST[1])]
    accuracies = [of_cifar10 for of_cifar10, _, _ in found]
    overview, of_cifar10 = re.split(r"^\| (?:method|CIFAR-10.*?) \|", printed, flags=re.M)[1:3]
    row = row_of(overview, "good", "–", "3")
    means = [fmean(of_column) for of_column in zip(*found, strict=True)]
    assert [text.split(" ± ")[0] for text in row[3:5]] == [f"{mean:.2f}" for mean in means[:2]]
    assert row_of(overview, "given")[2] == "given"
    pc_darts = row_of(overview, "PC-DARTS", "published")
    assert pc_darts[3:5] == ["93.41 ± 0.30", "67.48 ± 0.89"]
    assert pc_darts[-1] == "README of DrNAS"
    row = row_of(of_cifar10, "good", "3", f"{fmean(accuracies):.2f}")
    assert float(row[4]) == pytest.approx(best - fmean(accuracies), abs=0.006)
    ranks = [1 + int((table.accuracies[:, 0] > accuracy + 1e-3).sum()) for accuracy in accuracies]
    assert row[5] == f"{sorted(ranks)[1]} ({min(ranks)} to {max(ranks)})"
    assert row_of(of_cifar10, "given")[4] == f"{best - accuracies_of(BEST_FIRST[0])[0]:.2f}"
    assert "difference to random" in of_cifar10
    said = r"^CIFAR-10, of 2 differences to random( are shown: (better|worse): | none is shown)"
    assert re.search(said, printed, re.MULTILINE)
    page = (study / "report.html").read_text()
    assert page.count("all cells of the table by rank, and those found</figcaption>") == 2
    assert "×2" in page  # two seeds have one cell


def test_the_status_of_a_study_has_the_mean_of_every_data_set(study):
    printed = done(study.parent, "study", "status", "study")
    heading = next(line for line in printed.splitlines() if line.startswith("method"))
    assert heading.split() == ["method", "done", "CIFAR-10", "CIFAR-100", "percentile", "search"]
    assert f"{accuracies_of(BEST_FIRST[0])[1]:.2f} %" in printed
    assert "a random cell" in printed
    assert '"regressor": null' in done(study.parent, "study", "status", "study", "--json")


def test_a_study_scores_its_cells_by_the_first_column(study):
    outcome = read_study(study)
    assert [row.accuracies for row in outcome.rows if row.source == BEST_FIRST[0]] == [
        [pytest.approx(accuracies_of(BEST_FIRST[0])[0], abs=5e-4)]
    ]


def test_a_study_of_another_space_than_its_tables_is_refused(tmp_path):
    table = write_table(tmp_path / "table.csv")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"methods": {"A": {}}}))
    line = refused(tmp_path, "study", "run", "study.yaml", "--table", "table.csv")
    assert f"A, seed 0: it searches cells of the DARTS papers, but {table} has those of NAS-Bench-201" in line


def test_the_noise_is_that_of_cells_of_one_network(tmp_path):
    one = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    same = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
    path = tmp_path / "table.csv"
    path.write_text(f"arch,acc\n{one},90\n{same},91\n{CELLS[0]},50\n{CELLS[1]},60\n")
    table = read_truth(path)
    noise = noise_of(table, table.columns[0])
    assert (noise.networks, noise.median_spread) == (1, 1)
    assert noise.std == pytest.approx(0.5**0.5)


def test_published_figures_stand_beside_tests_of_long_trainings_only(tmp_path):
    [of_test, of_other] = read_truth(write_table(tmp_path / "table.csv")).columns[:3:2]
    pc_darts = next(published for published in PUBLISHED if published.method == "PC-DARTS")
    assert pc_darts.of(of_test) == (93.41, 0.30)
    assert pc_darts.of(of_other) is None
