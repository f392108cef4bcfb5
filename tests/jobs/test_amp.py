"""`--amp bf16`, end to end: a run near the one in float32, which can be tested like any other."""

from pathlib import Path

import pytest
import torch

from command_line import SEARCH, TRAIN, checkpoint_of, done, metrics_of, refused
from pcdarts.ops.precision import has_bf16

pytestmark = pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bfloat16 arithmetic")


def test_a_training_in_bf16_is_near_the_one_in_float32_but_not_the_same(tmp_path: Path, finished_train: Path) -> None:
    done(tmp_path, *TRAIN, "--amp", "bf16", "--run", "run")
    assert_near_but_not_the_same(metrics_of(tmp_path / "run"), metrics_of(finished_train), "train_loss")
    assert_all_float32(tmp_path / "run")
    error = metrics_of(tmp_path / "run")[-1]["test_top1_error"]
    assert f"top-1 error {error:.2f} %" in done(tmp_path, "test", "run")


def test_a_search_in_bf16_is_near_the_one_in_float32_but_not_the_same(tmp_path: Path, finished_search: Path) -> None:
    done(tmp_path, *SEARCH, "--amp", "bf16", "--run", "run")
    assert_near_but_not_the_same(metrics_of(tmp_path / "run"), metrics_of(finished_search), "weight_loss")
    assert_all_float32(tmp_path / "run")


def test_second_order_works_in_bf16(tmp_path: Path) -> None:
    done(tmp_path, *SEARCH, "--amp", "bf16", "--second-order", "--epochs", "3", "--run", "run")
    assert metrics_of(tmp_path / "run")[-1]["arch_loss"] > 0


def test_native_kernels_and_bf16_are_refused_together(tmp_path: Path) -> None:
    message = refused(tmp_path, "search", "--amp", "bf16", "--kernels", "native")
    assert message == "kernels is native, but these compute in float32: drop amp, or use plain"


def assert_near_but_not_the_same(found: list[dict], expected: list[dict], loss: str) -> None:
    assert found != expected
    first, last = found[0][loss], found[-1][loss]
    assert first == pytest.approx(expected[0][loss], rel=0.1)
    assert last == pytest.approx(expected[-1][loss], rel=0.3)


def assert_all_float32(run: Path) -> None:
    tensors = [value for value in checkpoint_of(run).values() if isinstance(value, torch.Tensor)]
    assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float32}
