"""`pcdarts search`: the bilevel optimisation of weights and architecture parameters (Secs. 3 and 4.1)."""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.derive import derive
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.method_settings import DartsSettings
from pcdarts.data.batches import Batches
from pcdarts.data.images import DataSet
from pcdarts.data.streams import generator
from pcdarts.jobs.conclusion import closing_lines, conclude, rounded, search_cost
from pcdarts.jobs.memory import what_would_fit
from pcdarts.jobs.under_budget import check_meaning, check_network, derived
from pcdarts.learn.job_batches import plain_batches, training_batches, training_data
from pcdarts.learn.kernels import kernels_of_search
from pcdarts.learn.learning import ArchStep, WeightStep, loss_scale, make_scaler, make_sgd
from pcdarts.learn.measure import Average, top_errors
from pcdarts.learn.splits import search_splits
from pcdarts.ops import compiling
from pcdarts.ops.compiling import compile_modules
from pcdarts.run.device import prepare_device
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.schedule import cosine
from pcdarts.run.session import session
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.bilevel import Passes, first_order_gradients, second_order_gradients
from pcdarts.supernet.supernet import Supernet


def run_search(config: SearchConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Search a cell and leave everything in `run`; returns what `result.json` holds (in the first process).

    Raises:
        InputError: the data or the checkpoint cannot be used, or the device has no such precision as `amp`.
        RunError: a loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    assert isinstance(config, DartsSettings)
    device = prepare_device(config.device, config.threads, processes.local_rank, config.amp, config.deterministic)
    check_meaning(config, run)
    with processes.in_turn():
        data = training_data(config, device, processes)
    budget = check_network(config, data)
    weight_indices, arch_indices = search_splits(config, data, run, processes)
    weight_images, arch_images = data.train.subset(weight_indices), data.train.subset(arch_indices)
    weight_batches = training_batches(config, data, weight_images, "weight", device, processes)
    arch_batches = training_batches(config, data, arch_images, "arch", device, processes)

    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    arch = ArchParameters(CellSpace(config.num_nodes), config.edge_normalization).to(device)
    supernet = make_supernet(config, arch.space, data).to(device)
    weight_optimizer, scaler = make_sgd(supernet, config), make_scaler(config.amp, device)
    arch_optimizer = torch.optim.Adam(
        arch.parameters(), config.arch_learning_rate, config.arch_adam_betas, weight_decay=config.arch_weight_decay
    )
    weight_average, arch_average = Average("weight", processes), Average("arch", processes)
    parts = config.gradient_accumulation_steps

    def rate_of(epoch: int) -> float:
        return cosine(epoch, config.epochs, config.learning_rate, config.learning_rate_min)

    def masks(*place: str | int) -> list[Tensor] | None:
        """Fresh channel masks for one batch, a pure function of its place in the run."""
        return supernet.draw_masks(generator(config.seed, "masks", *place)) if supernet.samples_randomly else None

    def weight_loss(
        network: nn.Module, images: Tensor, labels: Tensor, masks: list[Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """L_weight, which is both minimised and reported, and the logits."""
        logits = network(images, arch.mixture().detach(), masks)
        loss = F.cross_entropy(logits, labels)
        return loss, loss, logits

    with (
        explain_out_of_memory(partial(what_would_fit, config, data, weight_batches.batch_size, run, processes)),
        session(
            config,
            run,
            resume,
            processes,
            device=device,
            data=data,
            losses={"weight_average": weight_average, "arch_average": arch_average},
            steps=len(weight_batches),
        ) as job,
    ):
        job.keep(
            {
                "supernet": supernet,
                "arch": arch,
                "weight_optimizer": weight_optimizer,
                "arch_optimizer": arch_optimizer,
                "scaler": scaler,
            },
            watch=[supernet, arch],
        )
        images_used = f"{len(weight_images)} weight and {len(arch_images)} arch images of {data}"
        job.begin(images_used, [*data.notes, *([budget] if budget else [])])
        kernels = kernels_of_search(config, supernet, data, weight_batches.batch_size, job)
        if config.compile:
            compile_modules([supernet], compiling.BACKEND)
        weight_step = WeightStep(
            supernet,
            weight_optimizer,
            gradient_clip=config.gradient_clip,
            parts=parts,
            scaler=scaler,
            processes=processes,
            finite=job.finite,
        )
        arch_step = ArchStep(arch, arch_optimizer, scaler, job.finite)
        for epoch, learning_rate in job.epochs(config.epochs, rate_of):
            weight_optimizer.param_groups[0]["lr"] = learning_rate
            arch_trains = epoch >= config.arch_frozen_epochs
            arch_source = endless(arch_batches, epoch, config.epochs, job.place.step)  # each step takes one
            supernet.train()

            for step, (images, labels) in job.steps(weight_batches, epoch):
                weight_masks = masks("weight", epoch, step)

                if arch_trains:
                    arch_batch = (*next(arch_source), masks("arch", epoch, step))
                    with job.guarded():
                        passes = Passes(parts, loss_scale(scaler, device), processes.average)
                        if config.second_order:
                            weight_batch = (images, labels, weight_masks)
                            gradients, loss, logits = second_order_gradients(
                                supernet, arch, weight_batch, arch_batch, weight_optimizer, passes=passes
                            )
                        else:
                            gradients, loss, logits = first_order_gradients(supernet, arch, arch_batch, passes)
                        arch_step(gradients, loss)
                        arch_average.add(loss, logits, arch_batch[1], job.finite.bad)

                with job.guarded():
                    loss, logits = weight_step(images, labels, partial(weight_loss, masks=weight_masks))
                    weight_average.add(loss, logits, labels, job.finite.bad)

            processes.check_same(arch, "alpha and beta")
            genotype = derive(arch)
            job.end_epoch(
                {"learning_rate": learning_rate, **job.measured()},
                also_saved=rounded(arch.mixture()),
                also_shown={"skip_connects": genotype.skip_connects("normal")},
                genotype=genotype,
            )

        supernet.eval()
        processes.share_buffers(supernet)
        batch = count()
        arch_errors = top_errors(
            lambda images: supernet(images, arch.mixture(), masks("final", next(batch))),
            plain_batches(arch_images, data.mean, data.std, config.batch_size, device, processes),
            processes,
            job.save_if_due,
        )
        if not processes.is_first:
            return {}
        result = conclude(run, config, data, *derived(config, data, arch)) | {
            **{f"arch_{name}": error for name, error in arch_errors.items()},
            **job.account(),
            "search_cost": search_cost(job, kernels),
        }
        job.finish(result, closing_lines(run, config, data, result))
    return result


def make_supernet(config: SearchConfig, space: CellSpace, data: DataSet) -> Supernet:
    """The supernet that `config` describes, for images like those of `data`."""
    return Supernet(
        space,
        kind=config.kind,
        channels=config.channels,
        num_cells=config.num_cells,
        num_classes=data.num_classes,
        k=config.k,
        channel_sampling=config.channel_sampling,
        image_channels=data.image_channels,
        kernels=config.kernels,
        amp=config.amp,
        synchronize=config.synchronize_batch_norm,
    )


def endless(batches: Batches, epoch: int, epochs: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches for one epoch of the weight split, however many it needs; a further round has an order of its own.

    The first `start` of them are left out.
    """
    rounds, start = divmod(start, len(batches))
    for number in count(rounds):
        yield from batches.epoch(epoch + number * epochs, start)
        start = 0
