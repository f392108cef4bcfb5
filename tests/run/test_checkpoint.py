"""A checkpoint is loaded whole and by the run it belongs to, or refused in one line that says why."""

import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from pcdarts.errors import InputError, RunError
from pcdarts.run.checkpoint import load_checkpoint, save_checkpoint

FINGERPRINT = {"job": "search", "channels": 16, "k": 4, "arch_adam_betas": [0.5, 0.999], "seed": 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"epoch": 3, "weights": torch.arange(1000.0)}, FINGERPRINT)
    return path


class Burglar:
    """Unpickled the ordinary way, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.mark), "w")


def message(path: Path, fingerprint: dict[str, Any] = FINGERPRINT) -> str:
    with pytest.raises(InputError) as refusal:
        load_checkpoint(path, fingerprint)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)
    return str(refusal.value)


def test_modules_and_optimizers_come_back_bit_by_bit(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizers = [
        torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9),
        torch.optim.Adam(module.parameters(), betas=(0.5, 0.999)),
    ]
    module(torch.randn(5, 3)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    state = {
        "module": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "epoch": 3,
        "seconds": 1.5,
    }
    save_checkpoint(tmp_path / "checkpoint.pt", state, FINGERPRINT)
    loaded = load_checkpoint(tmp_path / "checkpoint.pt", FINGERPRINT)
    assert (loaded["epoch"], loaded["seconds"]) == (3, 1.5)
    assert all(torch.equal(loaded["module"][name], value) for name, value in state["module"].items())
    for optimizer, saved in zip(optimizers, loaded["optimizers"], strict=True):
        before = optimizer.state_dict()
        optimizer.load_state_dict(saved)
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for index, slots in before["state"].items():
            assert all(torch.equal(after["state"][index][name], value) for name, value in slots.items())


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "No such file" in message(tmp_path / "checkpoint.pt")


def test_an_empty_checkpoint_is_refused(path: Path) -> None:
    path.write_bytes(b"")
    assert "is empty: restore the file from a copy, or start a new run" in message(path)


@pytest.mark.parametrize("kept", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_checkpoint_is_refused(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "is truncated or damaged: restore the file from a copy, or start a new run" in message(path)


def test_a_checkpoint_with_a_flipped_bit_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(1000.0).numpy().tobytes()) + 1234
    content[place] ^= 1
    path.write_bytes(content)
    assert "is truncated or damaged" in message(path)


def test_random_bytes_are_refused(path: Path) -> None:
    path.write_bytes(bytes(torch.randint(0, 256, (5000,), generator=torch.Generator().manual_seed(0)).tolist()))
    assert "is not a checkpoint" in message(path)


def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(path: Path, tmp_path: Path) -> None:
    path.write_bytes(pickle.dumps(Burglar(tmp_path / "mark")))
    assert "is not a checkpoint" in message(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_torch_file_with_code_is_refused_and_its_code_does_not_run(path: Path, tmp_path: Path, protocol: int) -> None:
    state = {"format": 1, "fingerprint": FINGERPRINT, "state": {"weights": Burglar(tmp_path / "mark")}}
    torch.save(state, path, pickle_protocol=protocol)
    assert "could run code" in message(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, [1, 2], {"format": 1, "state": []}])
def test_someone_elses_torch_file_is_refused(path: Path, content: object) -> None:
    torch.save(content, path)
    assert "was not written by pcdarts" in message(path)


def test_another_format_is_refused_with_both_versions(path: Path) -> None:
    torch.save({"format": 2, "parts": []}, path)
    assert "has checkpoint format 2, but this version of pcdarts reads 1" in message(path)


def test_a_checkpoint_of_another_configuration_is_refused_with_the_fields_that_differ(path: Path) -> None:
    text = message(path, FINGERPRINT | {"k": 2, "seed": 7})
    assert "k is 4 there and 2 here, seed is 0 there and 7 here" in text


def test_three_differing_fields_are_named_and_the_others_counted(path: Path) -> None:
    text = message(
        path, {"job": "train", "channels": 36, "k": 1, "seed": 5, "arch_adam_betas": [0.5, 0.999], "cutout": 16}
    )
    assert "job is search there and train here, channels is 16 there and 36 here, k is 4 there and 1 here" in text
    assert "2 more differ" in text
    assert "cutout" not in text


def test_a_full_disk_leaves_the_earlier_checkpoint(
    path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    larger = {"epoch": 4, "weights": torch.arange(5000.0)}
    with full_disk(10_000), pytest.raises(RunError, match=r"cannot save .*checkpoint\.pt: File too large"):
        save_checkpoint(path, larger, FINGERPRINT)
    assert load_checkpoint(path, FINGERPRINT)["epoch"] == 3
    assert list(path.parent.iterdir()) == [path]
