"""Ends of runs are read from their folders and compared bit by bit."""

import json
from pathlib import Path

import pytest
import torch

from run_ends import differences, end_of

NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0000002])),
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.tensor(3), 3),
        (1, 1.0),
        (1, True),
        (0.1, 0.1 + 1e-17 * 2),
    ],
)
def test_what_differs_in_a_bit_a_type_or_a_shape_is_not_the_same(one: object, other: object) -> None:
    assert differences({"/value": one}, {"/value": other}) == ["/value"]


@pytest.mark.parametrize(
    "make",
    [lambda: torch.tensor([NAN, 1.0]), lambda: torch.tensor(2), lambda: torch.ones(2, 3).bfloat16(), lambda: NAN],
)
def test_what_has_the_same_bits_is_the_same_also_where_it_is_not_a_number(make) -> None:
    assert differences({"/value": make()}, {"/value": make()}) == []


def test_how_a_tensor_lies_in_memory_makes_no_difference() -> None:
    tensor = torch.arange(6.0).reshape(1, 2, 3, 1)
    assert differences({"/value": tensor}, {"/value": tensor.to(memory_format=torch.channels_last)}) == []


def test_a_value_that_only_one_of_them_has_is_a_difference() -> None:
    assert differences({"/a": 1, "/b": 2}, {"/b": 2, "/c": 3}) == ["/a", "/c"]


def test_the_end_of_a_run_has_all_its_seeds_and_leaves_out_times_and_the_machine(tmp_path: Path) -> None:
    for name in ("seed-0", "seed-1"):
        run = tmp_path / name
        run.mkdir()
        torch.save({"state": {"network": {"weight": torch.ones(2)}, "place": {"seconds": 3.5}}}, run / "checkpoint.pt")
        records = [{"epoch": 1, "loss": 9.0}, {"epoch": 1, "loss": 2.0, "seconds": 7}, {"epoch": 2, "loss": 1.0}]
        (run / "metrics.jsonl").write_text(
            "".join(f"{json.dumps(record)}\n" for record in records) + '{"epoch": 3, "lo'
        )
    (tmp_path / "result.json").write_text('{"error": 4.5, "search_cost": {"hours": 1}}')
    (tmp_path / "env.json").write_text('{"host": "somewhere"}')
    end = end_of(tmp_path)
    assert end.pop("/seed-1/checkpoint.pt/state/network/weight").tolist() == [1, 1]
    assert end.pop("/seed-0/checkpoint.pt/state/network/weight").tolist() == [1, 1]
    assert end == {
        "/result.json/error": 4.5,
        "/seed-0/metrics.jsonl/1/epoch": 1,
        "/seed-0/metrics.jsonl/1/loss": 2.0,
        "/seed-0/metrics.jsonl/2/epoch": 2,
        "/seed-0/metrics.jsonl/2/loss": 1.0,
        "/seed-1/metrics.jsonl/1/epoch": 1,
        "/seed-1/metrics.jsonl/1/loss": 2.0,
        "/seed-1/metrics.jsonl/2/epoch": 2,
        "/seed-1/metrics.jsonl/2/loss": 1.0,
    }
