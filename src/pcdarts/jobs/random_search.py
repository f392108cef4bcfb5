"""`pcdarts random search`: random cells, each trained briefly, of which the best is kept: what a search has to beat.

With `--strategy evolution` only the first cells are random, and each later one is a mutation of a good one before it:
regularised evolution (Real et al., 2019), by the rules of `methods/sampling/evolution.py`.
"""

import random
from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.data.images import DataSet
from pcdarts.data.streams import generator
from pcdarts.jobs.memory import what_would_fit
from pcdarts.jobs.outcome.conclusion import closing_lines, conclude, search_cost
from pcdarts.jobs.outcome.evaluation import EvaluationNetwork
from pcdarts.jobs.outcome.truth import check_truth
from pcdarts.jobs.outcome.under_budget import check_evaluation_network
from pcdarts.learn.job_batches import plain_batches, training_batches, training_data
from pcdarts.learn.learning import WeightStep, make_scaler, make_sgd
from pcdarts.learn.measure import Average, top_errors
from pcdarts.learn.networks import make_network
from pcdarts.learn.splits import split_images
from pcdarts.methods.sampling.evolution import Member, child_of
from pcdarts.run.device import prepare_device
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.schedule import cosine
from pcdarts.run.session import session


def run_random_search(
    config: RandomSearchConfig, run: RunFolder, resume: bool, processes: Processes = ALONE
) -> dict[str, Any]:
    """Train cells on the weight split, one after the other, and keep the one that errs least on the arch split.

    Everything is left in `run`, as a search leaves it; returns what `result.json` holds (in the first process). Epochs
    are counted through: those of the second candidate follow those of the first. All candidates see the same batches
    in the same order, so that they differ in their cells and initial weights alone.

    Raises:
        InputError: data, checkpoint or table cannot be used, or the device has no such precision as `amp`.
        RunError: a loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    device = prepare_device(config.device, config.threads, processes.local_rank, config.amp, config.deterministic)
    if processes.is_first:
        check_truth(config.table)
    errors = Errors()
    cells = Candidates(config, errors)
    training = config.training()
    with processes.in_turn():
        data = training_data(training, device, processes)
    costs = costs_of(config, data)
    check_evaluation_network(config, data)
    weight_images, arch_images = split_images(config, data, run, processes)
    weight_batches = training_batches(training, data, weight_images, "weight", device, processes)
    arch_batches = plain_batches(arch_images, data.mean, data.std, config.batch_size, device, processes)

    average, parts = Average("weight", processes), config.gradient_accumulation_steps

    def rate_of(epoch: int) -> float:
        return cosine(epoch % config.epochs, config.epochs, config.learning_rate, config.learning_rate_min)

    def weight_loss(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_weight, which is both minimised and reported, and the logits."""
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        return loss, loss, logits

    def what_fits() -> str:
        most_costly = max(cells.known, key=lambda cell: costs.of(cell)["mult_adds"])
        largest = training.model_copy(update={"genotype": most_costly.to_text()})
        return what_would_fit(largest, data, weight_batches.batch_size, run, processes)

    losses, epochs = {"average": average}, config.candidates * config.epochs
    with (
        explain_out_of_memory(what_fits),
        session(
            config, run, resume, processes, device, data, losses=losses, steps=len(weight_batches), work=[1.0] * epochs
        ) as job,
    ):
        job.keep(errors=errors)  # in an evolution they decide which cells follow
        for cell in job.stages(cells):
            number = job.place.stage
            torch.manual_seed(generator(config.seed, "initial weights", number).initial_seed())
            network = make_network(training, cell, data.num_classes, data.image_channels, data.image_size).to(device)
            network = network.to(memory_format=torch.channels_last)
            optimizer, scaler = make_sgd(network, config), make_scaler(config.amp, device)
            job.keep(network=network, optimizer=optimizer, scaler=scaler)
            job.watch(network)
            job.begin(f"{len(weight_images)} weight and {len(arch_images)} arch images of {data}", data.notes)
            weight_step = WeightStep(network, optimizer, scaler, processes, job.finite, config.gradient_clip, parts)
            for epoch, learning_rate in job.epochs((number + 1) * config.epochs, rate_of):
                optimizer.param_groups[0]["lr"] = learning_rate
                network.train()

                for _, (images, labels) in job.steps(weight_batches, epoch % config.epochs):
                    with job.guarded():
                        loss, logits = weight_step(images, labels, weight_loss)
                        average.add(loss, logits, labels, job.finite.bad)

                record = {"candidate": number + 1, "learning_rate": learning_rate, **job.measured()}
                if (epoch + 1) % config.epochs == 0:
                    network.eval()
                    processes.share_buffers(network)
                    found = top_errors(network, arch_batches, processes, job.save_if_due)
                    errors.found.append({f"arch_{name}": error for name, error in found.items()})
                    record |= errors.found[-1]
                if errors.found:
                    record["best_arch_top1_error"] = errors.found[errors.best]["arch_top1_error"]
                job.place.count_time()  # comparing is part of the search
                job.end_epoch(
                    record,
                    also_saved={"genotype": cell.to_text()},
                    also_shown={"skip_connects": cell.skip_connects("normal")},
                    genotype=cells[errors.best],
                )

        if not processes.is_first:
            return {}
        best = errors.best
        result = conclude(run, config, data, cells[best]) | {
            **errors.found[best],
            "candidates": [
                {"genotype": cell.to_text(), **{name: costs.of(cell)[name] for name in SIZES}, **found}
                for cell, found in zip(cells, errors.found, strict=True)
            ],
            **job.account(),
            "search_cost": search_cost(job),
        }
        best_line = f"candidate {best + 1} is the best of {cells.in_words()}"
        job.finish(result, [best_line, *closing_lines(run, config, data, result)])
    return result


