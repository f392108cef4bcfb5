"""The comparison of two versions, on made-up run folders: it says what differs, and is not silent too often."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from run_ends import end_of
from same_bits import ADDED, DROPPED, Failed, Version, compare, compared, do
from same_bits_jobs import JOBS

NAMES = ("OLD", "NEW")
Change = Callable[[dict[str, Any], dict[str, Any], list[dict[str, Any]]], object]


def write_run(folder: Path, change: Change = lambda checkpoint, result, records: None) -> Path:
    """A run folder with two epochs; `change` may do anything to checkpoint, result and metrics before."""
    draw = torch.Generator().manual_seed(0)
    state: dict[str, Any] = {
        "supernet": {"stem.weight": torch.rand(2, 3, generator=draw)},
        "arch": {"normal": torch.rand(4, generator=draw)},
        "arch_optimizer": {"state": {0: {"exp_avg": torch.rand(4, generator=draw)}}},
    }
    checkpoint = {"fingerprint": {"job": "search"}, "state": state}
    result: dict[str, Any] = {"error": 4.5, "search_cost": {"hours": 0.25}}
    records: list[dict[str, Any]] = [{"epoch": 1, "loss": 2.0, "seconds": 7}, {"epoch": 2, "loss": 1.0, "seconds": 8}]
    change(checkpoint, result, records)
    folder.mkdir(parents=True)
    torch.save(checkpoint, folder / "checkpoint.pt")
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return folder


def found(folder: Path, change: Change) -> list[str]:
    """What is said of a run and the same one with a change."""
    old, new = write_run(folder / "old"), write_run(folder / "new", change)
    return compare(end_of(old), end_of(new), NAMES)


def with_a_house_for_the_method(checkpoint: dict[str, Any], *_: Any) -> None:
    state = checkpoint["state"]
    state["method"] = {"arch": state.pop("arch"), "optimizer": state.pop("arch_optimizer")}


def kept(folder: Path, job: str, change: Change = lambda checkpoint, result, records: None) -> Path:
    """The folder of runs that an earlier call kept, with one of a job in it."""
    write_run(folder / job / "run", change)
    (folder / job / "job.txt").write_text(f"{JOBS[job]}\n")
    return folder


def versions(old: Path, new: Path) -> tuple[Version, Version]:
    return Version("OLD", old, old), Version("NEW", new, new)


def test_nothing_is_said_of_runs_that_differ_in_their_times_alone(tmp_path: Path) -> None:
    assert (
        found(tmp_path, lambda _, result, records: result["search_cost"].update(hours=9) or records[0].pop("seconds"))
        == []
    )


def test_a_changed_bit_of_a_tensor_is_told_by_name_and_size(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], *_: Any) -> None:
        checkpoint["state"]["supernet"]["stem.weight"][1, 2] += 0.5

    assert found(tmp_path, change) == [
        "/checkpoint.pt/state/supernet/stem.weight: 1 of 6 numbers differ, by 0.5 at most"
    ]


def test_a_tensor_of_another_type_is_told_with_both_types(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], *_: Any) -> None:
        checkpoint["state"]["arch"]["normal"] = checkpoint["state"]["arch"]["normal"].double()

    assert found(tmp_path, change) == ["/checkpoint.pt/state/arch/normal: float32 [4] in OLD, float64 [4] in NEW"]


def test_metrics_results_and_missing_epochs_are_told(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], result: dict[str, Any], records: list[dict[str, Any]]) -> None:
        result["error"] = 4.75
        records[0]["loss"] = 2.5
        records.pop()

    assert found(tmp_path, change) == [
        "/metrics.jsonl/1/loss: 2.0 in OLD, 2.5 in NEW",
        "/metrics.jsonl/2/epoch: only OLD has it (2)",
        "/metrics.jsonl/2/loss: only OLD has it (1.0)",
        "/result.json/error: 4.5 in OLD, 4.75 in NEW",
    ]


def test_what_the_method_owns_now_is_compared_with_what_the_search_owned(tmp_path: Path) -> None:
    assert found(tmp_path, with_a_house_for_the_method) == []


def test_a_changed_bit_is_found_in_the_new_place_too(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], *rest: Any) -> None:
        checkpoint["state"]["arch_optimizer"]["state"][0]["exp_avg"][0] += 1
        with_a_house_for_the_method(checkpoint, *rest)

    (line,) = found(tmp_path, change)
    assert line == "/checkpoint.pt/state/arch_optimizer/state/0/exp_avg: 1 of 4 numbers differ, by 1 at most"


def test_a_tensor_that_only_the_new_version_has_is_a_difference_wherever_it_is(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], *_: Any) -> None:
        checkpoint["state"]["method"] = {"arch": {"more": torch.ones(2)}}
        checkpoint["fingerprint"]["method"] = torch.ones(1)

    assert found(tmp_path, change) == [
        "/checkpoint.pt/fingerprint/method: only NEW has it (float32 [1])",
        "/checkpoint.pt/state/arch/more: only NEW has it (float32 [2])",
    ]


def test_a_tensor_that_is_both_in_its_old_and_in_its_new_place_is_refused(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], *_: Any) -> None:
        checkpoint["state"]["method"] = {"arch": dict(checkpoint["state"]["arch"])}

    with pytest.raises(Failed, match="arch/normal is there twice"):
        found(tmp_path, change)


def test_a_new_setting_may_be_added_but_not_lost_and_is_compared_where_both_have_it(tmp_path: Path) -> None:
    def change(checkpoint: dict[str, Any], *_: Any) -> None:
        checkpoint["fingerprint"]["method"] = "darts"

    assert "/checkpoint.pt/fingerprint/" in ADDED
    assert found(tmp_path, change) == []
    ends = end_of(tmp_path / "new"), end_of(tmp_path / "old")
    assert compare(*ends, NAMES) == ["/checkpoint.pt/fingerprint/method: only OLD has it ('darts')"]
    other = ends[0] | {"/checkpoint.pt/fingerprint/method": "another"}
    assert compare(ends[0], other, NAMES) == ["/checkpoint.pt/fingerprint/method: 'darts' in OLD, 'another' in NEW"]


def test_a_count_that_is_no_longer_kept_may_be_missing_in_the_new_version_but_not_in_the_old_one() -> None:
    path = DROPPED[0]
    assert compare({path: 0}, {}, NAMES) == []
    assert compare({}, {path: 0}, NAMES) == [f"{path}: only NEW has it (0)"]
    assert compare({path: torch.ones(1)}, {}, NAMES) == [f"{path}: only OLD has it (float32 [1])"]


def test_where_a_random_search_stands_is_compared_in_its_new_place(tmp_path: Path) -> None:
    candidate = {"network": {"weight": torch.ones(2)}, "scaler": {"scale": 1.0}}
    errors = [{"arch_top1_error": 5.0}]
    place = {"epoch": 2, "arch_batches": 0}
    old = {"candidates": {"number": 1, "errors": errors, **candidate}, "place": place}
    new = {"errors": {"found": errors}, **candidate, "place": {"epoch": 2, "stage": 1}}
    changed = {**new, "network": {"weight": torch.zeros(2)}}
    ends = []
    for name, state in (("old", old), ("new", new), ("changed", changed)):
        folder = write_run(tmp_path / name, lambda checkpoint, *_, state=state: checkpoint.update(state=state))
        ends.append(end_of(folder))
    assert compare(ends[0], ends[1], NAMES) == []
    line = "candidates/network/weight: 2 of 2 numbers differ, by 1 at most"
    assert compare(ends[0], ends[2], NAMES) == [f"/checkpoint.pt/state/{line}"]
    assert compare(ends[1], ends[2], NAMES) == [f"/checkpoint.pt/state/{line.removeprefix('candidates/')}"]


def test_a_line_is_printed_for_every_job_and_one_that_differs_is_not_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(checkpoint: dict[str, Any], *_: Any) -> None:
        checkpoint["state"] |= {f"tensor {number}": torch.ones(1) for number in range(10)}

    old, new = kept(tmp_path / "old", "search"), kept(tmp_path / "new", "search")
    kept(old, "darts")
    kept(new, "darts", change)
    assert compared(*versions(old, new), ["search"])
    assert capsys.readouterr().out.splitlines() == [
        "search: equal: 3 tensors, 6 other values, 2 epochs (0 s)",
        "of 1 jobs: 1 equal",
    ]
    assert not compared(*versions(old, new), ["search", "darts", "amp"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "darts: differs in 10 places (0 s)"
    assert lines[2] == "    /checkpoint.pt/state/tensor 0: only NEW has it (float32 [1])"
    assert lines[10:] == [
        "    and 2 more",
        f"amp: differs: OLD: {old} has no run of this job (0 s)",
        "of 3 jobs: 1 equal, 2 not equal",
    ]


def test_a_resumed_run_must_also_end_as_the_undisturbed_one_of_its_own_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(_: Any, result: dict[str, Any], records: Any) -> None:
        result["error"] = 5.0

    folders = tmp_path / "old", tmp_path / "new"
    for folder in folders:
        kept(folder, "second-order")
        kept(folder, "killed", change)
    assert not compared(*versions(*folders), ["killed"])
    assert (
        "    /result.json/error: 4.5 in OLD's job second-order, 5.0 in OLD's job killed\n"
        "    /result.json/error: 4.5 in NEW's job second-order, 5.0 in NEW's job killed\n"
    ) in capsys.readouterr().out


def test_runs_without_tensors_or_of_other_settings_are_not_called_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = kept(tmp_path / "old", "search", lambda checkpoint, *_: checkpoint.clear()), tmp_path / "new"
    kept(new, "search", lambda checkpoint, *_: checkpoint.clear())
    assert not compared(*versions(old, new), ["search"])
    assert "there is nothing to compare: 0 tensors, 2 epochs" in capsys.readouterr().out
    (new / "search" / "job.txt").write_text("search --epochs 9\n")
    assert not compared(*versions(old, new), ["search"])
    assert "was made with other settings" in capsys.readouterr().out


def test_a_job_may_be_refused_by_both_for_what_the_machine_lacks_but_not_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = kept(tmp_path / "old", "amp"), kept(tmp_path / "new", "amp")
    (new / "amp" / "refused.txt").write_text("pcdarts: error: no bfloat16 here")
    assert not compared(*versions(old, new), ["amp"])
    assert "amp: differs: only NEW refuses it: pcdarts: error: no bfloat16 here" in capsys.readouterr().out
    (old / "amp" / "refused.txt").write_text("pcdarts: error: no bfloat16 here")
    assert compared(*versions(old, new), ["amp"])
    assert capsys.readouterr().out.endswith("of 1 jobs: 1 refused by both versions\n")


def test_a_checkout_whose_command_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    source, folder = tmp_path / "src", tmp_path / "job"
    folder.mkdir()
    (source / "pcdarts").mkdir(parents=True)
    (source / "pcdarts" / "__init__.py").touch()
    (source / "pcdarts" / "__main__.py").write_text('raise SystemExit("pcdarts: error: broken")')
    with pytest.raises(Failed, match="exit code 1: pcdarts: error: broken"):
        do(JOBS["search"], source, folder)
