"""Progress: plain lines where nobody watches, a live display on a terminal, and the log in both cases."""

import os
import pty
import signal
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from pcdarts.run.display import progress as progress_module
from pcdarts.run.display.progress import Pace, Progress, duration, rough
from pcdarts.run.display.tracking import Tracker
from pcdarts.run.run_folder import RunFolder
from terminal import Terminal, printing_on_a_terminal


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, its only member, as a test sets it."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


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


def test_measurements_between_two_steps_are_counted(
    run: RunFolder, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(run, 1, 2) as progress:
        for step in (1, 2):
            progress.step(1, step, images=10)
            capsys.readouterr()
            for _ in range(90):
                clock[0] += 1
                progress.measured()
            said = capsys.readouterr().out.splitlines()
            assert said == [f"after the last step: {number} measurements" for number in (30, 60, 90)]


def test_a_loss_does_not_keep_its_graph(run: RunFolder) -> None:
    class Activations:
        pass

    loss, activations = (torch.ones(1, requires_grad=True) * 2).sum(), Activations()
    assert loss.grad_fn is not None
    loss.grad_fn.metadata["kept"], graph = activations, weakref.ref(activations)
    with Progress(run, total_epochs=1, steps_per_epoch=2) as progress:
        progress.step(1, 1, images=1, loss=loss)
        del loss, activations
        assert graph() is None


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


def test_a_run_resumed_in_mid_epoch_says_what_is_left_of_it(run: RunFolder, clock: list[float]) -> None:
    with Progress(run, total_epochs=3, steps_per_epoch=100) as progress:
        progress.begin(1, "images", steps_done=97)
        for step in (98, 99):
            clock[0] += 10
            progress.step(2, step, images=1)
        assert run.read_state()["seconds_left"] == 101 * 10
        clock[0] += 40
        progress.step(2, 100, images=1)
        progress.epoch({"epoch": 2})
    assert run.read_state()["seconds_left"] == 100 * (10 + 40) / 2


def test_the_state_of_the_run_follows(run: RunFolder, clock: list[float]) -> None:
    def place() -> list[object]:
        state = run.read_state()
        return [state[name] for name in ("state", "epoch", "epochs", "step", "steps", "seconds_left")]

    with Progress(run, total_epochs=2, steps_per_epoch=2) as progress:
        progress.begin(0, "images")
        assert place() == ["running", 1, 2, 0, 2, None]
        progress.step(1, 1, images=1)
        assert place() == ["running", 1, 2, 0, 2, None]  # too soon to say more
        clock[0] += 60
        progress.step(1, 2, images=1)
        assert place()[:5] == ["running", 1, 2, 2, 2]
        progress.epoch({"epoch": 1})
        clock[0] += 60
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


@pytest.mark.parametrize(
    ("seconds", "text"), [(45.4, "45 s"), (99.6, "2 min"), (3900, "65 min"), (6000, "1.7 h"), (1e6, "278 h")]
)
def test_a_rough_duration_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert rough(seconds) == text


RECORDS = {
    "search": {"weight_loss": 2.30123, "weight_top1_error": 87.512, "arch_loss": 2.2987, "arch_top1_error": 100.0},
    "train": {"train_loss": 0.01234, "train_top1_error": 0.034, "test_top1_error": 12.57, "test_top5_error": 0.1},
    "random search": {
        "candidate": 24,
        "weight_loss": 2.30123,
        "weight_top1_error": 87.512,
        "arch_top1_error": 86.1,
        "best_arch_top1_error": 55.3,
    },
    "detect": {
        "train_loss": 12.3012,
        "train_box_loss": 3.1,
        "train_class_loss": 2.1,
        "AP": 12.345,
        "AP50": 23.45,
        "AP_large": None,
    },
}
"""Long ones, of every job."""
WATCHED = {
    "search": "weight/arch loss 2.301/2.299  error 87.5/100 %",
    "train": "train loss 0.012  train/test error 0.03/12.6 %",
    "random search": "weight loss 2.301  weight/arch error 87.5/86.1 %",
    "detect": "train loss 12.301  AP 12.3 %",
}


@pytest.mark.parametrize("job", RECORDS)
def test_an_epoch_of_every_job_is_one_line_of_a_terminal_and_the_log_has_all_of_it(
    run: RunFolder, job: str, clock: list[float]
) -> None:
    record = {"epoch": 1499, "learning_rate": 0.02468, **RECORDS[job], "skip_connects": 8}
    with printing_on_a_terminal(80) as terminal:
        with Progress(run, total_epochs=1500, steps_per_epoch=2) as progress:
            progress.step(1499, 1, images=1)
            clock[0] = 23_000.0  # an epoch takes 13 hours
            progress.step(1499, 2, images=1)
            progress.epoch(record)
        shown = terminal.read()
    assert [row for row, _ in shown.rows] == shown.lines  # no row goes on in the next one
    (line,) = [line for line in shown.lines if line.startswith("epoch 1499/1500  ")]  # beside the display
    assert line.startswith(f"epoch 1499/1500  {WATCHED[job]}  12.8 h left")
    assert "learning rate" not in line
    whole = run.log.read_text()
    names = [name for name, value in record.items() if value is not None and name != "epoch"]
    words = [name.replace("_", " ").replace("top1", "top-1").replace("top5", "top-5") for name in names]
    assert [word for word in words if word not in whole] == []


def displays(terminal: Terminal) -> int:
    """How many displays are on the screen, whole or not, by their second line."""
    return sum(line.split()[:1] == ["run"] for line in terminal.read().lines)


@pytest.mark.parametrize("widths", [[80, 60, 45], [30, 20, 33], [100, 24, 100, 12, 200]])
@pytest.mark.parametrize("told_late", [False, True], ids=["told at once", "told late"])
def test_a_terminal_that_changes_its_width_keeps_no_bars(run: RunFolder, widths: list[int], told_late: bool) -> None:
    with printing_on_a_terminal(120) as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pcdarts.run.display.live.REFRESH_SECONDS", 0.0)
        said = [f"{run.path}: 40 images"]
        with Progress(run, total_epochs=len(widths), steps_per_epoch=2) as progress:
            progress.begin(0, "40 images")
            for epoch, width in enumerate(widths, 1):
                progress.step(epoch, 1, images=64, weight_loss=0.5, weight_top1_error=torch.tensor(12.5))
                assert displays(terminal) == 1
                terminal.resize(width, told_late=told_late)
                progress.step(epoch, 2, images=64, weight_loss=0.5, weight_top1_error=torch.tensor(12.5))
                assert displays(terminal) == 1
                terminal.resize(width)
                progress.warn("the newest checkpoint is damaged")
                said.append("pcdarts: warning: the newest checkpoint is damaged")
                progress.epoch({"epoch": epoch})
                said.append(f"epoch {epoch}/{len(widths)}")
        assert [line.split("  ")[0] for line in terminal.read().lines if line] == said
        assert "━" in terminal.seen


def test_a_new_width_is_drawn_before_the_next_step(run: RunFolder) -> None:
    with printing_on_a_terminal(120) as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pcdarts.run.display.live.REFRESH_SECONDS", 0.0)
        with Progress(run, total_epochs=1, steps_per_epoch=2) as progress:
            progress.step(1, 1, images=64, weight_loss=0.5)
            assert terminal.read().lines[-1] == "weight loss 0.500"
            terminal.resize(12)
            assert terminal.screen.lines[-1] == "weight loss…"
        handler = signal.getsignal(signal.SIGWINCH)
    assert handler == signal.SIG_DFL


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(run: RunFolder) -> None:
    with printing_on_a_terminal(80) as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "dumb")
        with Progress(run, total_epochs=1, steps_per_epoch=2) as progress:
            progress.step(1, 1, images=64, weight_loss=0.5)
            progress.epoch({"epoch": 1, "weight_loss": 0.75})
        assert terminal.read().lines == ["epoch 1/1  weight loss 0.75", ""]
        assert "\x1b" not in terminal.seen


