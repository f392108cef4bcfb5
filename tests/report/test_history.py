"""What is read from a run for charts."""

import json
import shutil
from pathlib import Path

from pcdarts.report.history import read_history, read_trainings
from pcdarts.run.run_folder import RunFolder


def test_a_search_tells_how_its_weights_moved(runs: Path) -> None:
    history = read_history(RunFolder(runs / "one"), "one")
    assert history.epochs == [1, 2, 3, 4, 5]
    assert (history.space.num_nodes, history.frozen, history.edge_normalization) == (4, ((1, 2),), True)
    assert len(history.op_weights["normal"]) == 5
    assert [len(row) for row in history.op_weights["reduce"][0]] == [8] * 5
    assert abs(sum(history.edge_weights["normal"][-1][:2]) - 1) < 1e-5  # softmax over the edges into node 2
    assert sorted(history.genotypes) == history.epochs
    assert history.genotype == history.genotypes[5]


def test_damaged_lines_are_left_out(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    records[1]["op_weights"]["normal"].pop()
    records[2]["edge_weights"]["reduce"][0] = None
    records[3]["weight_loss"] = None
    lines = [json.dumps(record) for record in records]
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join([*lines, lines[0][:99]]))
    (tmp_path / "run" / "genotypes" / "epoch_004.json").write_text("{}")
    history = read_history(RunFolder(tmp_path / "run"), "run")
    assert history.epochs == [1, 4, 5]
    assert sorted(history.genotypes) == [1, 2, 3, 5]
    assert [value is None for _, value in history.curve("weight_loss")] == [False, False, False, True, False]


def test_each_seed_of_a_training_is_one(runs: Path) -> None:
    trainings = read_trainings(RunFolder(runs / "trained"), "trained")
    assert [training.name for training in trainings] == ["trained, seed-0", "trained, seed-1"]
    assert [epoch for epoch, _ in trainings[0].curve("test_top1_error")] == [2, 4, 5]
