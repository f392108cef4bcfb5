"""The whole job on a full disk: one line, exit code 1, and once there is room it goes on."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pcdarts.cli import run_command
from pcdarts.run.run_folder import RunFolder

TINY = """
train_images: 60
channels: 4
num_cells: 3
num_nodes: 3
k: 4
batch_size: 10
epochs: 2
arch_frozen_epochs: 1
threads: 1
"""


def test_a_search_on_a_full_disk_fails_in_one_line_and_goes_on_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    run = RunFolder(tmp_path / "run")
    (tmp_path / "tiny.yaml").write_text(TINY)
    with full_disk(10_000):
        assert run_command(["search", "--config", str(tmp_path / "tiny.yaml"), "--run", str(run.path)]) == 1
    assert capsys.readouterr().err == (
        f"pcdarts: error: cannot save {run.checkpoint}: File too large (nothing saved before is lost); "
        f"mend that, then continue with `pcdarts search --resume {run.path}`\n"
    )
    assert not run.checkpoint.exists()
    assert run_command(["search", "--resume", str(run.path)]) == 0
    assert [record["epoch"] for record in run.read_metrics()] == [1, 2]
    assert json.loads(run.result.read_text())
    assert not list(run.path.glob(".*.tmp"))
