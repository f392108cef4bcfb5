"""The cells of a grid on disk: which runs belong to them, which may be taken over, and what has come out so far."""

from pathlib import Path
from typing import Any

import pytest

from command_line import GENOTYPE
from pcdarts.cell.genotype import Genotype
from pcdarts.config.study_config import StudyRunConfig
from pcdarts.errors import InputError
from pcdarts.jobs.train import pinned
from pcdarts.score.yardstick import make_yardstick
from pcdarts.study.grid import Cell, check_begun, grid
from pcdarts.study.reuse import reuse_runs
from pcdarts.study.spec import StudySpec
from pcdarts.study.study_outcome import description, read_study
from pcdarts.study.study_run import check_nothing_lost, described
from pcdarts.study.study_status import lines, seconds_left
from pcdarts.study.worker import gpu_of
from small_study import finish


def spec_of(**fields: Any) -> StudySpec:
    return StudySpec(**{"methods": {"A": {}}, "seeds": 1, **fields})


def begun(folder: Path, spec: StudySpec) -> list[Cell]:
    """The cells of a study whose description is written."""
    folder.mkdir(parents=True, exist_ok=True)
    description(folder).write_text(spec.to_yaml())
    return grid(spec, folder)


def test_cells_are_taken_over_from_a_study_of_the_same_settings(tmp_path):
    (old,) = begun(tmp_path / "old", spec_of())
    finish(old)
    (new,) = grid(spec_of(), tmp_path / "new")
    new.folder.mkdir(parents=True)  # as an interrupted study leaves it
    (told,) = reuse_runs([new], [str(tmp_path / "old")])
    assert told == f"A, seed 0: copied from {old.folder}"
    assert new.search is not None
    assert new.search.is_finished
    assert new.train.is_finished


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        ({"search": {"k": 2}}, {}),
        ({"search": {"data": "folder", "data_root": "/a"}}, {"search": {"data": "folder", "data_root": "/b"}}),
        ({"search": {"max_skips": 2}}, {}),
        ({"train": {"epochs": 7}}, {}),
        ({"methods": {"A": {"cells": "random"}}}, {}),
    ],
)
def test_cells_of_other_settings_data_or_budgets_are_not(mine, others, tmp_path):
    (old,) = begun(tmp_path / "old", spec_of(**others))
    finish(old)
    new = grid(spec_of(**mine), tmp_path / "new")
    assert list(reuse_runs(new, [str(tmp_path / "old")])) == []
    assert not new[0].folder.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"search": {"k": 2}}, "was begun with k 4, not 2"),
        ({"search": {"data": "folder", "data_root": "/b"}}, "was begun with data fashion-mini, not folder"),
        ({"search": {"max_skips": 2}}, "was begun with max_skips None, not 2"),
        ({"train": {"epochs": 7}}, "was begun with epochs 6, not 7"),
    ],
)
def test_runs_that_were_begun_otherwise_are_refused(changed, said, tmp_path):
    (cell,) = begun(tmp_path, spec_of())
    finish(cell)
    check_begun([cell])
    with pytest.raises(InputError, match=said):
        check_begun(grid(spec_of(**changed), tmp_path))


def test_a_published_cell_is_the_one_that_its_training_keeps_printed(tmp_path):
    (cell,) = begun(tmp_path, spec_of(methods={"A": {"cells": "darts_v1"}}))
    finish(cell)
    kept = pinned(cell.train_config.model_copy(update={"genotype": "darts_v1"}))
    cell.train.config.write_text(kept.to_yaml())
    check_begun([cell])


def test_where_and_how_fast_may_change_while_a_study_goes_on(tmp_path):
    (cell,) = begun(tmp_path, spec_of())
    finish(cell)
    changed = grid(spec_of(search={"threads": 3, "kernels": "plain"}, train={"device": "cpu"}), tmp_path)
    check_begun(changed)
    assert changed[0].search_config != cell.search_config


def test_a_search_counts_the_network_that_its_study_trains(tmp_path):
    (usual,) = grid(spec_of(), tmp_path)
    (other,) = grid(spec_of(train={"channels": 4, "num_cells": 6}), tmp_path)
    (named,) = grid(spec_of(train={"channels": 4}, search={"network_channels": 12}), tmp_path)
    sizes = [(c.search_config.network_channels, c.search_config.network_cells) for c in (usual, other, named)]
    assert sizes == [(None, None), (4, 6), (12, None)]


def test_runs_from_before_searches_knew_their_network_go_on_where_no_budget_needs_it(tmp_path):
    (cell,) = begun(tmp_path, spec_of(train={"channels": 4}))
    finish(cell)
    lines = cell.search.config.read_text().splitlines(keepends=True)
    cell.search.config.write_text("".join(line for line in lines if not line.startswith("network_")))
    check_begun([cell])
    with pytest.raises(InputError, match="was begun with"):
        check_begun(grid(spec_of(train={"channels": 4}, search={"max_params": "1M"}), tmp_path))


def test_a_random_cell_is_not_taken_for_what_a_search_has_found(tmp_path):
    (cell,) = begun(tmp_path, spec_of(methods={"A": {"cells": "random"}}))
    finish(cell)
    with pytest.raises(InputError, match="was trained without the search that now belongs to it"):
        check_begun(grid(spec_of(), tmp_path))