SIZES = ("params", "mult_adds")


def random_cells(space: CellSpace, number: int, seed: int) -> list[Genotype]:
    """So many distinct cells of `space`; the first ones of a seed are the same, however many are drawn."""
    cells: dict[Genotype, None] = {}
    draws = count()
    while len(cells) < number:
        cells[random_genotype(space, generator(seed, "random cell", next(draws)).initial_seed())] = None
    return list(cells)


def costs_of(config: RandomSearchConfig, data: DataSet) -> NetworkCosts:
    """Of the networks that are trained here.

    Raises:
        InputError: the images are too small for them.
    """
    network = EvaluationNetwork(
        config.kind, config.channels, config.num_cells, data.num_classes, data.image_channels, data.image_size
    )
    return network.costs(config.cell_space)


class Errors:
    """The errors of the candidates that are finished."""

    def __init__(self) -> None:
        self.found: list[dict[str, float]] = []
        """`arch_top1_error` and, of more than 5 classes, `arch_top5_error`, in %, of each."""

    @property
    def best(self) -> int:
        """Which of them errs least, the earlier of equals; the first of all while none is finished."""
        return min(range(len(self.found)), key=lambda number: self.found[number]["arch_top1_error"], default=0)

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found = state["found"]


class Candidates(Sequence[Genotype]):
    """The cells that are trained, in their order; those that follow from the errors of others are made when asked for.

    The population of an evolution is what was trained last, at first the random cells. What is drawn for a child is a
    pure function of the seed and of its number, so that a resumed search goes on with the same cells.
    """

    def __init__(self, config: RandomSearchConfig, errors: Errors) -> None:
        self._config, self._errors, self._space = config, errors, config.cell_space
        population, self._sample, self._unchanged = config.evolution()
        self._random = population if config.strategy == "evolution" else config.candidates
        self.known = random_cells(self._space, self._random, config.seed)
        """Those that were made so far."""

    def __len__(self) -> int:
        return self._config.candidates

    def __getitem__(self, number: Any) -> Any:
        if number >= len(self):
            raise IndexError(number)
        while len(self.known) <= number:
            self.known.append(self._child(len(self.known)))
        return self.known[number]

    def _child(self, number: int) -> Genotype:
        draw = random.Random(generator(self._config.seed, "child", number).initial_seed())
        population = [
            Member(self.known[member], self._errors.found[member]["arch_top1_error"])
            for member in range(number - self._random, number)
        ]
        return child_of(population, self._sample, self._unchanged, self._space, draw)

    def in_words(self) -> str:
        """How many there are, and what they are."""
        if self._random == len(self):
            return f"{len(self)} random cells"
        return f"{len(self)} cells, which evolved from {self._random} random ones"
