"""A session around a made-up job: what it saves, shows and restores of two stages, wherever it is interrupted."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from command_line import checkpoint_of
from pcdarts.config.configs import TrainConfig
from pcdarts.errors import InputError, RunError
from pcdarts.run.device import describe_device
from pcdarts.run.finite import NotFinite
from pcdarts.run.interruption import Interrupted
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.session import session
from run_ends import differences, end_of

STEPS, EPOCHS = 3, 2
WIDTHS = (2, 3)
"""Of the networks of the two stages, each of which has so many epochs."""
CPU = torch.device("cpu")


class Made:
    """Images, and batches of them: those of an epoch are a function of its number."""

    notes = ("made up",)

    def __init__(self, width: int = 0, skipped: tuple[str, ...] = ()) -> None:
        self.width, self.skipped = width, skipped

    def digest(self) -> str:
        return "made"

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(start, STEPS):
            yield torch.full((4, self.width), 1.0 + epoch + number / 10), torch.ones(4)


class Sum:
    """The sum of an epoch's losses."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.total = torch.zeros(())

    def so_far(self) -> dict[str, Tensor]:
        return {"train_loss": self.total}

    def named(self) -> dict[str, float]:
        return {"train_loss": float(self.total)}

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total = state["total"]


def work(
    run: RunFolder,
    resume: bool = False,
    *,
    in_step: Callable[[int, int], object] = lambda epoch, step: None,
    widths: tuple[int, ...] = WIDTHS,
    more: bool = False,
    skipped: tuple[str, ...] = (),
    **settings: Any,
) -> None:
    """The job: networks of several widths, one stage each; `in_step` is called in the middle of every step."""
    config = TrainConfig(epochs=EPOCHS * len(WIDTHS), **settings)
    losses, data = Sum(), Made(skipped=skipped)
    with session(config, run, resume, ALONE, device=CPU, data=data, losses={"losses": losses}, steps=STEPS) as job:
        for width in job.stages(widths):
            network = nn.Linear(width, 1)
            nn.init.constant_(network.weight, 0.1)
            nn.init.constant_(network.bias, 0.0)
            optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9)
            job.keep(network=network, optimizer=optimizer)
            if more:
                job.keep(more=Sum())
            job.watch(network)
            job.begin("4 images", data.notes)
            for epoch, learning_rate in job.epochs((job.place.stage + 1) * EPOCHS, lambda epoch: 1 / (1 + epoch)):
                for step, (images, labels) in job.steps(Made(width), epoch):
                    with job.guarded():
                        loss = (network(images).flatten() - labels).square().mean()
                        optimizer.zero_grad()
                        loss.backward()
                        in_step(epoch, step)
                        optimizer.step()
                        losses.total = losses.total + loss.detach()
                job.end_epoch({"learning_rate": learning_rate, **job.measured()}, also_saved={"width": width})
        job.finish({"width": widths[-1], **job.account()}, ["done"])


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    run = new_run(tmp_path / "undisturbed")
    work(run)
    return run.path


def new_run(path: Path) -> RunFolder:
    return RunFolder.create(path)


def ask_to_end(at: tuple[int, int]) -> Callable[[int, int], None]:
    """In this step of this epoch, both from 0, the process is sent a SIGTERM."""

    def in_step(epoch: int, step: int) -> None:
        if (epoch, step) == at:
            os.kill(os.getpid(), signal.SIGTERM)

    return in_step


def fail(at: tuple[int, int], error: Exception) -> Callable[[int, int], None]:
    def in_step(epoch: int, step: int) -> None:
        if (epoch, step) == at:
            raise error

    return in_step


@pytest.mark.parametrize("at", [(0, 0), (1, 2), (2, 0), (3, 1)])
def test_a_signal_saves_after_the_step_and_the_run_goes_on_to_the_same_bits(
    tmp_path: Path, undisturbed: Path, at: tuple[int, int]
) -> None:
    run = new_run(tmp_path / "run")
    epoch, step = at
    with pytest.raises(Interrupted, match=f"after step {step + 1} of epoch {epoch + 1}, and saved"):
        work(run, in_step=ask_to_end(at))
    saved = checkpoint_of(run.path)
    assert (saved["/state/place/epoch"], saved["/state/place/step"]) == (epoch, step + 1)
    assert saved["/state/place/stage"] == epoch // EPOCHS
    work(run, resume=True)
    assert differences(end_of(run.path), end_of(undisturbed)) == []


