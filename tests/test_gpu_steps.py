"""`benchmarks/gpu_steps.py` in its rehearsal: the same code, tiny, on a CPU."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import gpu_steps
from gpu_steps_profile import union
from gpu_steps_report import STEPS, Turns
from gpu_steps_variants import EagerStep, GraphedStep, check_graph, computing_in, copies_of, state_of

CPU = torch.device("cpu")


def rehearsed(output: Path) -> dict[str, Any]:
    words = ["--output", str(output), "--seconds", "600", "--device", "cpu", "--tiny"]
    assert gpu_steps.main(words) == 0
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def test_a_rehearsal_times_all_three_forms_lists_their_kernels_and_finds_the_graph_s_steps_equal_to_eager_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_steps, "rows", lambda *asked, of=gpu_steps.rows: of(*asked)[:1])
    found = rehearsed(tmp_path / "c.json")
    ceilings, first, *_ = found["rows"]
    assert ceilings["ceilings"]["float32"] > 0
    assert first["errors"] == {}
    assert [row["name"] for row in found["rows"] if "error" in row] == found["skipped"] == []
    for name in (gpu_steps.PER_EDGE, gpu_steps.EAGER, gpu_steps.GRAPH):
        form = first["forms"][name]
        assert all(form[part]["median_ms"] > 0 and form[part]["n"] == 1 for part in STEPS)
        assert form["kernels"]["per_step"] > 0
        assert first["floor"]["shares"][name]["weight_step"] > 0
        assert form["synchronisations"] == form["idle_share"] == "needs cuda"
        costs = [each["us_per_step"] for each in form["kernels"]["most_expensive"]]
        assert len(costs) == 10
        assert costs == sorted(costs, reverse=True)
    assert first["graph_check"]["equal"]
    assert first["again_beside_graphs"].keys() == {gpu_steps.PER_EDGE, gpu_steps.EAGER}


def test_a_capture_that_fails_costs_no_other_form_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(GraphedStep):
        def __init__(self, setting: object, captured: bool) -> None:
            written = json.loads((tmp_path / "c.json").read_text())["rows"][-1]["forms"]
            assert all("search_step" in form and "kernels" in form for form in written.values())
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(gpu_steps, "rows", lambda *asked, of=gpu_steps.rows: of(*asked)[:1])
    monkeypatch.setattr(gpu_steps, "GraphedStep", Failing)
    first = rehearsed(tmp_path / "c.json")["rows"][1]
    assert "during capture" in first["errors"][gpu_steps.GRAPH]
    assert first["forms"].keys() == {gpu_steps.PER_EDGE, gpu_steps.EAGER}
    for form in first["forms"].values():
        assert all(form[part]["median_ms"] > 0 for part in STEPS)


def test_what_is_kept_of_the_state_before_a_capture_has_no_history() -> None:
    form = GraphedStep(gpu_steps.rows("cpu", True)[0].setting, False)
    copies = copies_of(form.step)
    assert len(copies) == len(state_of(form.step))
    assert not any(copy.requires_grad for copy in copies)


def test_the_captured_weight_step_leaves_no_node_of_autograd_behind() -> None:
    form = GraphedStep(gpu_steps.rows("cpu", True)[0].setting, False)
    parameters = list(form.step.network.parameters())

    def nodes() -> list[Any]:
        return [each.view_as(each).grad_fn.next_functions[0][0] for each in parameters]  # type: ignore[union-attr]

    form.step.network.register_forward_hook(lambda *_: [node.metadata.update(old=True) for node in nodes()] and None)
    form.weight_step(form.data())
    assert all(parameter.grad is not None for parameter in parameters)
    assert not any("old" in node.metadata for node in nodes())


def test_a_graph_that_read_an_old_batch_would_not_be_taken_for_an_equal_one() -> None:
    setting = gpu_steps.rows("cpu", True)[0].setting

    class Stale(GraphedStep):
        def _fill(self, which: int, batches: object) -> None:
            """The batch stays what it was."""

    assert check_graph(setting, GraphedStep(setting, False), "float32", 2)["equal"]
    assert not check_graph(setting, Stale(setting, False), "float32", 2)["equal"]


def test_a_row_that_fails_keeps_its_traceback_and_the_next_one_follows(tmp_path: Path) -> None:
    report = gpu_steps.Report(tmp_path / "c.json", 600, CPU, True)
    report.row("bad", lambda row: row["nothing"])
    report.row("good", lambda row: row.update(value=1))
    bad, good = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert "KeyError: 'nothing'" in bad["error"]
    assert good["value"] == 1


def test_a_row_whose_turn_comes_too_late_is_named_as_skipped(tmp_path: Path) -> None:
    report = gpu_steps.Report(tmp_path / "c.json", 5, CPU, False)  # less than a row is thought to need
    report.row("late", lambda row: row.update(value=1))
    known = json.loads((tmp_path / "c.json").read_text())
    assert known["rows"] == []
    assert known["skipped"] == ["late"]


def test_nobody_measures_before_all_are_ready_or_beside_another(tmp_path: Path) -> None:
    ready_at: list[float] = []
    measured: list[tuple[float, float]] = []

    def work(seconds: float) -> None:
        time.sleep(seconds)
        ready_at.append(time.monotonic())
        with Turns(tmp_path, 3, 60).mine():
            began = time.monotonic()
            time.sleep(0.05)
            measured.append((began, time.monotonic()))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, (0, 0.1, 0.3)))
    starts, ends = zip(*sorted(measured), strict=True)
    assert starts[0] >= max(ready_at)
    assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))


def test_rows_may_be_chosen_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    words = ["--seconds", "600", "--device", "cpu", "--tiny", "--rows"]
    assert gpu_steps.main([*words, gpu_steps.CEILINGS, "--output", str(tmp_path / "some.json")]) == 0
    assert [row["name"] for row in json.loads((tmp_path / "some.json").read_text())["rows"]] == [gpu_steps.CEILINGS]
    with pytest.raises(SystemExit, match="there is no row K=3; there are: ceilings"):
        gpu_steps.main([*words, "K=3", "--output", str(tmp_path / "none.json")])


def test_the_precision_is_afterwards_what_it_was() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with computing_in("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_time_that_two_kernels_share_counts_once() -> None:
    assert union([(0, 4), (2, 3), (3, 6), (8, 9)]) == 7


def test_the_eager_form_moves_weights_and_alpha() -> None:
    form = EagerStep(gpu_steps.rows("cpu", True)[0].setting)
    weight, alpha = (next(each.parameters()).detach().clone() for each in (form.step.network, form.step.method.arch))
    form.search_step()
    assert not torch.equal(weight, next(form.step.network.parameters()))
    assert not torch.equal(alpha, next(form.step.method.arch.parameters()))
