"""`pcdarts random search`: the best of some random cells is kept, in a run folder like that of a search."""

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest

import pcdarts
from command_line import (
    RUN_FILES,
    Ended,
    checkpoint_of,
    copy_of,
    differences,
    done,
    end_of,
    error_line,
    kill_after_epochs,
    metrics_of,
    refused,
    result_of,
    run_in,
)
from forked import Forked
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.jobs.random_search import Candidates, Errors, random_cells
from pcdarts.jobs.status import status_of
from pcdarts.run.run_folder import RunFolder

CANDIDATES, EPOCHS = 3, 2
TINY = ("--image-size", "8", "--channels", "4", "--num-cells", "3", "--batch-size", "10")
RANDOM_SEARCH = (
    *("random", "search", *TINY, "--train-images", "100", "--num-nodes", "4"),
    *("--candidates", str(CANDIDATES), "--epochs", str(EPOCHS), "--learning-rate", "0.1", "--seed", "6"),
)
"""Three cells, each trained for two epochs of five steps."""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished random search and what it printed."""
    folder = tmp_path_factory.mktemp("random-search")
    return folder / "runs" / "random-search-fashion-mini-001", done(folder, *RANDOM_SEARCH)


@pytest.fixture(scope="module")
def finished(output: tuple[Path, str]) -> Path:
    return output[0]


# What it leaves behind


def test_it_leaves_the_files_of_a_search_and_says_what_is_in_the_log(output: tuple[Path, str]) -> None:
    run, printed = output
    left = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert left == RUN_FILES | {f"genotypes/epoch_00{epoch}.json" for epoch in range(1, CANDIDATES * EPOCHS + 1)}
    assert (run / "log.txt").read_text() == printed


def test_the_candidate_that_errs_least_on_the_arch_split_is_kept(output: tuple[Path, str]) -> None:
    run, printed = output
    result = result_of(run)
    errors = [candidate["arch_top1_error"] for candidate in result["candidates"]]
    best = errors.index(min(errors))
    assert 0 < best < CANDIDATES - 1  # neither the first nor the last
    assert (result["arch_top1_error"], result["genotype"]) == (
        errors[best],
        result["candidates"][best]["genotype"],
    )
    assert pcdarts.Genotype.from_json((run / "genotype.json").read_text()).to_text() == result["genotype"]
    assert f"candidate {best + 1} is the best of {CANDIDATES} random cells" in printed.splitlines()


def test_every_epoch_is_recorded_with_its_candidate_and_the_best_so_far(finished: Path) -> None:
    records, candidates = metrics_of(finished), result_of(finished)["candidates"]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record["candidate"] for record in records] == [1, 1, 2, 2, 3, 3]
    measured: list[float] = []
    for record in records:
        candidate = candidates[record["candidate"] - 1]
        assert record["genotype"] == candidate["genotype"]
        assert record["weight_loss"] > 0
        if "arch_top1_error" in record:
            assert record["arch_top1_error"] == candidate["arch_top1_error"]
            measured.append(record["arch_top1_error"])
        assert record.get("best_arch_top1_error") == min(measured, default=None)
        best = candidates[measured.index(min(measured))] if measured else candidates[0]
        kept = (finished / "genotypes" / f"epoch_{record['epoch']:03d}.json").read_text()
        assert pcdarts.Genotype.from_json(kept).to_text() == best["genotype"]
    assert len(measured) == CANDIDATES


def test_the_result_says_what_that_of_a_search_says(finished: Path, finished_search: Path) -> None:
    ours, theirs = result_of(finished), result_of(finished_search)
    assert ours.keys() == {*theirs, "candidates"}
    assert ours["search_cost"].keys() == theirs["search_cost"].keys()
    assert ours["search_cost"]["hours"] > 0
    assert (ours["search_cost"]["kernels"], ours["budget"]) == (None, None)


def test_the_sizes_are_those_of_the_networks_that_were_compared(finished: Path) -> None:
    for candidate in result_of(finished)["candidates"]:
        genotype = pcdarts.Genotype.from_text(candidate["genotype"])
        network = pcdarts.Network(genotype, channels=4, num_cells=3, auxiliary=False, image_channels=1)
        size = pcdarts.complexity(network, (1, 8, 8))
        assert (candidate["params"], candidate["mult_adds"]) == (size.params, size.mult_adds)


def test_other_commands_take_it_for_a_search(tmp_path: Path, output: tuple[Path, str]) -> None:
    run, printed = output
    copy_of(run, tmp_path / "runs" / run.name)
    genotype = result_of(run)["genotype"]
    assert printed.splitlines()[-1] == f"next: pcdarts train --genotype runs/{run.name} --image-size 8"
    assert genotype in done(tmp_path, "show", f"runs/{run.name}")
    done(tmp_path, "train", *TINY, "--train-images", "20", "--epochs", "1", "--no-auxiliary")
    assert result_of(tmp_path / "runs" / "train-fashion-mini-001")["genotype"] == genotype
    config = str(run / "config.yaml")
    assert "configures the job random search, not search" in refused(tmp_path, "search", "--config", config)


def test_its_status_counts_the_epochs_of_all_candidates(finished: Path) -> None:
    status = status_of(RunFolder(finished))
    assert (status.job, status.state, status.epoch, status.epochs) == ("random search", "done", 6, 6)
    assert status.error == result_of(finished)["arch_top1_error"]


# What it draws and what decides


def test_candidates_are_distinct_and_a_longer_search_begins_with_the_same_ones() -> None:
    smallest = pcdarts.CellSpace(3)  # of 2,401 cells
    cells = random_cells(smallest, 400, seed=0)
    assert len(set(cells)) == 400
    assert random_cells(smallest, 20, seed=0) == cells[:20]
    assert random_cells(smallest, 20, seed=1) != cells[:20]


def changes(cell: pcdarts.Genotype, other: pcdarts.Genotype) -> int:
    """In how many edges two cells differ."""
    edges = [zip(cell.edges(kind), other.edges(kind), strict=True) for kind in cell.kinds]
    return sum(one != another for of_kind in edges for one, another in of_kind)


def test_later_candidates_of_an_evolution_follow_from_the_errors_of_those_trained_last() -> None:
    config = RandomSearchConfig(strategy="evolution", candidates=6, population=3, sample=3, unchanged=0.0)
    errors = Errors()
    cells = Candidates(config, errors)
    assert cells.known == random_cells(pcdarts.CellSpace(6), 3, config.seed)
    errors.found = [{"arch_top1_error": error} for error in (20.0, 50.0, 40.0, 30.0, 90.0)]
    parents = [(3, 0), (4, 3), (5, 3)]  # the first cell is the best until it is too old
    assert [changes(cells[child], cells[parent]) for child, parent in parents] == [1, 1, 1]
    assert [*Candidates(config, errors)] == [*cells], "they follow from the seed and the errors"


@pytest.mark.parametrize(
    ("candidates", "expected"), [(3, (2, 2, 0.05)), (6, (3, 3, 0.05)), (8, (4, 3, 0.05)), (1000, (10, 3, 0.05))]
)
def test_an_evolution_of_which_nothing_is_said_fits_its_candidates(
    candidates: int, expected: tuple[int, int, float]
) -> None:
    assert RandomSearchConfig(strategy="evolution", candidates=candidates).evolution() == expected


def test_test_images_decide_nothing(tmp_path: Path, colour_images: Path) -> None:
    for place, test in (("one", "ant"), ("other", "wasp")):
        for name in ("ant", "bee", "wasp"):
            shutil.copytree(colour_images / name, tmp_path / place / "train" / name)
            shutil.copytree(colour_images / test, tmp_path / place / "test" / name)
        data = ("--data", "folder", "--data-root", place, "--train-images", "24")
        done(tmp_path, *RANDOM_SEARCH, *data, "--candidates", "2", "--epochs", "1", "--run", f"run-{place}")
    assert metrics_of(tmp_path / "run-one") == metrics_of(tmp_path / "run-other")


# However it ends, it goes on


def test_killed_in_the_middle_of_a_candidate_it_ends_as_ever(tmp_path: Path, finished: Path) -> None:
    every_step = ("--checkpoint-minutes", "1e-9", "--run", "run")
    kill_after_epochs(EPOCHS + 1, Path("run/metrics.jsonl"), tmp_path, *RANDOM_SEARCH, *every_step)
    run = tmp_path / "run"
    saved = checkpoint_of(run)
    assert saved["/state/place/stage"] == 1
    status = status_of(RunFolder(run))
    assert (status.state, status.epochs, status.error_name) == ("interrupted", 6, "best_arch_top1_error")
    printed = done(tmp_path, "random", "search", "--resume", "run", "--checkpoint-minutes", "none")
    step = saved["/state/place/step"]
    assert (f", step {step + 1} on" in printed.splitlines()[0]) == (step > 0)
    assert differences(run, finished) == []
    assert result_of(run)["candidates"] == result_of(finished)["candidates"]


ASKED_TO_END_WHILE_MEASURING = """
import os, signal, sys
from pcdarts.cli import run_command
from pcdarts.jobs import random_search
measure, measured = random_search.top_errors, []