def test_an_exception_in_a_step_saves_nothing_of_it(tmp_path: Path, undisturbed: Path) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(OSError, match="no such luck"):
        work(run, in_step=fail((1, 1), OSError("no such luck")), checkpoint_minutes=1e-9)
    saved = checkpoint_of(run.path)
    assert (saved["/state/place/epoch"], saved["/state/place/step"]) == (1, 1)  # the step before it
    work(run, resume=True)
    assert differences(end_of(run.path), end_of(undisturbed)) == []


def test_a_step_that_is_not_due_is_not_saved(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(OSError, match="no such luck"):
        work(run, in_step=fail((1, 2), OSError("no such luck")))
    saved = checkpoint_of(run.path)
    assert (saved["/state/place/epoch"], saved["/state/place/step"]) == (1, 0)


def test_every_epoch_is_in_the_metrics_with_what_only_they_hold_and_on_the_screen_without(
    undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = RunFolder(undisturbed).read_metrics()
    assert [(record["epoch"], record["width"]) for record in records] == [(1, 2), (2, 2), (3, 3), (4, 3)]
    assert [record["learning_rate"] for record in records] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert all(record.keys() == {"epoch", "learning_rate", "train_loss", "seconds", "width"} for record in records)
    lines = (undisturbed / "log.txt").read_text().splitlines()
    assert [line[:9] for line in lines[2:6]] == [f"epoch {epoch}/4" for epoch in (1, 2, 3, 4)]
    assert "width" not in "".join(lines)


def test_it_says_once_where_it_begins_however_many_stages_there_are(undisturbed: Path) -> None:
    lines = (undisturbed / "log.txt").read_text().splitlines()
    assert lines[:2] == [f"{undisturbed}: 4 images, on {describe_device(CPU)}", "made up"]
    assert lines.count("made up") == 1
    assert lines[-1] == "done"


def test_a_record_that_a_kill_kept_from_the_metrics_is_added_when_the_run_goes_on(
    tmp_path: Path, undisturbed: Path
) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(OSError, match="gone"):
        work(run, in_step=fail((2, 0), OSError("gone")))
    lines = run.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text(lines[0])  # as if the kill had come between checkpoint and metrics
    work(run, resume=True)
    assert differences(end_of(run.path), end_of(undisturbed)) == []
    assert len(run.metrics.read_text().splitlines()) == 4


def test_a_batch_that_is_not_finite_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    work(run, in_step=fail((1, 1), NotFinite("the loss is nan")), max_skipped_batches=1)
    assert run.read_result() == {"width": 3, "skipped_batches": 1, "skipped_images": 0}
    warning = "warning: the loss is nan in epoch 2, step 2, at learning rate 0.5: this batch is skipped"
    assert warning in run.log.read_text()


def test_images_that_cannot_be_read_are_listed_once(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    work(run, skipped=("a.png is damaged", "b.png is empty"))
    assert (run.path / "skipped_images.txt").read_text() == "a.png is damaged\nb.png is empty\n"
    assert run.log.read_text().count("skipped 2 images that cannot be read") == 1
    assert run.read_result()["skipped_images"] == 2


def test_a_checkpoint_without_one_of_the_parts_is_of_another_version(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(Interrupted):
        work(run, in_step=ask_to_end((0, 0)))
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(InputError, match=r"checkpoint\.pt does not hold 'more': it was saved by another version"):
        work(run, resume=True, more=True)
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_a_checkpoint_of_a_network_of_another_size_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(Interrupted):
        work(run, in_step=ask_to_end((0, 0)))
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(InputError, match="does not fit the networks of its run"):
        work(run, resume=True, widths=(5, 3))
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_a_lack_of_memory_is_explained_and_other_errors_are_not(tmp_path: Path) -> None:
    asked = []

    def explanation() -> str:
        asked.append(True)
        return "a step of 4 images: take 2"

    with pytest.raises(RunError) as lack, explain_out_of_memory(explanation):
        work(new_run(tmp_path / "one"), in_step=fail((0, 1), MemoryError()))
    assert str(lack.value) == "out of memory in a step of 4 images: take 2"
    with pytest.raises(RuntimeError, match="shapes differ"), explain_out_of_memory(explanation):
        work(new_run(tmp_path / "other"), in_step=fail((0, 1), RuntimeError("shapes differ")))
    assert asked == [True]
