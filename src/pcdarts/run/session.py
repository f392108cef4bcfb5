"""A session of a long job: what each of them needs around its loop, which stays in the job.

    with session(config, run, resume, processes, device, data, losses={"losses": losses}, steps=len(batches)) as job:
        job.keep(network=network, optimizer=optimizer)
        job.watch(network)
        job.begin("1000 images")
        for epoch, learning_rate in job.epochs(config.epochs, rate_of):
            for step, (images, labels) in job.steps(batches, epoch):
                with job.guarded():
                    ...
            job.end_epoch({"learning_rate": learning_rate, **job.measured()})
        job.finish(result)

What comes after the body of a loop (a step is counted, shown and, if that is due, saved) is done when the loop asks
for the next round. So it is not done where the body raises an exception.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.config.job_config import RunConfig
from pcdarts.run.device import describe_device
from pcdarts.run.display.progress import Progress
from pcdarts.run.display.tracking import make_tracker
from pcdarts.run.finite import FiniteCheck, asked_every
from pcdarts.run.processes import Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.saving import Place, Saving, Stateful
from pcdarts.run.whole_files import write_text

Batch_co = TypeVar("Batch_co", covariant=True)
Stage = TypeVar("Stage")


class Data(Protocol):
    """The data of a job, whatever its images are for."""

    @property
    def notes(self) -> Sequence[str]:
        """Lines about the data that are shown before the first epoch."""

    @property
    def skipped(self) -> Sequence[str]:
        """A line for each image that could not be read so far."""

    def digest(self) -> str: ...


class Losses(Stateful, Protocol):
    """Losses and errors over the batches of an epoch so far, by name."""

    def so_far(self) -> dict[str, Tensor]:
        """Those of this process, still on the device."""

    def named(self) -> dict[str, float]:
        """Those of all processes, each of which must call this."""

    def clear(self) -> None:
        """Begin a new epoch."""


class Batches(Protocol[Batch_co]):
    """Batches of images, whose order depends on the number of the epoch."""

    def epoch(self, epoch: int, start: int = 0, /) -> Iterator[Batch_co]:
        """Those of an epoch but for the first `start`."""


@contextmanager
def session(
    config: RunConfig,
    run: RunFolder,
    resume: bool,
    processes: Processes,
    device: torch.device,
    data: Data,
    *,
    losses: Mapping[str, Losses],
    steps: int,
    work: Sequence[float] = (),
    constants: Mapping[str, Any] | None = None,
) -> Iterator["Session"]:
    """The session of a job in the folder `run`; with `resume` it goes on from the newest checkpoint there.

    Signals are only remembered inside: `Session.save_if_due` heeds them.

    Args:
        data: its digest is saved, and a run does not go on with other images.
        losses: what is averaged over each epoch, by the names under which it is saved.
        steps: how many an epoch has.
        work: of each epoch of all stages, in any unit, for the time left; `config.epochs` equal ones where it is empty.
        constants: plain values that are saved too, for programs that read the checkpoint.

    Raises:
        InputError: what tracks the run is not installed; the checkpoints are damaged, or belong to another
            configuration or to other images.
    """
    place = Place()
    finite = FiniteCheck(config.max_skipped_batches, [], processes, asked_every(device))
    saving = Saving(config, run, place, data.digest(), finite, processes, constants)
    tracker = make_tracker(config.track, run, config.model_dump(mode="json")) if processes.is_first else None
    with (
        Progress(run, work or config.epochs, steps, tracker=tracker, quiet=not processes.is_first) as progress,
        saving.interruption.awaited(),
    ):
        if resume:
            saving.restore(progress.warn)
        saving.keep(losses)
        yield Session(
            config, run, processes, device, data, losses, steps, progress.total_epochs, saving, progress, finite
        )


@dataclass
class Session:
    """See `session`, which makes it."""

    config: RunConfig
    run: RunFolder
    processes: Processes
    device: torch.device
    data: Data
    losses: Mapping[str, Losses]
    steps_per_epoch: int
    all_epochs: int
    """Of all stages together."""
    saving: Saving
    progress: Progress
    finite: FiniteCheck
    skipped_images: int = 0
    """How many `skipped_images.txt` lists, those from before a resume included; counted in the first process only."""
    _begun: bool = False
    _learning_rate: float = 0.0

    @property
    def place(self) -> Place:
        """Where the run stands."""
        return self.saving.place

    @property
    def device_name(self) -> str:
        """The device, with the number of devices, as it is written in results."""
        return describe_device(self.device, self.processes.count)

    @property
    def steps_left(self) -> int:
        """Steps until all epochs are done."""
        return (self.all_epochs - self.place.epoch) * self.steps_per_epoch - self.place.step

    def keep(self, **parts: Stateful) -> None:
        """From now on save these parts with the run, under these names.

        Where the run goes on, they are first loaded from its checkpoint. Parts that are kept later, in a further stage,
        replace those of the same names.

        Raises:
            InputError: the checkpoint does not fit the parts.
        """
        self.saving.keep(parts)

    def watch(self, *modules: nn.Module) -> None:
        """From now on make sure, before anything is saved, that these modules are finite, and no others."""
        self.finite.watch(list(modules))

    def begin(self, images_used: str, notes: Iterable[str] = ()) -> None:
        """Say what the job works on, and from where it goes on if it was resumed; mend metrics and log after a kill.

        Only the first call does something: a job with stages calls this in each of them.

        Raises:
            InputError: the metrics cannot be read.
            RunError: something cannot be saved.
        """
        if self._begun:
            return
        self._begun, place, progress = True, self.place, self.progress
        if self.processes.is_first and self.saving.resumed:
            self.run.resume_metrics(place.record)
        if place.record is not None:
            progress.track(place.record)  # a kill may have come between saving it and tracking it
        progress.begin(place.epoch, f"{images_used}, on {self.device_name}", place.step)
        for note in notes:
            if not self.processes.is_first or self.run.is_news(note):
                progress.say(note)
            else:
                self.run.append_log(note)
        self.report_skipped()

    def stages(self, stages: Sequence[Stage]) -> Iterator[Stage]:
        """The stages that are left, of a job with networks of more than one kind; `place.stage` counts them from 0.

        At the beginning of each the job keeps that stage's parts.
        """
        for number in range(self.place.stage, len(stages)):
            if number > self.place.stage:
                self.saving.begin_stage(number)
            yield stages[number]

    def epochs(
        self, until: int, rate_of: Callable[[int], float], drop_path_of: Callable[[int], float] | None = None
    ) -> Iterator[tuple[int, float]]:
        """The epochs that are left `until` so many are done, counted from 0, each with its learning rate."""
        if self.saving.epochs_before:
            self.say(more_epochs_line(self.saving.epochs_before, self.config.epochs, self.place, rate_of, drop_path_of))
            self.saving.epochs_before = None
        for epoch in range(self.place.epoch, until):
            self._learning_rate = rate_of(epoch)
            yield epoch, self._learning_rate

    def steps(self, batches: Batches[Batch_co], epoch: int) -> Iterator[tuple[int, Batch_co]]:
        """The steps that are left of the epoch at hand, counted from 0, each with its batch.

        `epoch` decides the order of `batches`; in a job with stages it may count from 0 in each. After each step, the
        step is counted and shown, and the run is saved if that is due.

        Raises:
            Interrupted: the job is asked to end, and everything is saved.
            RunError: something cannot be saved, or more batches were not finite than may be skipped.
        """
        self.place.start_clock()
        for batch in batches.epoch(epoch, self.place.step):
            yield self.place.step, batch
            self.place.finish_step()
            images = len(batch[0] if isinstance(batch, tuple) else batch.images) * self.processes.count  # type: ignore[attr-defined]
            so_far = {name: value for losses in self.losses.values() for name, value in losses.so_far().items()}
            self.progress.step(self.place.epoch + 1, self.place.step, images=images, **so_far)
            self.save_if_due()
        self.finite.read()
        self.place.count_time()  # what the device still had to do belongs to the steps

    def shorten(self, epochs: int) -> None:
        """From now on all stages together have so many epochs, in what is shown of the time left."""
        self.all_epochs = self.progress.total_epochs = epochs

    def guarded(self) -> AbstractContextManager[None]:
        """A context for what is done with one batch: nothing of it remains if its loss or gradient is not finite.

        Raises:
            RunError: a loss or gradient is not finite, and no more batches may be skipped.
        """
        step = min(self.place.step + 1, self.steps_per_epoch)  # what ends an epoch is counted as its last step
        return self.finite.guarded(self.progress, self.place.epoch + 1, step, self._learning_rate)

    def undivided(self) -> AbstractContextManager[None]:
        """A context for what follows the last step of an epoch: a run that is stopped inside goes on before it."""
        return self.saving.undivided()

    def measured(self) -> dict[str, float]:
        """The losses and errors of the epoch at hand over all processes, each of which must call this."""
        return {name: value for losses in self.losses.values() for name, value in losses.named().items()}

    def end_epoch(
        self,
        record: Mapping[str, Any],
        *,
        also_saved: Mapping[str, Any] | None = None,
        also_shown: Mapping[str, Any] | None = None,
        genotype: Genotype | None = None,
        skipped: Iterable[str] = (),
    ) -> None:
        """All steps of an epoch are done and measured: save that, with the `record` of the epoch, then show it.

        The order is: the epoch's genotype, the checkpoint, a line of the metrics, the screen. A kill at any moment
        loses nothing: if it comes after the checkpoint, `begin` adds the line when the run is resumed.

        Args:
            also_saved: what only the metrics say of the epoch.
            also_shown: what only the screen and the tracker say of it.
            genotype: the one that a search ending with this epoch would give.
            skipped: lines for images that cannot be read, in addition to those of the data.

        Raises:
            RunError: something cannot be saved.
        """
        self.report_skipped(skipped)
        record, first = {"epoch": self.place.epoch + 1, **record}, self.processes.is_first
        whole = {**record, "seconds": self.place.seconds, **(also_saved or {})}
        self.place.finish_epoch(whole)
        for losses in self.losses.values():
            losses.clear()
        if genotype is not None and first:
            write_text(self.run.epoch_genotype(self.place.epoch), genotype.to_json())
        self.saving.save()
        if first:
            self.run.append_metrics(whole)
        self.progress.epoch({**record, **(also_shown or {})})

    def report_skipped(self, lines: Iterable[str] = ()) -> None:
        """List in the run folder the images that any process could not read; say so if there are new ones.

        The end of an epoch does this; who measures afterwards calls it again, in every process.
        """
        lines = self.processes.gather_lines([*self.data.skipped, *lines])
        if not self.processes.is_first:
            return
        path = self.run.path / "skipped_images.txt"
        listed = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        together = list(dict.fromkeys([*listed, *lines]))
        self.skipped_images = len(together)
        if len(together) > len(listed):
            write_text(path, "\n".join([*together, ""]))
            images = "images" if len(together) > 1 else "image"
            self.progress.warn(f"skipped {len(together)} {images} that cannot be read: {path} lists them")

    def account(self) -> dict[str, Any]:
        """What every result says: what was skipped, and how many epochs were planned before the run was trained on."""
        return {
            "skipped_batches": self.finite.skipped,
            "skipped_images": self.skipped_images,
            **self.saving.said_of_plans(),
        }

    def finish(self, result: Mapping[str, Any], lines: Iterable[str] = ()) -> None:
        """The run is done: write its result, and say the last lines.

        Raises:
            RunError: it cannot be saved.
        """
        self.run.finish(result)
        for line in lines:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line and add it to the log, once for all processes."""
        self.progress.say(line)

    def save_if_due(self) -> None:
        """Between two steps, or in a measurement: save if it is time to, or if the job is asked to end.

        Raises:
            Interrupted: the job is asked to end, and everything is saved.
            RunError: it cannot be saved.
        """
        self.saving.if_due()


def more_epochs_line(
    before: int,
    epochs: int,
    place: Place,
    learning_rate: Callable[[int], float],
    drop_path: Callable[[int], float] | None = None,
) -> str:
    """One line about the schedules of a run that stands at `place`, was to have `before` epochs and now has `epochs`.

    `learning_rate` and `drop_path` give those of an epoch, counted from 0.
    """
    number = place.epoch + 1
    where = f"epoch {number}" + (f" from step {place.step + 1} on" if place.step else "")
    rate = learning_rate(place.epoch)
    parts = [f"the learning rate is {rate:.4g} in {where}"]
    if place.record is not None and isinstance(last := place.record.get("learning_rate"), float):
        direction = "jumps up" if rate > last else "falls"
        parts = [f"the learning rate {direction} to {rate:.4g} in {where} from {last:.4g} in epoch {number - 1}"]
    if drop_path is not None:
        parts.append(f"drop-path is {drop_path(place.epoch):.4g} there")
    return (
        f"{epochs} epochs instead of {before}: from here on the schedules run over {epochs}, so {' and '.join(parts)}; "
        f"a run begun with {epochs} epochs would have had other rates from its first epoch on"
    )
