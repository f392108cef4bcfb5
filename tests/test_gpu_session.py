"""`benchmarks/gpu_session.py`: commands end in time and leave what was known; images travel without a loss."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gpu_session_data
from gpu_session import failing_alone, part_of
from gpu_session_commands import Session
from gpu_session_machine import numbers, prepare_images
from gpu_session_parts import read_reports
from gpu_session_runs import Epochs, enough

ROOT = Path(__file__).parents[1]

SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "out").mkdir()
    return Session(tmp_path / "out", tmp_path / "work", time.monotonic() + 300)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def json_of(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def is_alive(pid: int) -> bool:
    """Whether a process is there that does more than wait to be forgotten."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# ---- commands ----


def test_a_command_that_hangs_is_killed_at_its_limit_with_what_it_started_and_the_next_one_runs(
    session: Session,
) -> None:
    family = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {DEAF!r}]).pid, flush=True); " + DEAF
    )
    hung = session.command("a", "hung", python(family), 2)
    after = session.command("a", "after", python("print('here')"), 20)
    assert (hung.ended, hung.code) == ("killed", -signal.SIGABRT)
    assert "<string>" in hung.text()  # where it hung; both processes write at once
    assert not is_alive(int(hung.text().split()[0]))
    assert (after.ended, after.text()) == ("done", "here\n")


def test_a_command_that_crashes_leaves_its_traceback_where_the_results_are(session: Session) -> None:
    session.command("a", "crash", python("raise ValueError('no such luck')"), 20)
    step = json_of(session.output / "a.json")["steps"]["crash"]
    assert (step["ended"], step["code"]) == ("failed", 1)
    assert "Traceback" in step["tail"]
    assert "ValueError: no such luck" in step["tail"]
    with tarfile.open(session.output / "session.tar.gz") as archive:
        log = archive.extractfile("logs/a-crash.log")
        assert log is not None
        assert b"no such luck" in log.read()


def test_a_program_that_is_not_there_is_a_failed_command(session: Session) -> None:
    ended = session.command("machine", "driver", ["no-such-program"], 20)
    assert (ended.ended, ended.code) == ("failed", 127)
    assert "no-such-program" in session.part("machine")["steps"]["driver"]["tail"]


def test_a_mistake_in_a_part_is_kept_and_costs_the_others_nothing(session: Session) -> None:
    for part in "ab":
        with failing_alone(session, part):
            session.command(part, "step", python("print('done')"), 20)
            if part == "a":
                raise LookupError("a mistake")
    session.save()
    assert "LookupError: a mistake" in json_of(session.output / "a.json")["mistake"]
    assert "mistake" not in json_of(session.output / "b.json")
    assert "LookupError: a mistake" in session.table()


def test_a_watched_command_is_stopped_as_a_user_would_and_may_save(session: Session) -> None:
    saves = (
        "import signal, sys, time; from pathlib import Path\n"
        "def end(*_): Path('saved').write_text('x'); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, end); Path('ready').write_text(''); time.sleep(600)"
    )
    ended = session.command("e", "search", python(saves), 60, watch=(session.work / "ready").exists)
    assert (ended.ended, ended.code) == ("stopped", 130)
    assert (session.work / "saved").exists()


def test_nothing_starts_when_the_time_is_up(session: Session) -> None:
    session.deadline = time.monotonic()
    ended = session.command("a", "late", python(SLEEP), 100)
    assert ended.ended == "not started"
    assert json_of(session.output / "a.json")["steps"]["late"]["ended"] == "not started"


def test_what_comes_back_are_few_files_without_the_large_ones(session: Session) -> None:
    for name, size in (("runs/x/log.txt", 10), ("runs/x/checkpoint.pt", 10), ("figures/trace.json", 5 * 10**6)):
        path = session.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    for part in ("machine", *"abcdef"):
        session.command(part, "step", python(""), 20)
    assert sorted(path.name for path in session.output.iterdir()) == sorted(
        [*(f"{part}.json" for part in "abcdef"), "session.tar.gz", "summary.json"]
    )
    with tarfile.open(session.output / "session.tar.gz") as archive:
        assert {name for name in archive.getnames() if not name.startswith("logs")} == {"runs/x/log.txt"}
    assert json_of(session.output / "summary.json")["left_out_of_the_archive"] == ["figures/trace.json"]


