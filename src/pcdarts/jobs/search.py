"""`pcdarts search`: the bilevel optimisation of weights and architecture parameters (Secs. 3 and 4.1)."""

import shlex
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.derive import derive
from pcdarts.cell.draw import draw_svg, draw_text
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellSpace
from pcdarts.config import SearchConfig, TrainConfig
from pcdarts.data.batches import Batches
from pcdarts.data.sources import DataSet, load_data
from pcdarts.data.split import split_indices
from pcdarts.data.streams import generator
from pcdarts.jobs.batches import plain_batches, training_batches
from pcdarts.jobs.measure import Average, stop_if_diverged, top1_error
from pcdarts.jobs.show import count_skips, evaluation_size, size_text
from pcdarts.recipes import DEFAULT, RECIPES, recipe
from pcdarts.run.checkpoint import load_checkpoint, save_checkpoint
from pcdarts.run.device import choose_device, describe_device, peak_memory_gb
from pcdarts.run.folder import RunFolder, write_text
from pcdarts.run.progress import Progress, duration
from pcdarts.run.schedule import cosine
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.bilevel import first_order_gradients, second_order_gradients
from pcdarts.supernet.supernet import Supernet


def run_search(config: SearchConfig, run: RunFolder, resume: bool) -> dict[str, Any]:
    """Search a cell and leave everything in `run`; returns what `result.json` holds.

    Raises:
        InputError: the data or the checkpoint cannot be used.
        RunError: the loss is no longer a number, or something cannot be saved.
    """
    device = choose_device(config.device, config.threads)
    data = load_data(
        config.data,
        root=config.data_root,
        image_size=config.image_size,
        train_images=config.train_images,
        seed=config.seed,
    )
    weight_indices, arch_indices = split_indices(data.train.labels, config.weight_fraction, config.seed)
    weight_images, arch_images = data.train.subset(weight_indices), data.train.subset(arch_indices)
    weight_batches = training_batches(config, data, weight_images, "weight", device)
    arch_batches = training_batches(config, data, arch_images, "arch", device)
    space = CellSpace(config.num_nodes)
    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    arch = ArchParameters(space, config.edge_normalization).to(device)
    supernet = Supernet(
        space,
        kind=config.kind,
        channels=config.channels,
        num_cells=config.num_cells,
        num_classes=data.num_classes,
        k=config.k,
        channel_sampling=config.channel_sampling,
        image_channels=data.image_channels,
    ).to(device)
    weight_optimizer = torch.optim.SGD(
        supernet.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
    )
    arch_optimizer = torch.optim.Adam(
        arch.parameters(),
        config.arch_learning_rate,
        config.arch_adam_betas,
        weight_decay=config.arch_weight_decay,
    )

    first_epoch, seconds = 0, 0.0
    stateful: dict[str, Any] = {
        "supernet": supernet,
        "arch": arch,
        "weight_optimizer": weight_optimizer,
        "arch_optimizer": arch_optimizer,
    }
    if resume and run.checkpoint.exists():
        checkpoint = load_checkpoint(run.checkpoint, config.fingerprint())
        for name, part in stateful.items():
            part.load_state_dict(checkpoint[name])
        first_epoch, seconds = checkpoint["epoch"], checkpoint["seconds"]
    if resume:
        run.truncate_metrics(first_epoch)

    def masks(split: str, epoch: int, step: int) -> list[Tensor] | None:
        """Fresh channel masks for one batch, a pure function of its place in the run."""
        if config.channel_sampling == "first" or config.k == 1:
            return None
        return supernet.draw_masks(generator(config.seed, "masks", split, epoch, step))

    with Progress(run, config.epochs, len(weight_batches)) as progress:
        for epoch in range(first_epoch, config.epochs):
            started = time.perf_counter()
            learning_rate = cosine(epoch, config.epochs, config.learning_rate, config.learning_rate_min)
            for group in weight_optimizer.param_groups:
                group["lr"] = learning_rate
            arch_trains = epoch >= config.arch_frozen_epochs
            weight_average, arch_average = Average(), Average()
            arch_source = endless(arch_batches, epoch, config.epochs)
            supernet.train()

            for step, (images, labels) in enumerate(weight_batches.epoch(epoch)):
                weight_batch = (images, labels, masks("weight", epoch, step))
                if arch_trains:
                    arch_inputs, arch_labels = next(arch_source)
                    arch_batch = (arch_inputs, arch_labels, masks("arch", epoch, step))
                    if config.second_order:
                        gradients, arch_loss, arch_logits = second_order_gradients(
                            supernet,
                            arch,
                            weight_batch,
                            arch_batch,
                            learning_rate=learning_rate,
                            momentum=config.momentum,
                            weight_decay=config.weight_decay,
                            momentum_buffers=[
                                weight_optimizer.state[w].get("momentum_buffer") for w in supernet.parameters()
                            ],
                        )
                    else:
                        gradients, arch_loss, arch_logits = first_order_gradients(supernet, arch, arch_batch)
                    for parameter, gradient in zip(arch.parameters(), gradients, strict=True):
                        parameter.grad = gradient
                    arch_optimizer.step()
                    arch_average.add(arch_loss, arch_logits, arch_labels)

                mixture = arch.mixture().detach()
                logits = supernet(images, mixture, weight_batch[2])
                loss = F.cross_entropy(logits, labels)
                weight_optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(supernet.parameters(), config.gradient_clip)
                weight_optimizer.step()
                weight_average.add(loss.detach(), logits.detach(), labels)
                progress.step(epoch + 1, step + 1, images=len(images), loss=loss)

            seconds += time.perf_counter() - started
            record = {
                "epoch": epoch + 1,
                "learning_rate": learning_rate,
                **weight_average.named("weight"),
                **arch_average.named("arch"),
                "seconds": seconds,
            }
            stop_if_diverged(run, epoch + 1, learning_rate, [weight_average, arch_average], [supernet, arch])
            genotype = derive(arch)
            run.append_metrics({**record, **rounded(arch.mixture())})
            write_text(run.epoch_genotype(epoch + 1), genotype.to_json())
            save_checkpoint(
                run.checkpoint,
                {name: part.state_dict() for name, part in stateful.items()} | {"epoch": epoch + 1, "seconds": seconds},
                config.fingerprint(),
            )
            progress.epoch({**record, "skips": count_skips(genotype, "normal")})

        supernet.eval()
        plain = plain_batches(arch_images, data.mean, data.std, config.batch_size, device)
        arch_error = top1_error(lambda images: supernet(images, arch.mixture()), plain)
        result = conclude(run, data, config, derive(arch)) | {
            "arch_top1_error": arch_error,
            "search_cost": {
                "hours": seconds / 3600,
                "device": describe_device(device),
                "peak_memory_gb": peak_memory_gb(device),
            },
        }
        run.finish(result)
        for line in closing_lines(run, config, result):
            progress.say(line)
    return result


