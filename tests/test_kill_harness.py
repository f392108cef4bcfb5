"""The kill harness in its short form: tiny jobs and few interruptions; and that it would notice what is wrong."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import SEARCH, TRAIN, done
from interrupted_run import InterruptedRun, Series
from kill_harness import damaged, killed, table
from run_ends import end_of
from traced_job import Calm, events_of

EVERY_STEP = ("--train-images", "100", "--epochs", "3", "--checkpoint-minutes", "1e-9")
JOBS = {"search": (*SEARCH, *EVERY_STEP), "train": (*TRAIN, *EVERY_STEP)}
"""Three epochs of five steps each, with a checkpoint after every step."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture(scope="module")
def calm(folder: Path) -> dict[str, Calm]:
    """The jobs done in one go, in this process; seconds as they may be on this machine."""
    ends = {}
    for job, command in JOBS.items():
        done(folder, *command, "--run", job)
        ends[job] = Calm(command, end_of(folder / job), 3.5, 2.5, 0.02, steps=5, checkpoint_bytes=0)
    return ends


def test_a_search_killed_at_random_moments_ends_as_if_it_had_never_been(tmp_path: Path, calm: dict[str, Calm]) -> None:
    series = killed(calm["search"], tmp_path, 2, random.Random(0))
    assert series.problems == []
    assert len(series.interruptions) == 2
    assert series.ends == series.equal_ends > 0


def test_a_killed_training_whose_newest_checkpoint_is_damaged_ends_as_if_it_had_never_been(
    tmp_path: Path, calm: dict[str, Calm]
) -> None:
    series = damaged(calm["train"], tmp_path, 1, random.Random(0))
    assert series.problems == []
    assert series.damaged == series.recovered == 1
    assert series.ends == series.equal_ends > 0


def test_the_harness_notices_an_end_that_differs_and_metrics_that_lost_a_line(
    tmp_path: Path, folder: Path, calm: dict[str, Calm]
) -> None:
    series = Series("killed")
    altered = replace(calm["train"], end={**calm["train"].end, "/genotype": "another"})
    run = InterruptedRun(altered, tmp_path / "run", series)
    shutil.copytree(folder / "train", run.run.path)
    run.finish()
    run.run.metrics.write_text("no record\n")
    run.finish()
    first, second, third, _ = (problem.partition(": ")[2] for problem in series.problems)
    assert first == "it ends differently in 1 values: /genotype"
    assert second == "metrics.jsonl has lost something"
    assert third.startswith("a line is not valid: ")
    assert (series.ends, series.equal_ends) == (2, 0)


def test_a_line_of_the_trace_that_is_not_whole_yet_is_left_out(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    assert events_of(trace) == []
    trace.write_text("began 1 2 10.5\nstep 1 3 11.0\nsave 1")
    assert [(event.name, event.place) for event in events_of(trace)] == [("began", (1, 2)), ("step", (1, 3))]


def test_the_table_has_a_row_for_every_series() -> None:
    figures = {"interruptions": 25, "inside_a_save": 12, "unfinished_files": 6, "resumed": 24, "most_steps_lost": 3}
    figures |= {"longest_end_seconds": 0.25, "damaged": 0, "recovered": 0, "ends": 2, "equal_ends": 2}
    rows = table({"jobs": {"search": {"series": {"killed": figures}}}}).splitlines()
    assert rows[2:] == ["| search | killed | 25 | 12 | 6 | 24 | 3 | 0.2 | 0 | 0 | 2 | 2 |"]
