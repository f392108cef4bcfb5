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
from pcdarts.jobs.conclusion import closing_lines, conclude, rounded
from pcdarts.jobs.memory import explained
from pcdarts.jobs.under_budget import check_meaning, check_network, derived
from pcdarts.learn.job_batches import plain_batches, report_skipped, training_batches, training_data
from pcdarts.learn.kernels import choose_kernels
from pcdarts.learn.learning import ArchStep, WeightStep, images_per_pass, loss_scale, make_scaler
from pcdarts.learn.measure import Average, top_errors
from pcdarts.learn.splits import search_splits
from pcdarts.learn.steps import search_setting
from pcdarts.learn.training_on import more_epochs_line
from pcdarts.ops import compiling
from pcdarts.ops.compiling import compile_modules
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
    device = choose_device(config.device, config.threads, processes.local_rank)
    set_determinism(config.deterministic)
    check_amp(config.amp, device.type)
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
    weight_optimizer = torch.optim.SGD(
        supernet.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    arch_optimizer = torch.optim.Adam(
        arch.parameters(), config.arch_learning_rate, config.arch_adam_betas, weight_decay=config.arch_weight_decay
    )
    scaler = make_scaler(config.amp, device)
    weight_average, arch_average = Average(processes), Average(processes)
    numbers = Numbers(config.max_skipped_batches, [supernet, arch], processes, asked_every(device))
    place = Place()
    stateful: dict[str, Stateful] = {
        "supernet": supernet,
        "arch": arch,
        "weight_optimizer": weight_optimizer,
        "arch_optimizer": arch_optimizer,
        "scaler": scaler,
        "weight_average": weight_average,
        "arch_average": arch_average,
    }
    saving = Saving(config, run, place, stateful, data=data, numbers=numbers, processes=processes)
    tracker = make_tracker(config.track, run, config.model_dump(mode="json")) if processes.is_first else None
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
        Progress(run, config.epochs, len(weight_batches), tracker=tracker, quiet=not processes.is_first) as progress,
        explained(config, data, weight_batches.batch_size, processes, progress),
        saving.interruption.awaited(),
    ):
        if resume:
            saving.restore(progress)
        images_used = f"{len(weight_images)} weight and {len(arch_images)} arch images of {data}"
        progress.begin(place.epoch, f"{images_used}, on {describe_device(device, processes.count)}", place.step)
        for note in data.notes:
            progress.say(note)
        if budget is not None:
            progress.say(budget)
        skipped = report_skipped(data.skipped, run, progress, processes)
        setting = search_setting(
            config,
            batch_size=images_per_pass(weight_batches.batch_size, parts, processes),
            image_size=data.image_size,
            image_channels=data.image_channels,
            num_classes=data.num_classes,
        )
        steps_left = (config.epochs - place.epoch) * len(weight_batches) - place.step
        kernels = choose_kernels(
            supernet,
            config.kernels,
            setting,
            steps_left,
            progress.say,
            before=saving.kernels_before,
            processes=processes,
        )
        progress.say(str(kernels))
        saving.constants["kernels"] = kernels.kernels
        if processes.is_first:
            run.write_state("running", kernels=kernels.kernels)
        if config.compile:
            compile_modules([supernet], compiling.BACKEND)
        weight_step = WeightStep(
            supernet,
            weight_optimizer,
            gradient_clip=config.gradient_clip,
            parts=parts,
            scaler=scaler,
            processes=processes,
            numbers=numbers,
        )
        arch_step = ArchStep(arch, arch_optimizer, scaler, numbers)
        if saving.epochs_before:
            progress.say(more_epochs_line(saving.epochs_before, config.epochs, place, rate_of))
        for epoch in range(place.epoch, config.epochs):
            learning_rate = rate_of(epoch)
            weight_optimizer.param_groups[0]["lr"] = learning_rate
            arch_trains = epoch >= config.arch_frozen_epochs
            arch_source = endless(arch_batches, epoch, config.epochs, place.arch_batches)
            supernet.train()
            place.start_clock()

            for step, (images, labels) in enumerate(weight_batches.epoch(epoch, place.step), place.step):
                weight_masks = masks("weight", epoch, step)

                if arch_trains:
                    arch_batch = (*next(arch_source), masks("arch", epoch, step))
                    place.arch_batches += 1
                    with numbers.guarded(progress, epoch + 1, step + 1, learning_rate):
                        passes = Passes(parts, loss_scale(scaler, device), processes.average)
                        if config.second_order:
                            weight_batch = (images, labels, weight_masks)
                            gradients, loss, logits = second_order_gradients(
                                supernet, arch, weight_batch, arch_batch, weight_optimizer, passes=passes
                            )
                        else:
                            gradients, loss, logits = first_order_gradients(supernet, arch, arch_batch, passes)
                        arch_step(gradients, loss)
                        arch_average.add(loss, logits, arch_batch[1], numbers.bad)

                with numbers.guarded(progress, epoch + 1, step + 1, learning_rate):
                    loss, logits = weight_step(images, labels, partial(weight_loss, masks=weight_masks))
                    weight_average.add(loss, logits, labels, numbers.bad)
                place.finish_step()
                losses = weight_average.so_far("weight") | arch_average.so_far("arch")
                progress.step(epoch + 1, step + 1, images=len(images) * processes.count, **losses)
                saving.if_due()

            numbers.read()
            place.count_time()  # what the device still had to do belongs to the steps
            skipped = report_skipped(data.skipped, run, progress, processes)
            measured = weight_average.named("weight") | arch_average.named("arch")
            processes.check_same(arch, "alpha and beta")
            genotype = derive(arch)
            record = {"epoch": epoch + 1, "learning_rate": learning_rate, **measured}
            place.finish_epoch({**record, "seconds": place.seconds, **rounded(arch.mixture())})
            weight_average.clear()
            arch_average.clear()
            if processes.is_first:
                write_text(run.epoch_genotype(epoch + 1), genotype.to_json())
            saving.save()
            if processes.is_first:
                run.append_metrics(place.record or {})
                progress.epoch({**record, "skip_connects": genotype.skip_connects("normal")})

        supernet.eval()
        processes.share_buffers(supernet)
        batch = count()
        arch_errors = top_errors(
            lambda images: supernet(images, arch.mixture(), masks("final", next(batch))),
            plain_batches(arch_images, data.mean, data.std, config.batch_size, device, processes),
            processes,
            saving.if_due,
        )
        if not processes.is_first:
            return {}
        result = conclude(run, config, data, *derived(config, data, arch)) | {
            **{f"arch_{name}": error for name, error in arch_errors.items()},
            "skipped_batches": numbers.skipped,
            "skipped_images": skipped,
            "search_cost": {
                "hours": place.seconds / 3600,
                "device": describe_device(device, processes.count),
                "kernels": kernels.kernels,
                "kernels_why": kernels.why,
                "peak_memory_gb": peak_memory_gb(device),
            },
            **saving.said_of_plans(),
        }
        run.finish(result)
        for line in closing_lines(run, config, data, result):
            progress.say(line)
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
