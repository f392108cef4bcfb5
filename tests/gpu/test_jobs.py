"""The commands on a GPU: the same bits again and after a resume, 16 bits, and files that other machines can read."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from command_line import SEARCH, TRAIN, checkpoint_of, copy_of, differences, done, metrics_of, result_of
from pcdarts.data.sources import load_data
from pcdarts.ops.precision import has_bf16
from pcdarts.run.device import set_determinism
from pcdarts.run.run_folder import RunFolder

SHORT = ["--epochs", "3", "--deterministic"]
SEARCH_SHORT = [*SEARCH, "--arch-frozen-epochs", "1", *SHORT]
TRAIN_SHORT = [*TRAIN, "--test-every", "3", *SHORT]
JOBS = {
    "search": SEARCH_SHORT,
    "search, second order, random channels, bf16": [
        *SEARCH_SHORT,
        *("--second-order", "--channel-sampling", "random", "--amp", "bf16"),
    ],
    "search, fp16, in parts": [*SEARCH_SHORT, "--amp", "fp16", "--gradient-accumulation-steps", "2"],
    "train": TRAIN_SHORT,
    "train, fp16, in parts": [*TRAIN_SHORT, "--amp", "fp16", "--gradient-accumulation-steps", "2"],
    "train, bf16": [*TRAIN_SHORT, "--amp", "bf16"],
    "train, mixed, weighted, averaged": [
        *TRAIN_SHORT,
        *("--mixup", "0.2", "--cutmix", "1", "--class-weights", "balanced", "--ema", "0.9"),
    ],
    "train, RandAugment": [*TRAIN_SHORT, "--randaugment", "9", "--sampling", "balanced"],
}


@pytest.fixture(autouse=True)
def leave_nothing_deterministic() -> Iterator[None]:
    """What a job asks of this process it asks of the tests after it too."""
    yield
    set_determinism(False)


@pytest.fixture
def keep_second_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Copies the folder of the next run to a place as it is after two epochs: what is left if it is killed then."""
    append = RunFolder.append_metrics

    def keep(place: Path) -> None:
        def append_and_copy(run: RunFolder, record: dict[str, Any]) -> None:
            append(run, record)
            if record["epoch"] == 2 and not place.exists():
                shutil.copytree(run.path, place)

        monkeypatch.setattr(RunFolder, "append_metrics", append_and_copy)

    return keep


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_the_same_bits_again_and_after_a_resume(
    tmp_path: Path, device: torch.device, job: str, keep_second_epoch: Callable[[Path], None]
) -> None:
    """An operation that has no deterministic algorithm on this device ends it in an error that names the operation."""
    if "bf16" in job and not has_bf16(device.type):
        pytest.skip("no bfloat16 arithmetic here")
    command = [*JOBS[job], "--device", device.type]
    keep_second_epoch(tmp_path / "stopped")
    done(tmp_path, *command, "--run", "whole")
    printed = done(tmp_path, command[0], "--resume", "stopped")
    assert ", from epoch 3 on" in printed.splitlines()[0]
    assert differences(tmp_path / "stopped", tmp_path / "whole") == []
    done(tmp_path, *command, "--run", "again")
    assert differences(tmp_path / "again", tmp_path / "whole") == []
    saved = checkpoint_of(tmp_path / "whole")
    if "fp16" in job:
        assert saved["/state/scaler/scale"] >= 1
        assert "/state/scaler/_growth_tracker" in saved
    assert {x.dtype for x in saved.values() if isinstance(x, torch.Tensor) and x.is_floating_point()} <= {
        torch.float32,
        torch.float64,  # sums of losses
    }


@pytest.mark.parametrize("job", ["search", "train"])
def test_without_asking_for_the_same_bits_a_job_learns_as_on_the_cpu(
    tmp_path: Path, device: torch.device, job: str
) -> None:
    command = [*(SEARCH if job == "search" else TRAIN), "--epochs", "2"]
    loss = "weight_loss" if job == "search" else "train_loss"
    done(tmp_path, *command, "--device", device.type, "--run", "there")
    done(tmp_path, *command, "--device", "cpu", "--run", "here")
    there, here = metrics_of(tmp_path / "there"), metrics_of(tmp_path / "here")
    # TF32 in convolutions, and on a GPU other paths are dropped.
    assert there[0][loss] == pytest.approx(here[0][loss], rel=0.05 if job == "search" else 0.3)
    assert result_of(tmp_path / "there").keys() == result_of(tmp_path / "here").keys()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu (1 thread)"
    if job == "search":
        assert result_of(tmp_path / "there")["search_cost"]["device"] == name
        assert result_of(tmp_path / "there")["search_cost"]["kernels"] in ("plain", "native")
    else:
        assert result_of(tmp_path / "there")["device"] == name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, device: torch.device) -> Path:
    """A run that was trained there; beside it a folder of three images."""
    folder = tmp_path_factory.mktemp("trained")
    done(folder, *TRAIN, "--epochs", "2", "--device", device.type, "--run", "run")
    (folder / "photos").mkdir()
    for number, pixels in enumerate(load_data("fashion-mini").test.pixels[:3]):
        Image.fromarray(pixels.squeeze().numpy()).save(folder / "photos" / f"{number}.png")
    return folder / "run"


def test_a_checkpoint_made_there_is_read_and_tested_on_the_cpu(
    tmp_path: Path, trained: Path, device: torch.device
) -> None:
    copy_of(trained, tmp_path / "run")
    measured = metrics_of(trained)[-1]["test_top1_error"]  # of 100 images
    for place in ("cpu", device.type):
        printed = done(tmp_path, "test", "run", "--device", place)
        assert float(printed.split("top-1 error ")[1].split()[0]) == pytest.approx(measured, abs=2.01)
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", map_location="cpu", weights_only=True)
    assert saved["state"]["network"].keys()


def test_predictions_there_are_those_on_the_cpu(tmp_path: Path, trained: Path, device: torch.device) -> None:
    copy_of(trained, tmp_path / "run")
    photos = str(trained.parent / "photos")
    there, here = (
        json.loads(done(tmp_path, "predict", "run", photos, "--json", "--top", "10", "--device", place))
        for place in (device.type, "cpu")
    )
    for found, expected in zip(there, here, strict=True):
        by_class = {one["class"]: one["probability"] for one in found["classes"]}
        for one in expected["classes"]:
            assert by_class[one["class"]] == pytest.approx(one["probability"], abs=0.02)  # TF32 in convolutions


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_a_run_made_there_is_exported(tmp_path: Path, trained: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    copy_of(trained, tmp_path / "run")
    assert "logits of 32 test images within " in done(tmp_path, "export", "run", "--format", kind)


def test_a_machine_without_a_gpu_reads_tests_and_exports_it(tmp_path: Path, trained: Path) -> None:
    copy_of(trained, tmp_path / "run")
    commands = [["test", "run"], ["predict", "run", str(trained.parent / "photos")], ["export", "run"]]
    program = "import sys, json; from pcdarts.cli import run_command; "
    program += "sys.exit(max(map(run_command, json.loads(sys.argv[1]))))"
    ended = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "top-1 error " in ended.stdout
    assert "logits of 32 test images within " in ended.stdout
