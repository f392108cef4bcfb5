"""`pcdarts search`: the bilevel optimisation of weights and architecture parameters (Secs. 3 and 4.1)."""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.derive import derive
from pcdarts.cell.precision import check_amp
from pcdarts.cell.space import CellSpace
from pcdarts.config import SearchConfig
from pcdarts.data.batches import Batches
from pcdarts.data.sources import DataSet
from pcdarts.data.split import split_indices
from pcdarts.data.streams import generator
from pcdarts.jobs.batches import plain_batches, training_batches, training_data
from pcdarts.jobs.measure import Average, stop_if_diverged, top1_error
from pcdarts.jobs.outcome import closing_lines, conclude, rounded
from pcdarts.jobs.show import count_skips
from pcdarts.run.checkpoint import load_checkpoint, save_checkpoint
from pcdarts.run.device import choose_device, describe_device, peak_memory_gb
from pcdarts.run.folder import RunFolder, write_text
from pcdarts.run.progress import Progress
from pcdarts.run.schedule import cosine
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.bilevel import first_order_gradients, second_order_gradients
from pcdarts.supernet.supernet import Supernet


def run_search(config: SearchConfig, run: RunFolder, resume: bool) -> dict[str, Any]:
    """Search a cell and leave everything in `run`; returns what `result.json` holds.

    Raises:
        InputError: the data or the checkpoint cannot be used, or the device has no bfloat16 for `amp`.
        RunError: the loss is no longer a number, or something cannot be saved.
    """
    device = choose_device(config.device, config.threads)
    check_amp(config.amp, device.type)
    data = training_data(config)
    weight_indices, arch_indices = split_indices(data.train.labels, config.weight_fraction, config.seed)
    weight_images, arch_images = data.train.subset(weight_indices), data.train.subset(arch_indices)
    weight_batches = training_batches(config, data, weight_images, "weight", device)
    arch_batches = training_batches(config, data, arch_images, "arch", device)

    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    arch = ArchParameters(CellSpace(config.num_nodes), config.edge_normalization).to(device)
    supernet = make_supernet(config, arch.space, data).to(device)
    weight_optimizer = torch.optim.SGD(
        supernet.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    arch_optimizer = torch.optim.Adam(
        arch.parameters(), config.arch_learning_rate, config.arch_adam_betas, weight_decay=config.arch_weight_decay
    )
    stateful: dict[str, Any] = {
        "supernet": supernet,
        "arch": arch,
        "weight_optimizer": weight_optimizer,
        "arch_optimizer": arch_optimizer,
    }
    first_epoch, seconds = 0, 0.0
    if resume and run.checkpoint.exists():
        checkpoint = load_checkpoint(run.checkpoint, config.fingerprint())
        for name, part in stateful.items():
            part.load_state_dict(checkpoint[name])
        first_epoch, seconds = checkpoint["epoch"], checkpoint["seconds"]
    if resume:
        run.truncate_metrics(first_epoch)

    def masks(*place: str | int) -> list[Tensor] | None:
        """Fresh channel masks for one batch, a pure function of its place in the run."""
        return supernet.draw_masks(generator(config.seed, "masks", *place)) if supernet.samples_randomly else None

    with Progress(run, config.epochs, len(weight_batches)) as progress:
        images_used = f"{len(weight_images)} weight and {len(arch_images)} arch images of {data}"
        progress.begin(first_epoch, f"{images_used}, on {describe_device(device)}")
        if supernet.will_compile_kernels:
            progress.say("compiling the kernels for this processor: some seconds, once on this machine")
        for epoch in range(first_epoch, config.epochs):
            started = time.perf_counter()
            learning_rate = cosine(epoch, config.epochs, config.learning_rate, config.learning_rate_min)
            weight_optimizer.param_groups[0]["lr"] = learning_rate
            arch_trains = epoch >= config.arch_frozen_epochs
            arch_source = endless(arch_batches, epoch, config.epochs)
            weight_average, arch_average = Average(), Average()
            supernet.train()

            for step, (images, labels) in enumerate(weight_batches.epoch(epoch)):
                weight_batch = (images, labels, masks("weight", epoch, step))

                if arch_trains:
                    arch_batch = (*next(arch_source), masks("arch", epoch, step))
                    if config.second_order:
                        gradients, arch_loss, arch_logits = second_order_gradients(
                            supernet, arch, weight_batch, arch_batch, weight_optimizer
                        )
                    else:
                        gradients, arch_loss, arch_logits = first_order_gradients(supernet, arch, arch_batch)
                    for parameter, gradient in zip(arch.parameters(), gradients, strict=True):
                        parameter.grad = gradient
                    arch_optimizer.step()
                    arch_average.add(arch_loss, arch_logits, arch_batch[1])

                logits = supernet(images, arch.mixture().detach(), weight_batch[2])
                loss = F.cross_entropy(logits, labels)
                weight_optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(supernet.parameters(), config.gradient_clip)
                weight_optimizer.step()
                weight_average.add(loss.detach(), logits.detach(), labels)
                losses = weight_average.so_far("weight") | arch_average.so_far("arch")
                progress.step(epoch + 1, step + 1, images=len(images), **losses)

            measured = weight_average.named("weight") | arch_average.named("arch")
            seconds += time.perf_counter() - started
            stop_if_diverged(run, epoch + 1, learning_rate, [weight_average, arch_average], [supernet, arch])
            genotype = derive(arch)
            record = {"epoch": epoch + 1, "learning_rate": learning_rate, **measured}
            run.append_metrics({**record, "seconds": seconds, **rounded(arch.mixture())})
            write_text(run.epoch_genotype(epoch + 1), genotype.to_json())
            save_checkpoint(
                run.checkpoint,
                {name: part.state_dict() for name, part in stateful.items()} | {"epoch": epoch + 1, "seconds": seconds},
                config.fingerprint(),
            )
            progress.epoch({**record, "skip_connects": count_skips(genotype, "normal")})

        supernet.eval()
        batch = count()
        arch_error = top1_error(
            lambda images: supernet(images, arch.mixture(), masks("final", next(batch))),
            plain_batches(arch_images, data.mean, data.std, config.batch_size, device),
        )
        result = conclude(run, config, data, derive(arch)) | {
            "arch_top1_error": arch_error,
            "search_cost": {
                "hours": seconds / 3600,
                "device": describe_device(device),
                "kernels": supernet.kernels,
                "peak_memory_gb": peak_memory_gb(device),
            },
        }
        run.finish(result)
        for line in closing_lines(run, config, result):
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
    )


def endless(batches: Batches, epoch: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches for one epoch of the weight split, however many it needs; a further round has an order of its own."""
    while True:
        yield from batches.epoch(epoch)
        epoch += epochs
