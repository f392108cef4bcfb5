"""`pcdarts random search`: random cells, each trained briefly, of which the best is kept: what a search has to beat."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import TrainConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.data.images import DataSet
from pcdarts.data.streams import generator
from pcdarts.jobs.conclusion import closing_lines, conclude
from pcdarts.jobs.evaluation import EvaluationNetwork
from pcdarts.jobs.memory import explained
from pcdarts.jobs.train import make_network
from pcdarts.jobs.under_budget import check_network
from pcdarts.learn.job_batches import plain_batches, report_skipped, training_batches, training_data
from pcdarts.learn.learning import WeightStep, make_scaler
from pcdarts.learn.measure import Average, top_errors
from pcdarts.learn.splits import search_splits
from pcdarts.ops.precision import check_amp
from pcdarts.run.device import choose_device, describe_device, peak_memory_gb, set_determinism
from pcdarts.run.finite import Numbers, asked_every
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.progress import Progress
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.saving import Place, Saving, Stateful
from pcdarts.run.schedule import cosine
from pcdarts.run.tracking import make_tracker
from pcdarts.run.whole_files import write_text


def run_random_search(
    config: RandomSearchConfig, run: RunFolder, resume: bool, processes: Processes = ALONE
) -> dict[str, Any]:
    """Train random cells on the weight split, one after the other, and keep the one that errs least on the arch split.

    Everything is left in `run`, as a search leaves it; returns what `result.json` holds (in the first process). Epochs
    are counted through: those of the second candidate follow those of the first. All candidates see the same batches
    in the same order, so that they differ in their cells and initial weights alone.

    Raises:
        InputError: the data or the checkpoint cannot be used, or the device has no such precision as `amp`.
        RunError: a loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    device = choose_device(config.device, config.threads, processes.local_rank)
    set_determinism(config.deterministic)
    check_amp(config.amp, device.type)
    cells = random_cells(CellSpace(config.num_nodes), config.candidates, config.seed)
    training = config.training()
    with processes.in_turn():
        data = training_data(training, device, processes)
    sizes = sizes_of(cells, config, data)
    check_network(config, data)
    largest = max(cells, key=lambda cell: sizes[cell]["mult_adds"]).to_text()
    weight_indices, arch_indices = search_splits(config, data, run, processes)
    weight_images, arch_images = data.train.subset(weight_indices), data.train.subset(arch_indices)
    weight_batches = training_batches(training, data, weight_images, "weight", device, processes)
    arch_batches = plain_batches(arch_images, data.mean, data.std, config.batch_size, device, processes)

    average = Average(processes)
    numbers = Numbers(config.max_skipped_batches, [], processes, asked_every(device))
    candidates = Candidates(cells, training, data, device, numbers, processes)
    place = Place()
    stateful: dict[str, Stateful] = {"candidates": candidates, "average": average}
    saving = Saving(config, run, place, stateful, data=data, numbers=numbers, processes=processes)
    tracker = make_tracker(config.track, run, config.model_dump(mode="json")) if processes.is_first else None
    epochs, batch_size = config.candidates * config.epochs, weight_batches.batch_size

    def weight_loss(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_weight, which is both minimised and reported, and the logits."""
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        return loss, loss, logits

    with (
        Progress(run, epochs, len(weight_batches), tracker=tracker, quiet=not processes.is_first) as progress,
        explained(training.model_copy(update={"genotype": largest}), data, batch_size, processes, progress),
        saving.interruption.awaited(),
    ):
        if resume:
            saving.restore(progress)
        images_used = f"{len(weight_images)} weight and {len(arch_images)} arch images of {data}"
        progress.begin(place.epoch, f"{images_used}, on {describe_device(device, processes.count)}", place.step)
        for note in data.notes:
            progress.say(note)
        skipped = report_skipped(data.skipped, run, progress, processes)
        for epoch in range(place.epoch, epochs):
            number, epoch_of_candidate = divmod(epoch, config.epochs)
            if number != candidates.number:
                candidates.take(number)
            learning_rate = cosine(epoch_of_candidate, config.epochs, config.learning_rate, config.learning_rate_min)
            candidates.optimizer.param_groups[0]["lr"] = learning_rate
            candidates.network.train()
            place.start_clock()

            for step, (images, labels) in enumerate(weight_batches.epoch(epoch_of_candidate, place.step), place.step):
                with numbers.guarded(progress, epoch + 1, step + 1, learning_rate):
                    loss, logits = candidates.weight_step(images, labels, weight_loss)
                    average.add(loss, logits, labels, numbers.bad)
                place.finish_step()
                progress.step(epoch + 1, step + 1, images=len(images) * processes.count, **average.so_far("weight"))
                saving.if_due()

            numbers.read()
            place.count_time()  # what the device still had to do belongs to the steps
            record = {"epoch": epoch + 1, "candidate": number + 1, "learning_rate": learning_rate}
            record |= average.named("weight")
            if epoch_of_candidate + 1 == config.epochs:
                candidates.network.eval()
                processes.share_buffers(candidates.network)
                errors = top_errors(candidates.network, arch_batches, processes, saving.if_due)
                candidates.errors.append({f"arch_{name}": error for name, error in errors.items()})
                record |= candidates.errors[-1]
            if candidates.errors:
                record["best_arch_top1_error"] = candidates.errors[candidates.best]["arch_top1_error"]
            skipped = report_skipped(data.skipped, run, progress, processes)
            place.count_time()  # comparing is part of the search
            place.finish_epoch({**record, "genotype": cells[number].to_text(), "seconds": place.seconds})
            average.clear()
            if processes.is_first:
                write_text(run.epoch_genotype(epoch + 1), cells[candidates.best].to_json())
            saving.save()
            if processes.is_first:
                run.append_metrics(place.record or {})
                progress.epoch({**record, "skip_connects": cells[number].skip_connects("normal")})

        if not processes.is_first:
            return {}
        best = candidates.best
        result = conclude(run, config, data, cells[best]) | {
            **candidates.errors[best],
            "candidates": [
                {"genotype": cell.to_text(), **sizes[cell], **errors}
                for cell, errors in zip(cells, candidates.errors, strict=True)
            ],
            "skipped_batches": numbers.skipped,
            "skipped_images": skipped,
            "search_cost": {
                "hours": place.seconds / 3600,
                "device": describe_device(device, processes.count),
                "kernels": None,
                "kernels_why": None,
                "peak_memory_gb": peak_memory_gb(device),
            },
        }
        run.finish(result)
        progress.say(f"candidate {best + 1} is the best of {config.candidates} random cells")
        for line in closing_lines(run, config, data, result):
            progress.say(line)
    return result


def random_cells(space: CellSpace, number: int, seed: int) -> list[Genotype]:
    """So many distinct cells of `space`; the first ones of a seed are the same, however many are drawn."""
    cells: dict[Genotype, None] = {}
    draws = count()
    while len(cells) < number:
        cells[random_genotype(space, generator(seed, "random cell", next(draws)).initial_seed())] = None
    return list(cells)


def sizes_of(cells: Sequence[Genotype], config: RandomSearchConfig, data: DataSet) -> dict[Genotype, dict[str, int]]:
    """`params` and `mult_adds` of the networks that are trained here.

    Raises:
        InputError: the images are too small for them.
    """
    network = EvaluationNetwork(
        config.kind, config.channels, config.num_cells, data.num_classes, data.image_channels, data.image_size
    )
    costs = network.costs(CellSpace(config.num_nodes))
    return {cell: {name: costs.of(cell)[name] for name in ("params", "mult_adds")} for cell in cells}


class Candidates:
    """Random cells in turn: the network of one with all that moves while it learns, and the errors of those before.

    Args:
        cells: the candidates, of which the first is taken at once.
        training: how each is trained.
        numbers: told to look after the network at hand.
    """

    def __init__(
        self,
        cells: Sequence[Genotype],
        training: TrainConfig,
        data: DataSet,
        device: torch.device,
        numbers: Numbers,
        processes: Processes,
    ) -> None:
        self.cells = cells
        self.errors: list[dict[str, float]] = []
        """`arch_top1_error` and, of more than 5 classes, `arch_top5_error`, in %, of each finished candidate."""
        self._training, self._data, self._device = training, data, device
        self._numbers, self._processes = numbers, processes
        self.take(0)

    def take(self, number: int) -> None:
        """Begin with candidate `number`, counted from 0; every process must call this."""
        training, data = self._training, self._data
        self.number = number
        torch.manual_seed(generator(training.seed, "initial weights", number).initial_seed())
        network = make_network(training, self.cells[number], data.num_classes, data.image_channels)
        self.network = network.to(self._device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            training.learning_rate,
            training.momentum,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.scaler = make_scaler(training.amp, self._device)
        self._numbers.watch([self.network])
        self.weight_step = WeightStep(
            self.network,
            self.optimizer,
            gradient_clip=training.gradient_clip,
            parts=training.gradient_accumulation_steps,
            scaler=self.scaler,
            processes=self._processes,
            numbers=self._numbers,
        )

    @property
    def best(self) -> int:
        """Which of the finished ones errs least, the earlier of equals; the first of all while none is finished."""
        return min(range(len(self.errors)), key=lambda number: self.errors[number]["arch_top1_error"], default=0)

    def state_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "errors": self.errors,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.take(state["number"])
        self.errors = state["errors"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
