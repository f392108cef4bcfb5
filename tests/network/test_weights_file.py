"""Files of weights that other programs saved: what is read of them, and that nothing in them runs."""

import argparse
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pcdarts.errors import InputError
from pcdarts.network.weights_file import read_weights

DAMAGED = "is truncated or damaged, or torch.save did not write it: fetch or save it again"
STATE = {"a.weight": torch.arange(300.0), "a.bias": torch.ones(2)}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_weights(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(f"{path} ")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "the format before 1.6"])
def test_what_torch_saves_is_read(tmp_path: Path, zipped: bool) -> None:
    torch.save(STATE, tmp_path / "weights.pt", _use_new_zipfile_serialization=zipped)
    read = read_weights(tmp_path / "weights.pt")
    assert all(torch.equal(read[name], STATE[name]) for name in STATE)


def test_safetensors_of_others_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert torch.equal(read_weights(tmp_path / "model.safetensors")["a.weight"], STATE["a.weight"])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:100])
    assert refusal(tmp_path / "cut.safetensors").startswith("is truncated or damaged (")


def test_numpy_numbers_arrays_and_arguments_beside_the_weights_are_no_hindrance_and_not_made(tmp_path: Path) -> None:
    beside = {"best_acc": np.float64(74.9), "args": argparse.Namespace(lr=np.float32(0.1)), "rng": np.arange(3)}
    torch.save({"state_dict": STATE, **beside, "optimizer": {"state": {}}}, tmp_path / "model_best.pth.tar")
    read = read_weights(tmp_path / "model_best.pth.tar")
    assert torch.equal(read["state_dict"]["a.weight"], STATE["a.weight"])
    assert {type(read[name]).__name__ for name in beside} == {"_Ignored"}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_refused_and_its_class_is_named(tmp_path: Path, zipped: bool) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    message = refusal(tmp_path / "whole.pt")
    assert "a whole model or other objects (torch.nn.modules.linear.Linear), not weights alone" in message
    assert "torch.save(model.state_dict(), ...)" in message


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return open, (str(self.path), "w")  # type: ignore[return-value]


def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "x": _Trap(tmp_path / "trap")}, tmp_path / "weights.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Trap(tmp_path / "trap")))
    assert "(io.open)" in refusal(tmp_path / "weights.pt")
    assert "damaged" in refusal(tmp_path / "plain.pt")
    assert not (tmp_path / "trap").exists()


def test_files_of_other_kinds_are_refused_in_a_line(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "weights.pt")
    content = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[:-300])
    (tmp_path / "numbers.pkl").write_bytes(pickle.dumps({"classifier.weight": [0.5]}))
    assert refusal(tmp_path / "numbers.pkl") == DAMAGED
    assert refusal(tmp_path / "cut.pt") == DAMAGED
    (tmp_path / "empty.pt").write_bytes(b"")
    assert refusal(tmp_path / "empty.pt") == "is empty: give a file of weights"
    (tmp_path / "page.pt").write_bytes(b"<html>404</html>")
    assert refusal(tmp_path / "page.pt").startswith("is not a file of weights: give one that torch.save wrote")
    assert refusal(tmp_path / "gone.pt") == "cannot be read (No such file or directory)"
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    assert refusal(tmp_path / "old.pt").startswith("is of the .tar format that PyTorch wrote before 2017")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    assert "damaged" in refusal(tmp_path / "bomb.pt")


def test_a_program_of_torchscript_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        archive.writestr("program/constants.pkl", b"")
    assert refusal(tmp_path / "program.pt").startswith("is a TorchScript program, which is not read")
