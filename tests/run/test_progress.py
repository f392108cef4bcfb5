"""Progress: plain lines where nobody watches, a live display on a terminal, and the log in both cases."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from pcdarts.run import progress as progress_module
from pcdarts.run.folder import RunFolder
from pcdarts.run.progress import Pace, Progress, duration
from pcdarts.run.tracking import Tracker


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


class CountedLoss(torch.Tensor):
    """A loss that counts how often it is read, which on a GPU waits for it."""

    reads = 0

    def __float__(self) -> float:
        CountedLoss.reads += 1
        return float(self.item())


def test_an_epoch_is_one_line_on_the_output_and_in_the_log(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(run, total_epochs=2, steps_per_epoch=3) as progress:
        for step in (1, 2, 3):
            progress.step(1, step, images=64, loss=torch.tensor(2.0))
        progress.epoch({"epoch": 1, "weight_loss": 1.23456789, "top1_error": 12.5, "arch_loss": None, "genotype": "x"})
    output = capsys.readouterr().out
    assert output.startswith("epoch 1/2  weight loss 1.235  top-1 error 12.50 %  ")
    assert "images/s" in output
    assert output.endswith(" left\n")
    assert output == run.log.read_text()


def test_the_last_epoch_has_no_time_left(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(run, total_epochs=1, steps_per_epoch=2) as progress:
        progress.step(1, 1, images=1)
        progress.step(1, 2, images=1)
        progress.epoch({"epoch": 1})
    assert "left" not in capsys.readouterr().out


def test_losses_that_are_not_shown_are_not_read(run: RunFolder) -> None:
    CountedLoss.reads = 0
    loss = torch.tensor(2.0).as_subclass(CountedLoss)
    with Progress(run, total_epochs=1, steps_per_epoch=100) as progress:
        for step in range(1, 101):
            progress.step(1, step, images=64, loss=loss)
    assert CountedLoss.reads == 0


def test_a_long_epoch_says_in_between_where_it_stands(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.0)
    with Progress(run, total_epochs=5, steps_per_epoch=3) as progress:
        progress.step(2, 1, images=64, loss=0.5, arch_loss=torch.tensor(0.25))
        progress.step(2, 2, images=64, loss=0.5, arch_loss=torch.tensor(0.125))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "epoch 2/5  step 1/3  loss 0.5  arch loss 0.25"
    assert second.startswith("epoch 2/5  step 2/3  loss 0.5  arch loss 0.125  ")
    assert not run.log.exists()


def test_a_loss_does_not_keep_its_graph(run: RunFolder) -> None:
    weight = torch.ones(1, requires_grad=True)
    with Progress(run, total_epochs=1, steps_per_epoch=2) as progress:
        progress.step(1, 1, images=1, loss=(weight * 2).sum())
        (kept,) = progress._values.values()
    assert isinstance(kept, torch.Tensor)
    assert not kept.requires_grad


@pytest.mark.parametrize(
    ("epochs_done", "steps_done", "ending"),
    [(0, 0, "images"), (2, 0, "images, from epoch 3 on"), (2, 16, "images, from epoch 3, step 17 on"), (5, 0, None)],
)
def test_the_beginning_says_where_the_run_goes_on(
    run: RunFolder, capsys: pytest.CaptureFixture[str], epochs_done: int, steps_done: int, ending: str | None
) -> None:
    with Progress(run, total_epochs=5, steps_per_epoch=20) as progress:
        progress.begin(epochs_done, "images", steps_done)
    assert capsys.readouterr().out == (f"{run.path}: {ending}\n" if ending else "")


def test_a_run_resumed_in_mid_epoch_says_what_is_left_of_it(run: RunFolder) -> None:
    with Progress(run, total_epochs=3, steps_per_epoch=100) as progress:
        progress.begin(1, "images", steps_done=97)
        for step in (98, 99):
            progress.step(2, step, images=1)
        assert progress._steps_left(2, 99) == 101
        progress.step(2, 100, images=1)
        progress.epoch({"epoch": 2})
    assert run.read_state()["seconds_left"] == pytest.approx(100 * progress._pace._seconds() / 2)


def test_the_state_of_the_run_follows(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def place() -> list[object]:
        state = run.read_state()
        return [state[name] for name in ("state", "epoch", "epochs", "step", "steps", "seconds_left")]

    with Progress(run, total_epochs=2, steps_per_epoch=2) as progress:
        progress.begin(0, "images")
        assert place() == ["running", 1, 2, 0, 2, None]
        progress.step(1, 1, images=1)
        assert place() == ["running", 1, 2, 0, 2, None]  # too soon to say more
        monkeypatch.setattr(progress_module, "STATE_SECONDS", 0.0)
        progress._next_state = 0.0
        progress.step(1, 2, images=1)
        assert place()[:5] == ["running", 1, 2, 2, 2]
        progress.epoch({"epoch": 1})
        progress.step(2, 1, images=1)
        assert place()[:5] == ["running", 2, 2, 1, 2]
        progress.step(2, 2, images=1)
        progress.epoch({"epoch": 2})
        assert place() == ["running", 2, 2, 2, 2, 0.0]


def test_a_quiet_one_prints_and_writes_nothing(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(run, total_epochs=1, steps_per_epoch=1, quiet=True) as progress:
        progress.begin(0, "images")
        progress.step(1, 1, images=1, loss=torch.tensor(1.0))
        progress.epoch({"epoch": 1})
        progress.say("done")
        progress.warn("cold")
    assert capsys.readouterr() == ("", "")
    assert list(run.path.iterdir()) == []


def test_a_warning_goes_to_the_errors_and_into_the_log(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(run, total_epochs=1, steps_per_epoch=1) as progress:
        progress.warn("the newest checkpoint is damaged")
    assert capsys.readouterr() == ("", "pcdarts: warning: the newest checkpoint is damaged\n")
    assert run.log.read_text() == "warning: the newest checkpoint is damaged\n"


def test_every_epoch_is_tracked_and_the_tracker_finished_also_after_an_error(run: RunFolder) -> None:
    events: list[object] = []

    class Listener:
        def log(self, numbers: dict[str, float], epoch: int) -> None:
            events.append((epoch, numbers))

        def finish(self) -> None:
            events.append("finished")

    tracker = Tracker(run, lambda epoch: Listener())
    with suppress(KeyboardInterrupt), Progress(run, 3, 1, tracker=tracker) as progress:
        progress.epoch({"epoch": 1, "loss": 2.0})
        progress.epoch({"epoch": 2, "loss": 1.0})
        raise KeyboardInterrupt
    assert events == [(1, {"loss": 2.0}), (2, {"loss": 1.0}), "finished"]


def test_the_pace_is_that_of_the_last_steps() -> None:
    pace = Pace(window=2)
    assert (pace.images_per_second, pace.time_left(10)) == (None, None)
    for now in (0.0, 100.0, 101.0, 102.0):
        pace.step(now, images=64)
    assert pace.images_per_second == pytest.approx(64)
    assert pace.time_left(10) == pytest.approx(10)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")]
)
def test_a_duration_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ON_A_TERMINAL = """
import sys
from contextlib import suppress
from pathlib import Path
from pcdarts.run import progress
from pcdarts.run.folder import RunFolder
progress.REFRESH_SECONDS = 0.0
with progress.Progress(RunFolder(Path(sys.argv[1])), total_epochs=2, steps_per_epoch=4) as shown:
    for step in range(1, 5):
        shown.step(1, step, images=64, loss=0.5)
    shown.epoch({"epoch": 1, "loss": 0.75})
"""


def test_a_terminal_shows_bars_and_keeps_the_lines_of_the_epochs(run: RunFolder) -> None:
    pty = pytest.importorskip("pty")
    terminal, inside = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    job = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, str(run.path)], stdout=inside, stderr=inside, env=environment
    )
    os.close(inside)
    seen = b""
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:  # Linux: the other end is closed
        pass
    os.close(terminal)
    assert job.wait() == 0, seen.decode()
    text = seen.decode()
    assert "epoch 1/2" in text
    assert "step 3/4" in text
    assert "━" in text
    assert "epoch 1/2  loss 0.75" in text
    assert run.log.read_text().startswith("epoch 1/2  loss 0.75")
