"""A checkpoint is loaded whole and by the run it belongs to, or refused in one line that says why."""

import io
import os
import pickle
import random
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import end_of
from forked import Forked
from pcdarts.errors import InputError, RunError
from pcdarts.run.checkpoint import _seal, load_checkpoint, load_state, previous_of, read_newest, save_checkpoint

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


def test_a_checkpoint_with_a_flipped_bit_is_refused_wherever_it_is(path: Path) -> None:
    content = path.read_bytes()
    places = [*range(0, len(content), 97), *range(len(content) - 75, len(content))]  # densely in the checksum
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        assert "damaged" in (text := message(path)) or "is not a checkpoint" in text


def test_the_checksum_leaves_it_a_file_for_torch(path: Path) -> None:
    assert path.read_bytes()[-71:-64] == b"sha256:"
    loaded = torch.load(path, weights_only=True)
    assert torch.equal(loaded["state"]["weights"], torch.arange(1000.0))


def test_random_bytes_are_refused(path: Path) -> None:
    path.write_bytes(bytes(torch.randint(0, 256, (5000,), generator=torch.Generator().manual_seed(0)).tolist()))
    assert "is not a checkpoint" in message(path)


def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(path: Path, tmp_path: Path) -> None:
    path.write_bytes(pickle.dumps(Burglar(tmp_path / "mark")))
    assert "could run code" in message(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_torch_file_with_code_is_refused_and_its_code_does_not_run(path: Path, tmp_path: Path, protocol: int) -> None:
    state = {"format": 1, "fingerprint": FINGERPRINT, "state": {"weights": Burglar(tmp_path / "mark")}}
    torch.save(state, path, pickle_protocol=protocol)
    assert "could run code" in message(path)
    assert not (tmp_path / "mark").exists()


FOREIGN = [
    {"weight": torch.zeros(3)},
    [1, 2],
    {"format": torch.zeros(3)},
    {"format": 2, "state": []},
    {"format": 2, "fingerprint": {"k": torch.zeros(3)}, "state": {}},
]


@pytest.mark.parametrize("content", FOREIGN)
def test_someone_elses_torch_file_is_refused(path: Path, content: object) -> None:
    sealed = io.BytesIO()
    torch.save(content, sealed)
    _seal(sealed)
    path.write_bytes(sealed.getvalue())
    assert "was not written by pcdarts" in message(path)


def test_another_format_is_refused_with_both_versions(path: Path) -> None:
    torch.save({"format": 1, "parts": []}, path)
    assert "has checkpoint format 1, but this version of pcdarts reads 2" in message(path)


def test_a_checkpoint_of_another_configuration_is_refused_with_the_fields_that_differ(path: Path) -> None:
    text = message(path, FINGERPRINT | {"k": 2, "seed": 7})
    assert "k is 4 there and 2 here, seed is 0 there and 7 here" in text


def test_three_differing_fields_are_named_and_the_others_counted(path: Path) -> None:
    text = message(
        path, {"job": "train", "channels": 36, "k": 1, "seed": 5, "arch_adam_betas": [0.5, 0.999], "cutout": 16}
    )
    assert "job is search there and train here, channels is 16 there and 36 here, k is 4 there and 1 here" in text
    assert "1 more differ" in text
    assert "cutout" not in text


def test_settings_that_another_version_does_not_have_do_not_count(path: Path) -> None:
    older = {name: value for name, value in FINGERPRINT.items() if name != "k"}
    assert load_checkpoint(path, {**older, "lr_warmup_epochs": 0})
    with pytest.raises(InputError, match="job is search there and None here"):
        load_checkpoint(path, {})


def test_a_full_disk_leaves_the_earlier_checkpoint(
    path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    larger = {"epoch": 4, "weights": torch.arange(5000.0)}
    with full_disk(10_000), pytest.raises(RunError, match=r"cannot save .*checkpoint\.pt: File too large"):
        save_checkpoint(path, larger, FINGERPRINT)
    assert load_checkpoint(path, FINGERPRINT)["epoch"] == 3
    assert list(path.parent.iterdir()) == [path]


# The newest and the one before


@pytest.fixture
def two(path: Path) -> Path:
    save_checkpoint(path, {"epoch": 4, "weights": torch.arange(1000.0)}, FINGERPRINT)
    return path


def epoch_of(found: tuple[bytes, str | None] | None) -> int:
    assert found is not None
    epoch: int = load_state(found[0], Path("checkpoint.pt"), FINGERPRINT)["epoch"]
    return epoch


def corrupted(content: bytes, draw: random.Random) -> bytes:
    """Content as a failing disk may give it back: cut, empty, with flipped bits or with a block of zeros."""
    match draw.choice(["cut", "empty", "bits", "bits", "bits", "zeros"]):
        case "cut":
            return content[: draw.randrange(len(content))]
        case "empty":
            return b""
        case "zeros":
            start, size = draw.randrange(len(content)), draw.choice([1, 64, 512, 4096])
            return content[:start] + bytes(len(content[start : start + size])) + content[start + size :]
        case _:
            changed = bytearray(content)
            for place in draw.sample(range(8 * len(content)), draw.randint(1, 8)):
                changed[place // 8] ^= 1 << place % 8
            return bytes(changed)


def test_without_any_checkpoint_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert read_newest(tmp_path / "checkpoint.pt") is None


def test_the_newest_checkpoint_is_read_in_silence(two: Path) -> None:
    found = read_newest(two)
    assert epoch_of(found) == 4
    assert found is not None
    assert found[1] is None


def test_the_checkpoint_before_is_kept(two: Path) -> None:
    assert {path.name for path in two.parent.iterdir()} == {"checkpoint.pt", "checkpoint.previous.pt"}
    assert load_checkpoint(previous_of(two), FINGERPRINT)["epoch"] == 3


def test_a_newest_checkpoint_corrupted_in_any_way_gives_way_to_the_one_before_and_that_is_said(two: Path) -> None:
    draw, whole, tried = random.Random(0), two.read_bytes(), 0
    while tried < 400:
        if (content := corrupted(whole, draw)) == whole:  # zeros where there were zeros
            continue
        two.write_bytes(content)
        found = read_newest(two)
        assert epoch_of(found) == 3
        assert found is not None
        assert str(found[1]).startswith(f"the checkpoint {two} ")
        assert str(found[1]).endswith(f": the one before it, {previous_of(two)}, is used")
        tried += 1


def test_a_missing_newest_checkpoint_gives_way_to_the_one_before(two: Path) -> None:
    two.unlink()
    found = read_newest(two)
    assert epoch_of(found) == 3
    assert found is not None
    assert "No such file" in str(found[1])


def test_two_damaged_checkpoints_are_refused_with_both_names(two: Path) -> None:
    two.write_bytes(b"")
    previous_of(two).write_bytes(previous_of(two).read_bytes()[:-1])
    with pytest.raises(InputError) as refusal:
        read_newest(two)
    assert str(refusal.value) == (
        f"the checkpoint {two} is empty, and the one before it, {previous_of(two)}, is truncated or damaged: "
        "restore the file from a copy, or start a new run"
    )


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_good_one(two: Path) -> None:
    two.write_bytes(two.read_bytes()[:-5])
    save_checkpoint(two, {"epoch": 5}, FINGERPRINT)
    assert load_checkpoint(two, FINGERPRINT)["epoch"] == 5
    assert load_checkpoint(previous_of(two), FINGERPRINT)["epoch"] == 3


@pytest.mark.parametrize("how", ["pickle", "torch", "sealed"])
def test_a_newest_checkpoint_with_code_is_refused_and_not_replaced_by_the_one_before(
    two: Path, tmp_path: Path, how: str
) -> None:
    content = {"format": 2, "fingerprint": FINGERPRINT, "state": {"weights": Burglar(tmp_path / "mark")}}
    buffer = io.BytesIO()
    if how == "pickle":
        pickle.dump(content, buffer)
    else:
        torch.save(content, buffer)
    if how == "sealed":
        _seal(buffer)
    two.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="could run code"):
        epoch_of(read_newest(two))
    assert not (tmp_path / "mark").exists()


def test_another_format_is_not_replaced_by_the_one_before(two: Path) -> None:
    torch.save({"format": 1, "parts": []}, two)
    with pytest.raises(InputError, match="has checkpoint format 1"):
        epoch_of(read_newest(two))


def test_where_files_cannot_be_linked_the_one_before_is_kept_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    save_checkpoint(path, {"epoch": 4}, FINGERPRINT)
    assert epoch_of(read_newest(path)) == 4
    assert load_checkpoint(previous_of(path), FINGERPRINT)["epoch"] == 3


SAVERS = """
import os, random, signal, sys, time
from itertools import count
from pathlib import Path
import torch
from pcdarts.run.checkpoint import load_state, read_newest, save_checkpoint

torch.set_num_threads(1)
path, draw, weights, kept = Path(sys.argv[1]), random.Random(0), torch.zeros(200_000), 0
for _ in range(int(sys.argv[2])):
    reading, writing = os.pipe()
    if (saver := os.fork()) == 0:
        for number in count(kept + 1):
            save_checkpoint(path, {"epoch": number, "weights": weights + number}, {})
            os.write(writing, number.to_bytes(4, "big"))
    os.close(writing)
    announced = os.read(reading, 4)
    time.sleep(draw.uniform(0, 0.03))
    os.kill(saver, signal.SIGKILL)
    os.waitpid(saver, 0)
    announced = int.from_bytes((announced + os.read(reading, 60_000))[-4:], "big")
    os.close(reading)
    content, sentence = read_newest(path)
    state = load_state(content, path, {})
    kept = state["epoch"]
    print(announced, kept, torch.equal(state["weights"], weights + kept), sentence)
"""


def test_killed_at_any_moment_a_saver_leaves_the_newest_checkpoint_that_it_announced_or_a_newer_one(
    tmp_path: Path,
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("importing torch for every kill would take long")
    path = tmp_path / "checkpoint.pt"
    ended = end_of(Forked(tmp_path, str(path), "20", code=SAVERS))
    kills = [line.split() for line in ended.out.splitlines()]
    assert len(kills) == 20
    for announced, kept, whole, sentence in kills:
        assert int(kept) >= int(announced)
        assert (whole, sentence) == ("True", "None")


KILLED_BEFORE_EACH_OPERATION = """
import os, signal, sys
from itertools import count
from pathlib import Path
import torch
from pcdarts.run.checkpoint import load_state, read_newest, save_checkpoint

def kill_before_each(path, way):
    kept = 1
    save_checkpoint(path, {"epoch": 0}, {})
    save_checkpoint(path, {"epoch": 1}, {})
    for fatal in count(1):
        if (saver := os.fork()) == 0:
            operations = count(1)
            def hook(event, arguments):
                if event in ("open", "os.link", "os.rename", "os.remove") and next(operations) == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)
            save_checkpoint(path, {"epoch": kept + 1}, {})
            os._exit(0)
        _, status = os.waitpid(saver, 0)
        content, sentence = read_newest(path)
        before, kept = kept, load_state(content, path, {})["epoch"]
        print(way, status, kept - before, sentence is None, flush=True)
        if status == 0:
            return

def refuse(*_):
    raise PermissionError(1, "Operation not permitted")

kill_before_each(Path("linked.pt"), "linked")
os.link = refuse
kill_before_each(Path("renamed.pt"), "renamed")
"""


def test_killed_before_each_single_operation_on_files_a_save_loses_nothing(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("importing torch for every kill would take long")
    ended = end_of(Forked(tmp_path, code=KILLED_BEFORE_EACH_OPERATION))
    kills = [line.split() for line in ended.out.splitlines()]
    for way in ("linked", "renamed"):
        *killed, last = ([status, more, silent] for name, status, more, silent in kills if name == way)
        assert len(killed) > 4
        assert all(status == str(int(signal.SIGKILL)) and more in ("0", "1") for status, more, _ in killed)
        assert last == ["0", "1", "True"]
        if way == "linked":  # else there is an instant with the one before alone, and it is said
            assert all(silent == "True" for _, _, silent in killed)