def test_a_finished_cell_never_drops_out_of_its_study(tmp_path):
    cells = begun(tmp_path, spec_of(seeds=2))
    finish(cells[1])
    check_nothing_lost(tmp_path, grid(spec_of(seeds=3), tmp_path))
    with pytest.raises(InputError, match="has finished A, seed 1, which would no longer belong to the study"):
        check_nothing_lost(tmp_path, grid(spec_of(seeds=1), tmp_path))


def test_the_recipe_of_a_study_does_not_depend_on_its_data(tmp_path):
    (cell, *_) = grid(spec_of(search={"data": "folder", "data_root": "/a"}), tmp_path)
    assert (cell.search_config.recipe, cell.search_config.validation_fraction) == ("fashion-mini", 0)


def test_on_other_data_a_study_of_the_paper_is_not_at_its_scale():
    name, spec = described(StudyRunConfig(study="table3", data="fashion-mini"))
    assert (name, spec.scale) == ("table3-paper", "own")
    assert spec.note.endswith("All its runs use --data fashion-mini.")
    assert described(StudyRunConfig(study="table3"))[1].scale == "paper"


def test_the_time_left_is_that_of_cells_of_the_same_row(tmp_path):
    cells = begun(tmp_path, spec_of(seeds=2, settings={"short": {}, "long": {}}))
    for cell in cells[:2]:
        finish(cell, hours=1 if cell.setting == "short" else 5)
    assert seconds_left(read_study(tmp_path).cells) == 3600 * (2 * 1 + 2 * 5)
    finish(cells[2])
    assert seconds_left(read_study(tmp_path).cells) == 3600 * 2 * 5


def test_a_table_has_mean_and_spread_of_finished_seeds(tmp_path):
    cells = begun(tmp_path, spec_of(seeds=3))
    finish(cells[0], error=10.0)
    finish(cells[1], error=12.0)
    outcome = read_study(tmp_path)
    assert outcome.rows[0].errors == [10.0, 12.0]
    assert [cell.state for cell in outcome.cells] == ["done", "done", "waiting"]
    assert any("2/3" in line and "11.00 ± 1.41 %" in line for line in lines(outcome))


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"test_top1_error": "low", "search_cost": 3, "genotype": "eval()"}']
)
def test_damaged_results_are_as_if_they_were_not_there(damage, tmp_path):
    (cell,) = begun(tmp_path, spec_of())
    finish(cell)
    for _, run in cell.steps():
        run.result.write_text(damage)
    (found,) = read_study(tmp_path).cells
    assert (found.test_errors, found.search_hours, found.genotype) == ((), None, None)


def test_every_worker_has_a_gpu_of_its_own():
    assert [gpu_of(worker, ("2", "5"))["CUDA_VISIBLE_DEVICES"] for worker in range(3)] == ["2", "5", "2"]


SCORED: dict[str, Any] = {
    "methods": {"A": {"search": {"num_nodes": 4}}, "drawn": {"cells": "random", "search": {"num_nodes": 4}}},
    "no_train": True,
    "seeds": 2,
}


def test_without_training_a_cell_is_done_with_its_search_and_a_given_one_at_once(known_table, tmp_path):
    cells = begun(tmp_path, spec_of(**SCORED, table=known_table))
    assert [len(cell.steps()) for cell in cells] == [1, 0, 1, 0]
    finish(cells[0], genotype=GENOTYPE.to_text())
    outcome = read_study(tmp_path)
    assert [(row.method, [cell.state for cell in row.cells]) for row in outcome.rows] == [
        ("A", ["done", "waiting"]),
        ("drawn", ["done", "done"]),
    ]
    assert not outcome.trains


def test_scores_of_a_study_are_those_of_the_genotypes_in_its_runs(known_table, tmp_path):
    cells = begun(tmp_path, spec_of(**SCORED, table=known_table))
    finish(cells[0], genotype=GENOTYPE.to_text())
    outcome = read_study(tmp_path)
    drawn = [Genotype.from_text(cell.train_config.genotype) for cell in cells if cell.method == "drawn"]
    wanted = make_yardstick(known_table).scores([GENOTYPE, *drawn])
    searched, random = outcome.rows
    assert searched.scores == wanted[:1]
    assert random.scores == wanted[1:]
    assert random.percentiles == [score.percentile for score in wanted[1:]]
    assert random.accuracies == [score.accuracy for score in wanted[1:]]
    assert outcome.table == known_table
    assert outcome.remarks == ()


def test_cells_of_a_study_may_be_of_nasbench201_and_are_named_by_its_text(tmp_path):
    methods = {"A": {}, "drawn": {"cells": "random"}}
    spec = spec_of(methods=methods, search={"space": "nasbench201"}, train={"recipe": "nasbench201-small"})
    searched, drawn = grid(spec, tmp_path)
    assert searched.search_config is not None
    assert (searched.search_config.space, searched.search_config.num_cells) == ("nasbench201", 3)
    assert searched.search_config.network_cells is None  # as the training has
    assert drawn.train_config.genotype.startswith("|")
