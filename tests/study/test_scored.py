"""Studies whose cells are scored by a table of cells with known accuracy, instead of a training or beside it."""

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import yaml

from command_line import GENOTYPE, done, end_of, refused, snapshot
from known_cells import write_table
from pcdarts.config.study_config import StudyRunConfig
from pcdarts.errors import InputError
from pcdarts.score.yardstick import make_yardstick
from pcdarts.study.grid import check_begun, grid
from pcdarts.study.reuse import reuse_runs
from pcdarts.study.spec import StudySpec
from pcdarts.study.study_outcome import description, read_study
from pcdarts.study.study_run import check_nothing_lost, described
from small_study import DESCRIPTION, finish, study, wait_until
from small_study import GENOTYPE as OF_THREE_NODES

SEARCHES = Path("studies/small/runs/pc-darts")
STUDY = ("study", "run", "small.yaml", "--parallel", "1", "--threads", "1")
UNTRAINED = "\n".join(line for line in DESCRIPTION.splitlines() if not line.startswith("train:"))
"""The same study without its `train:` section."""


def spec_of(**fields: Any) -> StudySpec:
    """Searches, random cells and a cell that is given, none of them trained."""
    methods = {"A": {}, "drawn": {"cells": "random"}, "given": {"cells": GENOTYPE.to_text()}}
    return StudySpec(**{"methods": methods, "search": {"num_nodes": 4}, "no_train": True, "seeds": 2, **fields})


def begun(folder: Path, spec: StudySpec) -> Path:
    """The folder of a study of which nothing was done."""
    folder.mkdir(parents=True, exist_ok=True)
    description(folder).write_text(spec.to_yaml())
    return folder


def scored(folder: Path, table: Path) -> Path:
    """The folder of a study whose first search has ended."""
    begun(folder, spec_of(table=table))
    finish(grid(spec_of(), folder)[0], genotype=GENOTYPE.to_text())
    return folder