def top_errors(*arguments):
    measured.append(0)
    if len(measured) == {number}:
        os.kill(os.getpid(), signal.SIGTERM)
    return measure(*arguments)

random_search.top_errors = top_errors
sys.exit(run_command(sys.argv[1:]))
"""


def test_asked_to_end_while_it_measures_the_second_candidate_it_goes_on_there(tmp_path: Path, finished: Path) -> None:
    code = ASKED_TO_END_WHILE_MEASURING.format(number=2)
    ended = end_of(Forked(tmp_path, *RANDOM_SEARCH, "--run", "run", code=code))
    assert ended.code == 128 + signal.SIGTERM
    assert ended.err == (
        "pcdarts: interrupted by SIGTERM after step 5 of epoch 4, and saved; "
        "continue with `pcdarts random search --resume run`\n"
    )
    assert "step 6 on" in done(tmp_path, "random", "search", "--resume", "run").splitlines()[0]
    assert differences(tmp_path / "run", finished) == []


def test_an_evolution_that_is_stopped_goes_on_with_the_same_cells(tmp_path: Path) -> None:
    settings = ("--strategy", "evolution", "--population", "2", "--unchanged", "0", "--epochs", "1")
    printed = done(tmp_path, *RANDOM_SEARCH, *settings, "--run", "whole")
    assert "is the best of 3 cells, which evolved from 2 random ones" in printed
    first, second, child = result_of(tmp_path / "whole")["candidates"]
    assert [first["genotype"], second["genotype"]] == [
        cell.to_text() for cell in random_cells(pcdarts.CellSpace(4), 2, 6)
    ]
    better = min(first, second, key=lambda candidate: candidate["arch_top1_error"])
    assert changes(*(pcdarts.Genotype.from_text(each["genotype"]) for each in (child, better))) == 1

    code = ASKED_TO_END_WHILE_MEASURING.format(number=3)
    assert end_of(Forked(tmp_path, *RANDOM_SEARCH, *settings, "--run", "run", code=code)).code == 128 + signal.SIGTERM
    done(tmp_path, "random", "search", "--resume", "run")
    assert differences(tmp_path / "run", tmp_path / "whole") == []
    assert result_of(tmp_path / "run")["candidates"] == [first, second, child]


def test_killed_while_it_concluded_it_only_concludes(tmp_path: Path, finished: Path) -> None:
    run = copy_of(finished, tmp_path / "run")
    for name in ("result.json", "genotype.json", "cell_normal.svg"):
        (run / name).unlink()
    assert "epoch" not in done(tmp_path, "random", "search", "--resume", "run")
    assert differences(run, finished) == []
    assert result_of(run)["candidates"] == result_of(finished)["candidates"]


# What is refused


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("random", "random what? use pcdarts random search"),
        ("random serch", "there is no command random serch: did you mean 'search'?"),
        ("random search --candidates 0", "candidates is 0, but it must be at least 1"),
        ("random search --candidates 1001", "candidates is 1001, but it must be at most 1000"),
        ("random search --k 4", "there is no flag --k"),
        ("random search --num-nodes 2", "num_nodes is 2, but it must be at least 3"),
        ("random search --kind imagenet", "images of 28 x 28 pixels are too small for the network"),
        ("random search --population 4", "population is 4, but it is for --strategy evolution: drop it, or"),
        ("random search --sample 4", "sample is 4, but it is for --strategy evolution: drop it, or"),
        ("random search --unchanged 0.1", "unchanged is 0.1, but it is for --strategy evolution: drop it, or"),
        ("random search --strategy evolution --population 1", "population is 1, but it must be at least 2"),
        (
            "random search --strategy evolution --population 6",
            "candidates is 6, but it must be more than population (6), whose cells are random: only those after them",
        ),
        (
            "random search --strategy evolution --candidates 2",
            "candidates is 2, but it must be more than population (2)",
        ),
        (
            "random search --strategy evolution --population 4 --sample 5",
            "sample is 5, but it must be at most population (4)",
        ),
        ("random search --strategy evolve", "strategy is evolve, but it must be random or evolution"),
        ("random search --batch-size 1", "BatchNorm needs two: raise --batch-size, or give more images"),
        ("random search --recipe cifar", "random search has no recipe cifar: did you mean 'cifar10'?"),
        ("show random:0:seven", "random:0:seven names no random cell: write random:SEED or random:SEED:NODES"),
        ("show random:0:2", "num_nodes is 2, but a cell has two input nodes and at least one intermediate node"),
        ("show random:0:103", "a cell has at most 100 intermediate nodes"),
    ],
)
def test_wrong_usage_is_refused_in_one_line(tmp_path: Path, command: str, message: str) -> None:
    assert message in refused(tmp_path, *command.split())


def test_a_loss_that_is_no_number_ends_the_run_in_one_line(tmp_path: Path) -> None:
    ended: Ended = run_in(tmp_path, *RANDOM_SEARCH, "--learning-rate", "1e30", "--run", "run")
    assert ended.code == 1
    assert "start a new run with a lower --learning-rate" in error_line(ended)


def test_a_random_cell_has_as_many_nodes_as_are_asked_for(tmp_path: Path) -> None:
    cells = [json.loads(done(tmp_path, *shlex.split(f"show random:0{nodes} --json"))) for nodes in ("", ":6", ":7")]
    assert [len(cell["normal"]) for cell in cells] == [8, 8, 10]
    assert cells[0] == cells[1]
