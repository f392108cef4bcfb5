"""`pcdarts train`: the evaluation stage, a derived network trained from scratch (Sec. 4.2)."""

import shlex
import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.precision import check_amp
from pcdarts.config import TrainConfig
from pcdarts.data.sources import DataSet
from pcdarts.data.streams import generator
from pcdarts.jobs.batches import plain_batches, training_batches, training_data
from pcdarts.jobs.genotype import find_genotype, latest_search, save_genotype
from pcdarts.jobs.measure import Average, stop_if_diverged, top1_error
from pcdarts.network.complexity import complexity
from pcdarts.network.network import Network
from pcdarts.run.checkpoint import load_checkpoint, save_checkpoint
from pcdarts.run.device import choose_device, describe_device, peak_memory_gb
from pcdarts.run.folder import RunFolder, write_text
from pcdarts.run.progress import Progress, duration
from pcdarts.run.schedule import cosine, drop_path_rate


def run_train(config: TrainConfig, run: RunFolder, resume: bool) -> dict[str, Any]:
    """Train the network of a genotype with one seed or several; returns what `result.json` holds.

    With several seeds each has a run folder of its own inside `run`, and the result is their mean ± std.

    Raises:
        InputError: the genotype, the data or a checkpoint cannot be used, or the device has no bfloat16 for `amp`.
        RunError: the loss is no longer a number, or something cannot be saved.
    """
    source = str(latest_search().path) if config.genotype == "latest" else config.genotype
    genotype = find_genotype(source)
    device = choose_device(config.device, config.threads)
    check_amp(config.amp, device.type)
    data = training_data(config)
    next_line = f"next: {shlex.join(['pcdarts', 'test', str(run.path)])}"
    if source != config.genotype:
        print(f"the latest search is {source}", flush=True)
    # Printed into the configuration, so that `latest` or a run folder means the same cell for ever.
    config = config.model_copy(update={"genotype": genotype.to_text()})
    if config.seeds == 1:
        result = train_one(config, run, resume, genotype, data, device)
        print(next_line)
        return result

    write_text(run.config, config.to_yaml())
    results: list[dict[str, Any]] = []
    for seed in range(config.seed, config.seed + config.seeds):
        print(f"seed {seed} ({len(results) + 1} of {config.seeds})", flush=True)
        one = RunFolder(run.path / f"seed-{seed}")
        if one.is_finished:
            results.append(one.read_result())
            continue
        of_one = config.model_copy(update={"seed": seed, "seeds": 1})
        if config.train_images is not None and seed != config.seed:  # the seed decides which images are kept
            data = training_data(of_one)
        results.append(train_one(of_one, one, resume, genotype, data, device))
    errors = [result["test_top1_error"] for result in results]
    mean, std = statistics.mean(errors), statistics.stdev(errors)
    result = results[0] | {"test_top1_error": mean, "test_top1_error_std": std, "test_top1_errors": errors}
    result["train_seconds"] = sum(one["train_seconds"] for one in results)
    save_genotype(run, genotype)
    run.finish(result)
    summary = f"top-1 test error {mean:.2f} ± {std:.2f} % (mean ± std of {len(errors)} seeds)"
    run.append_log(summary)
    print(f"{summary}\n{next_line}")
    return result


def train_one(
    config: TrainConfig, run: RunFolder, resume: bool, genotype: Genotype, data: DataSet, device: torch.device
) -> dict[str, Any]:
    """Train with one seed and leave everything in `run`."""
    train_batches = training_batches(config, data, data.train, "train", device)
    test_batches = plain_batches(data.test, data.mean, data.std, config.batch_size, device)
    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    network = make_network(config, genotype, data.num_classes, data.image_channels).to(device)
    network = network.to(memory_format=torch.channels_last)
    size = complexity(network, (data.image_channels, data.image_size, data.image_size))
    write_text(run.config, config.to_yaml())  # only now: images too small for the network have been refused
    optimizer = torch.optim.SGD(
        network.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    first_epoch, seconds = 0, 0.0
    if resume and run.checkpoint.exists():
        checkpoint = load_checkpoint(run.checkpoint, config.fingerprint())
        network.load_state_dict(checkpoint["network"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        first_epoch, seconds = checkpoint["epoch"], checkpoint["seconds"]
    if resume:
        run.truncate_metrics(first_epoch)

    with Progress(run, config.epochs, len(train_batches)) as progress:
        images_used = f"{len(data.train)} training and {len(data.test)} test images of {data}"
        progress.begin(first_epoch, f"{images_used}, on {describe_device(device)}")
        for epoch in range(first_epoch, config.epochs):
            started = time.perf_counter()
            learning_rate = cosine(epoch, config.epochs, config.learning_rate, config.learning_rate_min)
            optimizer.param_groups[0]["lr"] = learning_rate
            network.drop_path = drop_path_rate(epoch, config.epochs, config.drop_path)
            average = Average()
            network.train()

            for step, (images, labels) in enumerate(train_batches.epoch(epoch)):
                torch.manual_seed(generator(config.seed, "drop path", epoch, step).initial_seed())
                output = network(images)
                logits, auxiliary_logits = output if config.auxiliary else (output, None)
                loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
                total = loss
                if auxiliary_logits is not None:
                    total = loss + config.auxiliary_weight * F.cross_entropy(
                        auxiliary_logits, labels, label_smoothing=config.label_smoothing
                    )
                optimizer.zero_grad()
                total.backward()
                nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
                optimizer.step()
                average.add(loss.detach(), logits.detach(), labels)
                progress.step(epoch + 1, step + 1, images=len(images), **average.so_far("train"))

            stop_if_diverged(run, epoch + 1, learning_rate, [average], [network])
            seconds += time.perf_counter() - started
            network.eval()
            measured = (epoch + 1) % config.test_every == 0 or epoch + 1 == config.epochs
            record = {"epoch": epoch + 1, "learning_rate": learning_rate, **average.named("train")}
            if measured:
                record["test_top1_error"] = top1_error(network, test_batches)
            run.append_metrics({**record, "seconds": seconds})
            save_checkpoint(
                run.checkpoint,
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "epoch": epoch + 1,
                    "seconds": seconds,
                    "classes": list(data.classes),
                    "image_shape": list(data.train.pixels.shape[1:]),
                    "mean": list(data.mean),
                    "std": list(data.std),
                },
                config.fingerprint(),
            )
            progress.epoch(record)

        result = {
            "test_top1_error": run.read_metrics()[-1]["test_top1_error"],
            "params": size.params,
            "mult_adds": size.mult_adds,
            "train_seconds": seconds,
            "device": describe_device(device),
            "peak_memory_gb": peak_memory_gb(device),
            "genotype": genotype.to_text(),
        }
        save_genotype(run, genotype)
        run.finish(result)
        progress.say(
            f"top-1 test error {result['test_top1_error']:.2f} % after the last epoch; {size.params / 1e6:.2f} M "
            f"parameters, {size.mult_adds / 1e6:.1f} M mult-adds; {duration(seconds)} on {result['device']}"
        )
    return result


def make_network(config: TrainConfig, genotype: Genotype, num_classes: int, image_channels: int) -> Network:
    """The network that `config` describes."""
    return Network(
        genotype,
        kind=config.kind,
        channels=config.channels,
        num_cells=config.num_cells,
        num_classes=num_classes,
        auxiliary=config.auxiliary,
        image_channels=image_channels,
        amp=config.amp,
    )
