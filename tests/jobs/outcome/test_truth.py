"""The truth about a cell that was found: told after the search, and never known to it."""

import shlex

import pytest

from command_line import differences, done, refused, result_of
from known_truth import CELLS, accuracies_of, write_table
from pcdarts.cell.genotype import Genotype
from pcdarts.jobs.outcome.truth import truth_lines, truth_of

SEARCH = shlex.split(
    "search --space nasbench201 --data fashion-mini --train-images 40 --image-size 8 --channels 4 --k 1 --num-cells 3 "
    "--batch-size 20 --epochs 1 --arch-frozen-epochs 0"
)
RANDOM_SEARCH = shlex.split(
    "random search --space nasbench201 --data fashion-mini --train-images 40 --image-size 8 --channels 4 --num-cells 3 "
    "--batch-size 20 --epochs 1 --candidates 2"
)
COST = ("search_cost", "truth")


@pytest.mark.parametrize("command", [SEARCH, RANDOM_SEARCH], ids=["search", "random search"])
def test_a_search_ends_with_the_truth_and_has_the_same_bits_without_a_table(tmp_path, command):
    done(tmp_path, *command, "--run", "without")
    found = result_of(tmp_path / "without")["genotype"]
    write_table(tmp_path / "table.csv", tuple(dict.fromkeys([*CELLS, found])))
    printed = done(tmp_path, *command, "--run", "with", "--table", "table.csv")
    assert differences(tmp_path / "without", tmp_path / "with") == []
    results = [result_of(tmp_path / run) for run in ("without", "with")]
    assert "truth" not in results[0]
    truth = results[1]["truth"]
    assert [{key: value for key, value in result.items() if key not in COST} for result in results][1] == {
        key: value for key, value in results[0].items() if key not in COST
    }
    assert truth["columns"]["c10_test_200"]["accuracy"] == pytest.approx(accuracies_of(found)[0], abs=5e-4)
    assert [line for line in truth_lines(truth) if line not in printed.splitlines()] == []
    assert f"table: {tmp_path / 'table.csv'}" in (tmp_path / "with" / "config.yaml").read_text()


def test_a_table_with_a_fault_is_refused_before_the_search(tmp_path):
    table = write_table(tmp_path / "table.csv")
    table.write_text(table.read_text() + table.read_text().splitlines()[-1] + "\n")
    for command in (SEARCH, RANDOM_SEARCH):
        line = refused(tmp_path, *command, "--table", "table.csv")
        assert line.startswith(f"table.csv, line {len(CELLS) + 2}: the cell ")
        assert "cannot read the table none.csv" in refused(tmp_path, *command, "--table", "none.csv")


def test_a_search_of_the_papers_space_takes_no_table(tmp_path):
    write_table(tmp_path / "table.csv")
    for job in (["search"], ["random", "search"]):
        assert refused(tmp_path, *job, "--table", "table.csv").startswith(
            "table knows the cells of NAS-Bench-201 alone, and space is darts: drop it, or use space nasbench201"
        )


def test_a_cell_that_the_table_lacks_is_told_and_costs_no_result(tmp_path):
    table = write_table(tmp_path / "table.csv", CELLS[1:])
    truth = truth_of(table, Genotype.from_text(CELLS[0]))["truth"]
    [line] = truth_lines(truth)
    assert line.startswith(f"no truth about this cell: the cell cannot be looked up in {table}: ")
    assert f"does not list {CELLS[0]}" in line
    assert truth_of(None, Genotype.from_text(CELLS[0])) == {}


def test_only_the_tests_of_the_longest_trainings_are_printed_and_all_columns_are_kept(tmp_path):
    table = write_table(tmp_path / "table.csv")
    truth = truth_of(table, Genotype.from_text(CELLS[0]))["truth"]
    assert [*truth["columns"]] == ["c10_test_200", "cifar100_test_200", "ImageNet16-120_valid_12"]
    lines = truth_lines(truth)
    assert lines[0] == f"looked up in {table}, among the {len(CELLS)} of 15,625 cells that it lists:"
    assert [line.split(",")[0] for line in lines[2:-1]] == ["CIFAR-10", "CIFAR-100"]