def endless(batches: Batches, epoch: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches for one epoch of the weight split, however many it needs; a further round has an order of its own."""
    while True:
        yield from batches.epoch(epoch)
        epoch += epochs


def rounded(mixture: Mixture) -> dict[str, Any]:
    """The mixture as plain numbers: op_weights [edges][primitives] and edge_weights [edges] of each cell kind."""
    return {
        name: {kind: [round_all(row) for row in weights[kind].tolist()] for kind in CELL_KINDS}
        for name, weights in (("op_weights", mixture.op_weights), ("edge_weights", mixture.edge_weights))
    }


def round_all(value: float | list[float]) -> float | list[float]:
    """Six decimals: enough to plot, and a hundredth of the checkpoint."""
    return [round(item, 6) for item in value] if isinstance(value, list) else round(value, 6)


def conclude(run: RunFolder, data: DataSet, config: SearchConfig, genotype: Genotype) -> dict[str, Any]:
    """Write the genotype and its drawings; return them and the size of the network they imply, for `result.json`."""
    write_text(run.genotype, genotype.to_json())
    for kind in CELL_KINDS:
        write_text(run.cell_svg(kind), draw_svg(genotype, kind))
    size = evaluation_size(genotype, config.kind, data.num_classes, data.image_channels, data.image_size)
    return {
        "genotype": genotype.to_text(),
        "skip_connects": {kind: count_skips(genotype, kind) for kind in CELL_KINDS},
        "evaluation_network": size,
    }


def closing_lines(run: RunFolder, config: SearchConfig, result: dict[str, Any]) -> list[str]:
    """What a user wants to know when a search has ended, and what to type next."""
    genotype = Genotype.from_text(result["genotype"])
    cost = result["search_cost"]
    return [
        "",
        *(draw_text(genotype, kind) for kind in CELL_KINDS),
        result["genotype"],
        "",
        f"the evaluation network it implies: {size_text(result['evaluation_network'])}",
        f"search cost: {duration(3600 * cost['hours'])} on {cost['device']}, {cost['peak_memory_gb']:.1f} GB peak",
        f"top-1 error on the arch split: {result['arch_top1_error']:.2f} %",
        f"drawn in {run.cell_svg('normal')} and {run.cell_svg('reduce')}",
        f"next: {next_command(run, config)}",
    ]


def next_command(run: RunFolder, config: SearchConfig) -> str:
    """The command that trains the network of the cell just found, on the same data."""
    name = config.recipe if config.recipe in RECIPES[TrainConfig] else ("cifar10" if config.data == "cifar10" else None)
    command = ["pcdarts", "train", "--genotype", str(run.path)]
    if name is not None and name != DEFAULT:
        command += ["--recipe", name]
    base = recipe(TrainConfig, name or DEFAULT)
    for field in ("data", "data_root", "image_size", "kind"):
        value = getattr(config, field)
        if value != getattr(base, field):
            command += [f"--{field.replace('_', '-')}", str(value)]
    return shlex.join(command)
