"""`pcdarts score`: cells by a table, as a user types it."""

import gzip
import json
import lzma
import shutil
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from command_line import GENOTYPE, done, refused, result_of, run_in
from known_cells import accuracy_of
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import published
from pcdarts.score.features import features
from pcdarts.score.yardstick import make_yardstick

KNOWN = random_genotype(CellSpace(4), 10_000)
"""The first cell of the table."""


def rows(printed: str) -> dict[str, str]:
    """The line of each cell after its name."""
    lines = printed.split("\n\n")[1].splitlines()
    assert lines[0].split() == ["cell", "accuracy", "95", "%", "interval", "percentile"]
    return {
        line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines[1:] if not line.startswith("percentile")
    }


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_cells_are_listed_or_predicted_whatever_the_table_is_packed_in(known_table, tmp_path, suffix):
    compress = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
    (tmp_path / f"t{suffix}").write_bytes(compress(known_table.read_bytes()))
    printed = done(tmp_path, "score", "random:1:4", "random:10000:4", "--table", f"t{suffix}")
    yardstick = make_yardstick(known_table)
    predicted, known = yardstick.scores([random_genotype(CellSpace(4), 1), KNOWN])
    low, high = predicted.interval
    assert {name: " ".join(line.split()) for name, line in rows(printed).items()} == {
        "random:1:4": f"{predicted.accuracy:.2f} % predicted {low:.2f} to {high:.2f} % {predicted.percentile:.1f}",
        "random:10000:4": f"{accuracy_of(KNOWN):.2f} % listed {known.percentile:.1f}",
    }
    lines = printed.splitlines()
    assert lines[0].startswith(f"60 rows of t{suffix}: accuracies, from ")
    assert lines[1].startswith(
        f"five-fold cross-validation on 60 cells: rank correlation {yardstick.quality.rank_correlation:.3f}"
    )
    assert lines[-1].startswith("percentile: how many of 1,000 random cells have a lower predicted accuracy, in %")


def test_json_stands_alone(known_table, tmp_path):
    (tmp_path / "cell.log").write_text(f"epoch 1 {GENOTYPE.to_text()}\nepoch 2 {KNOWN.to_text()}\n")
    found = json.loads(done(tmp_path, "score", "cell.log", "random:1:4", "--table", str(known_table), "--json"))
    yardstick = make_yardstick(known_table)
    known, predicted = yardstick.scores([KNOWN, random_genotype(CellSpace(4), 1)])
    first, second = found["cells"]
    assert (first["name"], second["name"]) == ("cell.log", "random:1:4")
    assert (first["accuracy"], first["interval"], first["listed"]) == (known.accuracy, None, True)
    assert (second["accuracy"], second["interval"]) == (predicted.accuracy, list(predicted.interval))
    assert (second["percentile"], second["listed"], second["elsewhere"]) == (predicted.percentile, False, None)
    assert Genotype.from_text(first["genotype"]) == KNOWN
    assert found["table"]["checksum"] == yardstick.table.checksum
    assert found["regressor"]["rank_correlation"] == yardstick.quality.rank_correlation
    assert found["random_cells"] == 1000


def test_a_search_is_scored_by_what_it_found_and_by_any_of_its_epochs(known_table, finished_search):
    folder = finished_search.parents[1]
    run = str(finished_search.relative_to(folder))
    printed = done(folder, "score", "latest", run, f"{run}:1", f"{run}:5", "--table", str(known_table))
    lines = rows(printed)
    [score] = make_yardstick(known_table).scores([Genotype.from_text(result_of(finished_search)["genotype"])])
    assert lines["latest"] == lines[run] == lines[f"{run}:5"]
    assert lines[run].split()[0] == f"{score.accuracy:.2f}"
    assert lines[f"{run}:1"].split()[0] != ""


def test_an_unfinished_search_is_refused_with_what_to_name(known_table, killed_search, tmp_path):
    shutil.copytree(killed_search, tmp_path / "run")
    assert refused(tmp_path, "score", "run", "--table", str(known_table)) == (
        "run has no genotype.json yet: finish it with --resume run first, or take what it would have found in epoch 3: "
        "run:3"
    )
    assert list(rows(done(tmp_path, "score", "run:3", "--table", str(known_table)))) == ["run:3"]