ON_A_TERMINAL_OF_ITS_OWN = """
import fcntl, sys, termios, time
from pathlib import Path
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.interruption import Interruption
from pcdarts.run.display.progress import Progress
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
interruption = Interruption()
with Progress(RunFolder(Path(sys.argv[1])), 1000, 1) as progress, interruption.awaited():
    for epoch in range(1, 1001):
        progress.step(epoch, 1, images=1)
        progress.epoch({"epoch": epoch})
        if interruption.received is not None:
            break
        time.sleep(0.05)
    progress.warn("nobody reads this")
    progress.say("saved")
print("nor this")
sys.exit(128 + interruption.received)
"""


def test_a_terminal_that_is_closed_ends_a_job_as_its_signal_asks_and_with_no_error(run: RunFolder) -> None:
    terminal, inside = pty.openpty()
    command = [sys.executable, "-c", ON_A_TERMINAL_OF_ITS_OWN, str(run.path)]
    environment = {**os.environ, "TERM": "xterm"}
    job = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environment, start_new_session=True)
    os.close(inside)
    seen = b""
    while b"epoch 2/1000" not in seen:
        seen += os.read(terminal, 4096)
    os.close(terminal)
    assert job.wait() == 128 + signal.SIGHUP
    assert run.log.read_text().endswith("warning: nobody reads this\nsaved\n")
