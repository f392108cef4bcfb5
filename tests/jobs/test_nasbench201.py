"""`--space nasbench201`: searches and random searches of NAS-Bench-201, from the command line."""

import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from command_line import (
    RUN_FILES,
    differences,
    done,
    end_of,
    kill_after_epochs,
    metrics_of,
    pair,
    refused,
    result_of,
)
from made_runs import MadeOnce, printed_by
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.flags import read_flags
from pcdarts.config.recipes import resolve
from pcdarts.methods.methods import METHODS
from tiny_searches import TINY

TINY_SEARCH = shlex.split(
    "search --space nasbench201 --train-images 20 --image-size 8 --channels 4 --batch-size 10 --epochs 2"
)
SEARCH = [*TINY_SEARCH, *shlex.split("--k 2 --edge-normalization --max-params 30k --network-channels 8 --run run")]
STRING = r"\|\w+~0\|\+\|\w+~0\|\w+~1\|\+\|\w+~0\|\w+~1\|\w+~2\|"


@pytest.fixture(scope="module")
def searched(once: MadeOnce) -> Path:
    """A search with partial channels, edge normalisation and a budget, and `printed.txt` beside its folder `run`."""
    return once("search of nasbench201", printed_by(*SEARCH)) / "run"


def flags_of(method: str) -> list[str]:
    """Those that make a method tiny, for cells of this space."""
    flags = TINY.get(method, "").replace("--num-nodes 3", "").replace("--added-cells 0 1", "--added-cells 0 3")
    return shlex.split(flags.replace("--operations-pruned 6", "--operations-pruned 3"))


def test_a_search_ends_with_the_benchmarks_text_one_drawing_and_the_training_of_its_cell(searched: Path) -> None:
    result, printed = result_of(searched), searched.with_name("printed.txt").read_text()
    assert re.fullmatch(STRING, result["genotype"])
    assert Genotype.from_file(searched / "genotype.json").to_text() == result["genotype"]
    assert RUN_FILES - {path.name for path in searched.iterdir()} == {"cell_reduce.svg"}
    assert "cell_reduce" not in printed
    assert result["skip_connects"].keys() == {"normal"}
    assert [len(metrics_of(searched)[0][weights]["normal"]) for weights in ("op_weights", "edge_weights")] == [6, 6]

    command = shlex.split(printed.splitlines()[-1].removeprefix("next: pcdarts train "))
    flags, problems = read_flags(TrainConfig, command)
    training, counted = resolve(TrainConfig, flags=flags), result["evaluation_network"]
    assert problems == []
    assert (training.recipe, training.auxiliary, training.drop_path) == ("nasbench201-small", False, 0)
    assert all(getattr(training, name) == counted[name] for name in ("kind", "channels", "num_cells", "image_size"))


def test_a_budget_holds_and_the_best_cells_within_it_are_listed(searched: Path) -> None:
    result = result_of(searched)
    assert result["evaluation_network"]["params"] <= 30_000
    best, *_ = json.loads(done(searched.parent, "show", "run", "--budget", "--json"))
    assert best["genotype"] == result["genotype"]


def test_a_killed_search_ends_with_the_same_bits(searched: Path, tmp_path: Path) -> None:
    kill_after_epochs(1, Path("run/metrics.jsonl"), tmp_path, *SEARCH)
    done(tmp_path, "search", "--resume", "run")
    assert differences(tmp_path / "run", searched) == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_searches_it_or_says_why_not(tmp_path: Path, method: str) -> None:
    command = [*TINY_SEARCH, *flags_of(method), "--method", method, "--epochs", "1", "--k", "2", "--run", "run"]
    if method == "pnas":
        assert "cells of PNAS grow" in refused(tmp_path, *command)
        return
    done(tmp_path, *command)
    cell = Genotype.from_text(result_of(tmp_path / "run")["genotype"])
    assert cell.form == NASBENCH201.form
    assert any(primitive != "none" for primitive, _ in cell.normal)


def test_two_processes_share_the_batches_also_where_a_pass_leaves_weights_out(tmp_path: Path) -> None:
    command = [*TINY_SEARCH, *shlex.split("--method random-ws --candidates 2 --epochs 1 --run run")]
    ends = [end_of(process) for process in pair(tmp_path, *command)]
    assert [(ended.code, ended.err) for ended in ends] == [(0, ""), (0, "")]
    assert re.fullmatch(STRING, result_of(tmp_path / "run")["genotype"])


@pytest.mark.parametrize("strategy", ["random", "evolution --population 2"])
def test_a_random_search_trains_cells_of_it(tmp_path: Path, colour_images: Path, strategy: str) -> None:
    done(
        tmp_path,
        *shlex.split("random search --space nasbench201 --candidates 3 --epochs 1 --image-size 8 --channels 2"),
        *shlex.split(f"--batch-size 6 --data folder --run run --strategy {strategy}"),
        *("--data-root", str(colour_images)),
    )
    result = result_of(tmp_path / "run")
    cells = [candidate["genotype"] for candidate in result["candidates"]]
    assert len(cells) == 3
    assert all(re.fullmatch(STRING, cell) for cell in cells)
    assert result["genotype"] in cells


def test_a_report_and_a_status_show_it_without_reduction_cells(searched: Path, tmp_path: Path) -> None:
    done(tmp_path, "report", str(searched), "--out", "page")
    page = (tmp_path / "page" / "report.md").read_text()
    assert "reduction" not in page
    assert result_of(searched)["genotype"].split("|")[1] in (tmp_path / "page" / "report.html").read_text()
    assert "2/2" in done(tmp_path, "status", str(searched))


def test_a_random_cell_of_it_has_a_name(tmp_path: Path) -> None:
    shown = done(tmp_path, "show", "random:3:nasbench201")
    assert re.search(STRING, shown)
    assert "NAS-Bench-201 network" in shown


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--num-nodes 5", "num_nodes is 5, but the cells of nasbench201 have 4: drop num_nodes"),
        (
            "--num-cells 5",
            "num_cells is 5, but a network of nasbench201 has equally many cells in each of three stages",
        ),
        ("--max-latency 3", "latencies are those of networks of the DARTS papers, not of NAS-Bench-201"),
        ("--kernels native", 'these compute the cells of the paper alone: use "plain"'),
        ("--synchronize-batch-norm", "synchronize_batch_norm) is on, but a supernet of NAS-Bench-201"),
        ("--oles-threshold 0.4", "oles_threshold is on, but the weights of this space's operations are not by edges"),
        ("--method p-darts --added-cells 1 2", "stage 2 of p-darts: num_cells is 4, but a network of nasbench201"),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(tmp_path: Path, flags: str, message: str) -> None:
    assert message in refused(tmp_path, *TINY_SEARCH, *shlex.split(flags))


def test_a_training_with_the_cells_of_another_recipe_says_which_recipes_fit(tmp_path: Path) -> None:
    line = refused(tmp_path, "train", "--genotype", "random:0:nasbench201")
    assert "num_cells is 5" in line
    assert "add --recipe nasbench201 (its own training) or nasbench201-small" in line


def test_a_configuration_of_an_older_version_is_one_of_the_papers_space(finished_search: Path, tmp_path: Path) -> None:
    text = (finished_search / "config.yaml").read_text()
    (tmp_path / "old.yaml").write_text(text.replace("space: darts\n", ""))
    load = partial(resolve, SearchConfig)
    assert load(file=tmp_path / "old.yaml") == load(file=finished_search / "config.yaml")