@pytest.mark.parametrize("within", ["seed-0", "runs/method/seed-0/search", "runs/method/setting/seed-1/search"])
def test_of_a_folder_of_runs_one_is_named(known_table, finished_search, tmp_path, within):
    shutil.copytree(finished_search, tmp_path / "study" / within)
    message = f"study is no run, but runs are in it: name those that are meant, such as study/{within}"
    assert refused(tmp_path, "score", "study", "--table", str(known_table)) == message
    assert refused(tmp_path, "show", "study") == message


def test_flags_may_stand_anywhere_among_the_cells(known_table, tmp_path):
    table = ("--table", str(known_table))
    one, two, three = cells = ["random:1:4", "random:2:4", "random:3:4"]
    printed = done(tmp_path, "score", *cells, *table)
    column = ("--column", "accuracy")
    for order in [
        (*table, *cells),
        (one, *table, two, three),
        (*table, one, "--no-json", two, three),
        (*column, one, *table, two, "--no-json", three),
        (one, "--no-json", two, *table, *column, three),
    ]:
        assert done(tmp_path, "score", *order) == printed
    assert "a switch takes no value" in refused(tmp_path, "score", one, *table, "--json", "true")


def test_the_rows_of_another_kind_are_looked_up_and_said(known_table, tmp_path):
    header, *lines = known_table.read_text().splitlines()
    other = random_genotype(CellSpace(4), 1).to_text()
    table = [f"{header},kind", *(f"{line},short" for line in lines), f'"{other}",97.1,whole']
    (tmp_path / "kinds.csv").write_text("\n".join(table))
    printed = done(tmp_path, "score", "random:1:4", "--table", "kinds.csv").splitlines()
    assert printed[-1] == "random:1:4: listed with 97.10 % among the rows of kind whole, which may be another scale"
    assert (
        "fitted only on the 60 rows of kind short: the others (1 of kind whole) may be on another scale" in printed[2]
    )
    found = json.loads(done(tmp_path, "score", "random:1:4", "--table", "kinds.csv", "--kind", "short", "--json"))
    assert found["table"]["kind"] == "short"
    assert found["cells"][0]["elsewhere"] == {"kind": "whole", "accuracy": 97.1}
    assert "1 different cell of kind whole" in refused(
        tmp_path, "score", "random:1:4", "--table", "kinds.csv", "--kind", "whole"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--table {table}", "genotypes is missing"),
        ("random:1:4", "table is not given: name a file of cells with known accuracy with --table"),
        ("random:1:4 --table nowhere.csv", "cannot read the table nowhere.csv: No such file or directory"),
        ("random:1:4 --table {table} --column loss", "has no column loss besides the genotypes: use one of accuracy"),
        (
            "random:1:4 random:1:6 --table {table}",
            "random:1:6 cannot be scored by {table}: it has 6 nodes, but the cells",
        ),
        ("nasnet_a --table {table}", "sep_conv_7x7 is an operation that no search of this space can choose"),
        ("random:1:4 --table {table} --table2 x", "there is no flag --table2"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(known_table, tmp_path, arguments, said):
    words = [word.format(table=known_table) for word in arguments.split()]
    assert said.format(table=known_table) in refused(tmp_path, "score", *words)


def test_a_cell_of_another_space_is_refused_before_a_regressor_is_fitted(known_table, tmp_path):
    rows = known_table.read_text().splitlines()
    (tmp_path / "new.csv").write_text("\n".join(rows[:-1]) + "\n")
    ended = run_in(tmp_path, "score", "random:1:4", "random:1:6", "--table", "new.csv")
    assert (ended.code, ended.out) == (2, "")


REAL = Path(__file__).parents[3] / "shared" / "data" / "darts_cells.csv.xz"


@pytest.mark.skipif(not REAL.is_file(), reason="the table of real cells is not beside this checkout")
def test_published_cells_stand_high_among_random_ones_by_the_real_table():
    """With the regressor kept in the user's own cache: it takes a quarter of a minute to fit."""
    yardstick = make_yardstick(REAL)
    assert yardstick.table.kind == "surrogate"
    assert yardstick.quality.rank_correlation > 0.9
    names = ("pc_darts_cifar10", "pc_darts_imagenet", "p_darts", "darts_v1", "darts_v2")
    percentiles = [score.percentile for score in yardstick.scores([published(name) for name in names])]
    assert min(percentiles[:3]) > 99
    assert min(percentiles[3:]) > 94
    trained = [cell for cell in yardstick.table.others if cell.kind == "trained"]
    predicted = yardstick.regressor.predict(features([cell.genotype for cell in trained], yardstick.costs))
    assert spearmanr(predicted, [cell.accuracy for cell in trained]).statistic > 0.6