# ---- the whole ----


def whole(output: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    script = ROOT / "benchmarks" / "gpu_session.py"
    words = [sys.executable, script, "--output", output, "--work", output.parent / "work", "--rehearse", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_session_that_is_asked_to_end_says_what_was_known_and_leaves_no_process(tmp_path: Path) -> None:
    job = whole(tmp_path / "out", "--parts", "a")
    while job.poll() is None and not list((tmp_path / "work").glob("logs/a-*.log")):
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    said = job.communicate(timeout=60)[0]
    assert job.returncode == 0, said
    summary = json_of(tmp_path / "out" / "summary.json")
    assert "ended before everything was done: SIGTERM" in summary["notes"]
    assert summary["machine"]["torch"]
    assert set(summary["parts"]["a"]["steps"].values()) == {
        value for value in summary["parts"]["a"]["steps"].values() if "cut short" in value or "not started" in value
    }
    assert "cut short" in said
    assert not [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if str(tmp_path) in command_of(pid)]


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    return ""


def test_a_rehearsed_training_from_pieces_gives_a_rate_and_keeps_its_log(tmp_path: Path) -> None:
    gpu_session_data.pack(made_up_tar(tmp_path / "some.tar", 64, side=8), tmp_path / "pieces")
    job = whole(tmp_path / "out", "--parts", "f", "--images", tmp_path / "pieces" / "images-1-of-2.zip")
    said = job.communicate(timeout=200)[0]
    assert job.returncode == 0, said
    part = json_of(tmp_path / "out" / "f.json")
    rate = part["rates"]["float32"]
    assert rate["images_per_second"] == pytest.approx(
        rate["steps_per_epoch"] * 8 / np.median(rate["seconds"][1:]), rel=0.1
    )
    assert part["images"].startswith("32 real training images, of 1 pieces (2 make up the whole set")
    assert f"float32: {rate['images_per_second']:.0f} images/s" in said
    with tarfile.open(tmp_path / "out" / "session.tar.gz") as archive:
        assert {"logs/f-float32.log", "runs/f-float32/metrics.jsonl"} <= set(archive.getnames())


def test_an_unknown_part_and_a_full_output_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    script = ROOT / "benchmarks" / "gpu_session.py"
    for words, why in ((["--parts", "a,x"], "there is no part 'x'"), ([], "is not empty")):
        command = [sys.executable, script, "--output", tmp_path, *words]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode != 0
        assert why in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# ---- what is read ----


def test_epochs_are_read_while_a_job_writes_them(tmp_path: Path) -> None:
    epochs = Epochs(tmp_path)
    watch = enough(epochs, 3)
    assert not watch()
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 1, "seconds": 5.0}\n{"epoch": 2, "seconds": 7.0}\n{"epoch": 3, "sec'
    )
    assert not watch()
    assert epochs.seconds() == [5.0, 2.0]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('onds": 11.0}\n')
    assert watch()
    assert epochs.seconds() == [5.0, 2.0, 4.0]
    assert epochs.steady() == 3.0


def test_what_tests_said_is_known_when_each_ends_and_told_in_numbers_and_words(session: Session) -> None:
    (session.work / "test_three.py").write_text(
        "import os, pytest\n"
        "def test_one(record_property): record_property('error', 0.5)\n"
        "def test_two(): assert 1 == 2\n"
        "@pytest.mark.skip(reason='no GPU')\n"
        "def test_three(): pass\n"
        "def test_four(): os._exit(3)\n"
    )
    reports = session.work / "reports.jsonl"
    environment = {"GPU_SESSION_REPORTS": str(reports), "PYTHONPATH": str(ROOT / "benchmarks")}
    pytest_words = [sys.executable, "-m", "pytest", "-q", "-p", "gpu_session_reports", "test_three.py"]
    ended = session.command("b", "pytest", pytest_words, 60, environment=environment)
    assert ended.code == 3
    told = read_reports(reports)
    assert told["lines"][0] == "1 failed, 1 passed, 1 skipped"
    assert told["lines"][1] == "failed: test_three.py::test_two"
    assert told["lines"][2].split() == ["E", "assert", "1", "==", "2"]
    assert told["tests"][0]["figures"] == {"error": 0.5}
    assert "no GPU" in told["tests"][2]["why"]
    assert read_reports(session.work / "none.jsonl")["lines"] == ["no test has ended"]


def test_a_part_may_have_a_limit_of_its_own() -> None:
    assert part_of("c=150") == ("c", 150.0)
    assert part_of(" e ") == ("e", None)


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("2.11.0+cu130") > numbers("2.9")
    assert numbers("3.20.1") >= numbers("3.20.1")


# ---- images ----


def made_up_tar(path: Path, count: int, side: int = 12) -> Path:
    """So many noisy images of two classes as training set, and half as many as test set."""
    noise = np.random.default_rng(0)
    folder = path.parent / "originals"
    for which, number in (("train", count), ("test", count // 2)):
        for index in range(number):
            place = folder / which / ("cat", "dog")[index * 2 // number]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(place / f"{index:03}.png")
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "train", "train")
        archive.add(folder / "test", "test")
    return path


def test_unpacked_images_equal_the_originals_and_each_piece_has_all_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_session_data, "COLUMNS", 4)
    monkeypatch.setattr(gpu_session_data, "ROWS", 2)  # several mosaics, the last one not full
    tar = made_up_tar(tmp_path / "some.tar", 30)
    pieces = gpu_session_data.pack(tar, tmp_path / "pieces", pieces=2)
    found = gpu_session_data.unpack(pieces, tmp_path / "both", processes=1)
    assert found == {"images": 45, "test": 15, "train": 30}
    assert gpu_session_data.check(tar, tmp_path / "both") == 45
    gpu_session_data.unpack(pieces[:1], tmp_path / "one", test_images=4, processes=1)
    for which, count in (("train", 15), ("test", 4)):
        files = list((tmp_path / "one" / which).glob("*/*.bmp"))
        assert len(files) == count
        assert {file.parent.name for file in files} == {"cat", "dog"}


def test_a_changed_pixel_and_a_missing_image_are_found(tmp_path: Path) -> None:
    tar = made_up_tar(tmp_path / "some.tar", 4)
    gpu_session_data.unpack(gpu_session_data.pack(tar, tmp_path / "pieces", 1), tmp_path / "images", processes=1)
    one = tmp_path / "images" / "train" / "cat" / "000.bmp"
    whole = one.read_bytes()
    one.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"train/cat/000\.png differs"):
        gpu_session_data.check(tar, tmp_path / "images")
    one.unlink()
    with pytest.raises(FileNotFoundError):
        gpu_session_data.check(tar, tmp_path / "images")


def test_pieces_are_not_written_over_nor_too_large(tmp_path: Path) -> None:
    tar = made_up_tar(tmp_path / "some.tar", 4)
    with pytest.raises(ValueError, match="more than 100: use more pieces"):
        gpu_session_data.pack(tar, tmp_path / "pieces", 1, most_bytes=100)
    assert list((tmp_path / "pieces").iterdir()) == []
    gpu_session_data.pack(tar, tmp_path / "pieces", 1)
    with pytest.raises(ValueError, match=r"images-1-of-1.zip exists"):
        gpu_session_data.pack(tar, tmp_path / "pieces", 1)


def test_a_piece_that_leads_out_of_the_folder_or_comes_twice_is_refused(tmp_path: Path) -> None:
    piece = tmp_path / "evil.zip"
    with zipfile.ZipFile(piece, "w") as file:
        file.writestr("index.json", json.dumps({"side": 8, "mosaics": [["../outside.png"]]}))
    with pytest.raises(ValueError, match="leads out of the folder"):
        gpu_session_data.unpack([piece], tmp_path / "images")
    good = gpu_session_data.pack(made_up_tar(tmp_path / "some.tar", 4), tmp_path / "pieces", 1)
    with pytest.raises(ValueError, match="two pieces"):
        gpu_session_data.unpack(good * 2, tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_without_pieces_images_are_noise_and_that_is_said(session: Session) -> None:
    images = prepare_images(session, [session.work / "nowhere"], tiny=True)
    assert images.what.startswith("160 synthetic training images (noise)")
    assert len(list((images.folder / "train").glob("*/*.bmp"))) == images.train == 160
    assert images.what in session.about["notes"]