@pytest.fixture(scope="module")
def resumed(fitted_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of searches alone that was killed in its second search, and then done to its end."""
    folder = tmp_path_factory.mktemp("resumed")
    flags = ("--table", str(fitted_table), "--no-train", "--seeds", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(fitted_table.with_name("cache")))
        job = study(folder, *flags)
        wait_until(lambda: (folder / SEARCHES / "seed-1/search/metrics.jsonl").exists())
        job.kill()
        end_of(job)
        before = snapshot(folder / SEARCHES / "seed-0")
        (folder / "printed.txt").write_text(done(folder, *STUDY, *flags))
        assert snapshot(folder / SEARCHES / "seed-0") == before
        yield folder


def test_a_study_without_training_that_is_killed_goes_on_to_scores_of_every_epoch(resumed):
    printed = (resumed / "printed.txt").read_text()
    assert "studies/small: 2 cells of the grid, 1 done" in printed
    assert "[2/2] PC-DARTS, seed 1: accuracy " in printed
    assert not list((resumed / "studies").rglob("train"))
    outcome = read_study(resumed / "studies/small")
    assert [cell.state for cell in outcome.cells] == ["done", "done"]
    for cell in outcome.cells:
        found = outcome.run_scores(cell)
        assert [epoch for epoch, _ in found.epochs] == [1, 2, 3, 4]
        assert found.final == cell.score == found.epochs[-1][1]
    (row,) = outcome.rows
    assert f"{fmean(row.percentiles):.1f} ± {stdev(row.percentiles):.1f}" in printed


def test_what_was_scored_can_be_trained_later_and_goes_back_to_scores_alone(resumed, known_table, tmp_path):
    search = tmp_path / SEARCHES / "seed-0/search"
    shutil.copytree(resumed / SEARCHES / "seed-0/search", search)
    one_seed = StudySpec.from_file(description(resumed / "studies/small")).model_copy(update={"seeds": (0,)})
    description(tmp_path / "studies/small").write_text(one_seed.to_yaml())
    (tmp_path / "small.yaml").write_text(DESCRIPTION)
    before = snapshot(search)
    told = done(tmp_path, *STUDY, "--table", str(known_table))
    (line,) = [line for line in told.splitlines() if line.startswith("[1/1] PC-DARTS, seed 0: ")]
    assert "% test error, accuracy " in line
    assert snapshot(search) == before
    told = done(tmp_path, *STUDY, "--table", str(known_table), "--no-train")
    assert "1 cell of the grid, 1 done" in told
    assert "top-1 test error" in told  # nothing that was done is hidden


def test_a_table_of_scores_has_mean_and_spread_over_seeds_and_a_given_cell_once(known_table, tmp_path):
    folder = scored(tmp_path / "a", known_table)
    searched, drawn, given = read_study(folder).rows
    assert len(searched.scores) == 1
    assert len(drawn.scores) == 2
    assert given.scores == searched.scores == make_yardstick(known_table).scores([GENOTYPE])
    told = done(tmp_path, "study", "status", "a").splitlines()
    rows = {line.split()[0]: line for line in told if line}
    assert f"{fmean(drawn.accuracies):.2f} ± {stdev(drawn.accuracies):.2f} %" in rows["drawn"]
    assert f"{fmean(drawn.percentiles):.1f} ± {stdev(drawn.percentiles):.1f}" in rows["drawn"]
    assert rows["A"].split()[1:4] == ["1/2", f"{searched.accuracies[0]:.2f}", "%"]
    assert "±" not in rows["given"]
    assert "test error" not in rows["method"]
    assert make_yardstick(known_table).words()[-1] in told


def test_the_same_is_told_as_json(known_table, tmp_path):
    (told,) = json.loads(done(tmp_path, "study", "status", str(scored(tmp_path / "a", known_table)), "--json"))
    drawn = read_study(tmp_path / "a").rows[1]
    assert (told["table"], told["trains"], told["remarks"]) == (str(known_table), False, [])
    assert told["rows"][1]["percentile"] == {
        "mean": fmean(drawn.percentiles),
        "std": stdev(drawn.percentiles),
        "n": 2,
    }
    assert [cell["state"] for cell in told["cells"]] == ["done", "waiting", "done", "done", "done", "done"]
    assert told["cells"][2]["score"]["percentile"] == drawn.percentiles[0]
    assert told["cells"][1]["score"] is None
    assert {cell["message"] for cell in told["cells"]} == {None}  # none has failed


def test_a_cell_that_the_table_lists_has_its_own_accuracy(known_table, tmp_path):
    listed = make_yardstick(known_table).table.fitted[0]
    methods = {"given": {"cells": listed.genotype.to_text()}}
    folder = begun(tmp_path / "a", spec_of(methods=methods, table=known_table))
    assert read_study(folder).rows[0].accuracies == [listed.accuracy]
    assert f"{listed.accuracy:.2f} % listed" in done(tmp_path, "study", "status", "a")


def test_a_table_that_is_gone_is_told_and_all_else_still_works(known_table, tmp_path):
    folder = scored(tmp_path / "a", known_table)
    described = description(folder).read_text()
    description(folder).write_text(described.replace(str(known_table), str(tmp_path / "gone.csv")))
    told = done(tmp_path, "study", "status", "a")
    assert f"no cell is scored: {tmp_path}/gone.csv is not there: put it back, or say with --table" in told
    assert "6 cells: 5 done, 1 waiting" in told
    outcome = read_study(folder)
    assert (outcome.table, outcome.yardstick) == (tmp_path / "gone.csv", None)
    assert outcome.run_scores(outcome.cells[0]) is None


def test_without_its_library_a_study_is_refused_in_a_line_and_its_folder_still_read(known_table, tmp_path, monkeypatch):
    scored(tmp_path / "a", known_table)
    (tmp_path / "small.yaml").write_text(UNTRAINED)
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where nothing is kept that would do without it
    said = "scoring cells needs sklearn: pip install 'pcdarts[score]'"
    assert refused(tmp_path, "study", "run", "small.yaml", "--table", str(known_table)) == said
    assert f"no cell is scored: {said}" in done(tmp_path, "study", "status", "a")


def test_cells_of_another_space_than_the_tables_are_named_and_have_no_score(known_table, tmp_path):
    folder = begun(tmp_path / "a", spec_of(table=known_table))
    finish(grid(spec_of(), folder)[0], genotype=OF_THREE_NODES)
    outcome = read_study(folder)
    assert outcome.rows[0].scores == []
    assert outcome.remarks == (
        f"without a score: 1 cell; A, seed 0: it has 3 nodes, but the cells of {known_table} have 4",
    )
    assert len(outcome.rows[1].scores) == 2


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        (UNTRAINED, (), "has no train: section, and no table is there to score what it finds: give --table FILE"),
        (UNTRAINED, (), ", or --train to train it with the usual settings"),
        (DESCRIPTION, ("--no-train",), "is to train nothing, and no table is there"),
        (DESCRIPTION, ("--no-train",), ", or drop --no-train"),
        (DESCRIPTION + "no_train: true", (), "is to train nothing, and no table is there"),
        (DESCRIPTION, ("--kind", "short"), "has no table that kind could be about: give --table FILE"),
        (DESCRIPTION + "column: acc", (), "has no table that column could be about: give --table FILE"),
        (UNTRAINED, ("--table", "none.csv"), "none.csv: No such file or directory"),
        (UNTRAINED + "\ntable: none.csv", (), "none.csv: No such file or directory"),
        (DESCRIPTION, ("--table", "few.csv"), "few.csv has 20 different cells, but a regressor needs at least 50"),
        (UNTRAINED + "\ntable: 3", (), "table is 3, but it must be a path"),
        (
            UNTRAINED.replace("num_nodes: 4", "num_nodes: 5"),
            ("--table", "KNOWN"),
            "cannot score PC-DARTS, seed 0: it has 5 nodes, but the cells of",
        ),
        (
            UNTRAINED.replace("num_nodes: 4", "num_nodes: 5") + "\n  DARTS: {}",
            ("--table", "KNOWN"),
            "cannot score 2 rows of this study, the first of them PC-DARTS, seed 0: it has 5 nodes",
        ),
        (
            UNTRAINED + "\n  given: {cells: darts_v1}",
            ("--table", "KNOWN"),
            "cannot score given, seed 0: it has 6 nodes, but the cells of",
        ),
    ],
)
def test_a_study_that_could_not_be_scored_is_refused_and_leaves_nothing(text, flags, said, known_table, tmp_path):
    (tmp_path / "small.yaml").write_text(text)
    write_table(tmp_path / "few.csv", cells=20, nodes=4)
    flags = [str(known_table) if flag == "KNOWN" else flag for flag in flags]
    assert said in refused(tmp_path, "study", "run", "small.yaml", *flags)
    assert not (tmp_path / "studies").exists()


GIVEN = "methods: {given: {cells: random}}\nsearch: {num_nodes: 4}\nseeds: 2\n"


def test_cells_that_need_no_search_are_done_without_a_run(known_table, tmp_path):
    (tmp_path / "own.yaml").write_text(GIVEN + f"table: {os.path.relpath(known_table, tmp_path)}")
    told = done(tmp_path, "study", "run", "own.yaml")
    assert "2 cells of the grid, 2 done" in told
    assert "starting workers" not in told
    kept = yaml.safe_load((tmp_path / "studies/own/study.yaml").read_text())
    assert (kept["table"], kept["no_train"]) == (str(known_table), True)
    assert not (tmp_path / "studies/own/runs").exists()


@pytest.mark.parametrize("text", [GIVEN, GIVEN + "no_train: true\ntrain: {}\n"])
def test_the_flag_trains_whatever_the_file_says(text, tmp_path):
    (tmp_path / "own.yaml").write_text(text)
    flags = StudyRunConfig(study=str(tmp_path / "own.yaml"), train=True)
    name, spec = described(flags)
    assert (name, spec.no_train) == ("own", False)
    assert all(cell.trains for cell in grid(spec, tmp_path))


def test_the_flag_names_another_table_than_the_file(known_table, tmp_path):
    (tmp_path / "own.yaml").write_text(GIVEN + "table: gone.csv")
    other = tmp_path / "other.csv.gz"
    other.write_bytes(gzip.compress(known_table.read_bytes()))
    told = done(tmp_path, "study", "run", "own.yaml", "--table", "other.csv.gz")
    assert f"60 rows of {other}" in told
    assert yaml.safe_load((tmp_path / "studies/own/study.yaml").read_text())["table"] == str(other)


def test_column_and_kind_of_a_table_are_named_in_the_file_or_by_flags_and_kept(known_table, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    header, *lines = known_table.read_text().splitlines()
    both = [f"{header},val_acc,kind", *(f"{line},50,short" for line in lines)]
    (tmp_path / "two.csv").write_text("\n".join(both))
    (tmp_path / "own.yaml").write_text(GIVEN + "table: two.csv")
    run, report = ("study", "run", "own.yaml"), ("report", "studies/own")
    assert "name it with --column (in a study's file: column)" in refused(tmp_path, *run)
    (tmp_path / "own.yaml").write_text(GIVEN + "table: two.csv\ncolumn: val_acc")
    assert "all cells have the accuracy 50 %" in refused(tmp_path, *run)
    assert "has no rows of kind shrt" in refused(tmp_path, *run, "--kind", "shrt")
    done(tmp_path, *run, "--column", "accuracy", "--kind", "short")
    kept = yaml.safe_load((tmp_path / "studies/own/study.yaml").read_text())
    assert (kept["column"], kept["kind"]) == ("accuracy", "short")
    told = done(tmp_path, "study", "status")
    assert f"scored by {tmp_path}/two.csv, rows of kind short" in told
    assert "are its column accuracy" in done(tmp_path, *report)
    assert "all cells have the accuracy 50 %" in refused(tmp_path, *report, "--table", "two.csv", "--column", "val_acc")
    assert "kind is about a table, and none is given: name it with --table" in refused(
        tmp_path, *report, "--kind", "short"
    )


def test_with_a_table_and_a_section_for_it_a_study_trains_too_also_when_it_is_read_back(known_table, tmp_path):
    described = spec_of(table=known_table, no_train=False).to_yaml()
    (tmp_path / "study.yaml").write_text(described)
    spec = StudySpec.from_file(tmp_path / "study.yaml")
    assert spec.has_train_section
    assert [len(cell.steps()) for cell in grid(spec, tmp_path)] == [2, 1, 1, 2, 1, 1]


def test_trainings_that_are_there_are_held_against_the_section_that_described_them(known_table, tmp_path):
    trained = spec_of(no_train=False, train={"epochs": 7})
    for cell in grid(trained, tmp_path):
        finish(cell)
    check_begun(grid(spec_of(train={"epochs": 7}), tmp_path))
    with pytest.raises(
        InputError, match=r"was begun with epochs 7, not 6: .* its train: section as it was, beside --no"
    ):
        check_begun(grid(spec_of(), tmp_path))


def test_a_finished_search_never_drops_out_of_a_study_without_training(tmp_path):
    folder = begun(tmp_path / "a", spec_of())
    cells = grid(spec_of(), folder)
    finish(cells[3])
    check_nothing_lost(folder, cells)
    with pytest.raises(InputError, match="has finished A, seed 1, which would no longer belong to the study"):
        check_nothing_lost(folder, grid(spec_of(seeds=1), folder))


@pytest.mark.parametrize("trained", [True, False])
def test_searches_are_taken_over_alone_where_nothing_is_trained(trained, tmp_path):
    old = begun(tmp_path / "old", spec_of(no_train=not trained))
    finish(grid(spec_of(no_train=not trained), old)[0])
    new = grid(spec_of(), tmp_path / "new")
    assert len(list(reuse_runs(new, [str(old)]))) == 1
    assert [run.name for run in new[0].folder.iterdir()] == ["search"]
    assert list(reuse_runs(grid(spec_of(no_train=False), tmp_path / "trained"), [str(old)])) == (
        [f"A, seed 0: copied from {old / 'runs/a/seed-0'}"] if trained else []
    )


def test_a_damaged_result_of_a_search_is_no_score(known_table, tmp_path):
    folder = scored(tmp_path / "a", known_table)
    grid(spec_of(), folder)[0].search.result.write_text('{"geno')
    assert "result.json is damaged: restore it, or remove" in done(tmp_path, "study", "status", "a")
    assert read_study(folder).rows[0].scores == []
