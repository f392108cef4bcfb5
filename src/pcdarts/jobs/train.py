"""`pcdarts train`: the evaluation stage, a derived network trained from scratch (Sec. 4.2)."""

import shlex
import statistics
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import TrainConfig
from pcdarts.data.images import DataSet
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, RunError
from pcdarts.jobs.find_genotype import find_genotype, latest_search, save_genotype
from pcdarts.jobs.memory import explained
from pcdarts.jobs.sizes import cost_text
from pcdarts.jobs.start import Beginning, load_start
from pcdarts.learn.job_batches import pixel_range_of, plain_batches, report_skipped, training_batches, training_data
from pcdarts.learn.learning import WeightStep, images_per_pass, make_scaler
from pcdarts.learn.measure import Average, errors_text, top_errors
from pcdarts.learn.training_on import goes_elsewhere, more_epochs_line, trained_on
from pcdarts.network.complexity import complexity
from pcdarts.network.network import Network
from pcdarts.ops import compiling
from pcdarts.ops.precision import check_amp
from pcdarts.run.checkpoint import previous_of
from pcdarts.run.device import choose_device, describe_device, peak_memory_gb, set_determinism
from pcdarts.run.finite import Numbers, asked_every
from pcdarts.run.lock import lock
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.progress import Progress, duration
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.saving import Place, Saving, Stateful
from pcdarts.run.schedule import drop_path_rate, scheduled
from pcdarts.run.tracking import make_tracker
from pcdarts.run.whole_files import write_text


def pinned(config: TrainConfig) -> TrainConfig:
    """The genotype printed into the configuration, so that `latest`, a file or a run means the same cell for ever.

    Raises:
        InputError: there is no such genotype, or no such weights to begin with.
    """
    source = config.genotype
    if config.init is not None:
        start = load_start(config.init, source, print)
        start.check(config)
        print(
            f"the weights of {start.path} decide: their genotype, kind {start.kind}, {start.channels} channels, "
            f"{start.num_cells} cells",
            flush=True,
        )
        return config.model_copy(update={"init": start.path, "genotype": start.genotype.to_text()})
    if source == "latest":
        source = str(latest_search().path)
        print(f"the latest search is {source}", flush=True)
    return config.model_copy(update={"genotype": find_genotype(source).to_text()})


def run_train(config: TrainConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Train the network of a genotype with one seed or several; returns what `result.json` holds (first process).

    With several seeds each has a run folder of its own inside `run`, and the result is their mean ± std.

    Raises:
        InputError: the genotype, the data or a checkpoint cannot be used, or the device has no such precision as `amp`.
        RunError: the loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    genotype = find_genotype(config.genotype)
    device = choose_device(config.device, config.threads, processes.local_rank)
    set_determinism(config.deterministic)
    check_amp(config.amp, device.type)
    with processes.in_turn():
        data = training_data(config, device, processes)
    job = Training(run, genotype, device, processes)
    next_line = f"next: {shlex.join(['pcdarts', 'test', str(run.path)])}"
    if config.seeds == 1:
        result = train_one(config, job, resume, data)
        job.print(next_line)
        return result

    if processes.is_first:
        write_text(run.config, config.to_yaml())
    results: list[dict[str, Any]] = []
    for seed in range(config.seed, config.seed + config.seeds):
        job.print(f"seed {seed} ({len(results) + 1} of {config.seeds})")
        one = RunFolder(run.path / f"seed-{seed}")
        of_one = config.model_copy(update={"seed": seed, "seeds": 1})
        further = processes.is_first and one.config.is_file() and goes_elsewhere(one, of_one)
        if processes.any(processes.is_first and one.is_finished and not further)[0]:
            results.append(one.read_result() if processes.is_first else {})
            continue
        if (config.train_images or config.test_images) and seed != config.seed:  # the seed decides which are kept
            data = training_data(of_one, device, processes)
        with (
            lock(one) if processes.is_first else nullcontext(),
            trained_on(one, of_one, of_several=True) if further else nullcontext(),
        ):
            try:
                results.append(train_one(of_one, replace(job, run=one), resume, data))
            except InputError:
                if processes.is_first:
                    one.withdraw()
                raise
            except RunError as error:
                if processes.is_first:
                    one.write_state("failed", message=str(error))
                raise
    if not processes.is_first:
        return {}
    errors = [result["test_top1_error"] for result in results]
    mean, std = statistics.mean(errors), statistics.stdev(errors)
    result = results[0] | {"test_top1_error": mean, "test_top1_error_std": std, "test_top1_errors": errors}
    for name in ("train_seconds", "skipped_batches", "skipped_images"):
        result[name] = sum(one[name] for one in results)
    if "test_top5_error" in result:
        result["test_top5_error"] = statistics.mean(one["test_top5_error"] for one in results)
    save_genotype(run, genotype)
    run.finish(result)
    summary = f"top-1 test error {mean:.2f} ± {std:.2f} % (mean ± std of {len(errors)} seeds)"
    run.append_log(summary)
    print(f"{summary}\n{next_line}")
    return result


@dataclass(frozen=True)
class Training:
    """What all seeds of a job have in common, and the folder of the one at hand."""

    run: RunFolder
    genotype: Genotype
    device: torch.device
    processes: Processes

    def print(self, line: str) -> None:
        """Print, once for all processes."""
        if self.processes.is_first:
            print(line, flush=True)


def train_one(config: TrainConfig, job: Training, resume: bool, data: DataSet) -> dict[str, Any]:
    """Train with one seed and leave everything in the run folder of `job`."""
    run, device, processes = job.run, job.device, job.processes
    train_batches = training_batches(config, data, data.train, "train", device, processes)
    test_batches = plain_batches(data.test, data.mean, data.std, config.batch_size, device, processes)
    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    network = make_network(config, job.genotype, data.num_classes, data.image_channels).to(device)
    network = network.to(memory_format=torch.channels_last)
    beginning, begins = Beginning(), None
    if config.init is not None and not (resume and (run.checkpoint.exists() or previous_of(run.checkpoint).exists())):
        start = load_start(config.init, config.genotype, lambda line: None)
        start.check(config)
        begins = beginning.take(network, start, data)
    size = complexity(network, (data.image_channels, data.image_size, data.image_size))
    if processes.is_first:
        write_text(run.config, config.to_yaml())  # only now: images too small for the network have been refused
    optimizer = torch.optim.SGD(
        network.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay, fused=True
    )
    scaler = make_scaler(config.amp, device)
    average = Average(processes)
    numbers = Numbers(config.max_skipped_batches, [network], processes, asked_every(device))
    place = Place()
    stateful: dict[str, Stateful] = {
        "network": network,
        "optimizer": optimizer,
        "scaler": scaler,
        "average": average,
        **({"init": beginning} if config.init is not None else {}),
    }
    saving = Saving(
        config,
        run,
        place,
        stateful,
        data=data,
        numbers=numbers,
        processes=processes,
        constants={
            "classes": list(data.classes),
            "image_shape": list(data.train.shape),
            "mean": list(data.mean),
            "std": list(data.std),
            "pixel_range": pixel_range_of(config, data),
            "files": data.files,
        },
    )
    tracker = make_tracker(config.track, run, config.model_dump(mode="json")) if processes.is_first else None
    parts = config.gradient_accumulation_steps

    def rate_of(epoch: int) -> float:
        return scheduled(
            epoch,
            config.epochs,
            config.learning_rate,
            config.learning_rate_min,
            config.learning_rate_schedule,
            config.lr_warmup_epochs,
        )

    def drop_path_of(epoch: int) -> float:
        return drop_path_rate(epoch, config.epochs, config.drop_path)

    def train_loss(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is minimised, with the auxiliary head's share; the loss that is reported; and the logits."""
        output = network(images)
        logits, auxiliary_logits = output if config.auxiliary else (output, None)
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        if auxiliary_logits is None:
            return loss, loss, logits
        auxiliary_loss = F.cross_entropy(auxiliary_logits, labels, label_smoothing=config.label_smoothing)
        return loss + config.auxiliary_weight * auxiliary_loss, loss, logits

    with (
        Progress(run, config.epochs, len(train_batches), tracker=tracker, quiet=not processes.is_first) as progress,
        explained(config, data, train_batches.batch_size, processes, progress),
        saving.interruption.awaited(),
    ):
        if resume:
            saving.restore(progress)
        images_used = f"{len(data.train)} training and {len(data.test)} test images of {data}"
        progress.begin(place.epoch, f"{images_used}, on {describe_device(device, processes.count)}", place.step)
        for note in data.notes:
            progress.say(note)
        if begins:
            progress.say(begins)
        skipped = report_skipped(data.skipped, run, progress, processes)
        if config.compile:
            at_once = images_per_pass(train_batches.batch_size, parts, processes)
            network.compile_parts((at_once, *data.train.shape), compiling.BACKEND)
        train_step = WeightStep(
            network,
            optimizer,
            gradient_clip=config.gradient_clip,
            parts=parts,
            scaler=scaler,
            processes=processes,
            numbers=numbers,
        )
        if saving.epochs_before:
            progress.say(more_epochs_line(saving.epochs_before, config.epochs, place, rate_of, drop_path_of))
        for epoch in range(place.epoch, config.epochs):
            learning_rate = rate_of(epoch)
            optimizer.param_groups[0]["lr"] = learning_rate
            network.drop_path = drop_path_of(epoch)
            network.train()
            place.start_clock()

            for step, (images, labels) in enumerate(train_batches.epoch(epoch, place.step), place.step):
                # Every process drops paths of its own images.
                other = (processes.rank,) if processes.rank > 0 else ()
                torch.manual_seed(generator(config.seed, "drop path", epoch, step, *other).initial_seed())
                with numbers.guarded(progress, epoch + 1, step + 1, learning_rate):
                    loss, logits = train_step(images, labels, train_loss)
                    average.add(loss, logits, labels, numbers.bad)
                place.finish_step()
                progress.step(epoch + 1, step + 1, images=len(images) * processes.count, **average.so_far("train"))
                saving.if_due()

            numbers.read()
            place.count_time()  # what the device still had to do belongs to the steps
            record = {"epoch": epoch + 1, "learning_rate": learning_rate, **average.named("train")}
            if (epoch + 1) % config.test_every == 0 or epoch + 1 == config.epochs:
                network.eval()
                processes.share_buffers(network)
                errors = top_errors(network, test_batches, processes, saving.if_due)
                record |= {f"test_{name}": error for name, error in errors.items()}
            skipped = report_skipped(data.skipped, run, progress, processes)
            place.finish_epoch({**record, "seconds": place.seconds})
            average.clear()
            saving.save()
            if processes.is_first:
                run.append_metrics(place.record or {})
                progress.epoch(record)

        if not processes.is_first or place.record is None:
            return {}
        errors = {name.removeprefix("test_"): error for name, error in place.record.items() if name.startswith("test_")}
        result = {
            **{f"test_{name}": error for name, error in errors.items()},
            "test_images": len(data.test),
            "params": size.params,
            "mult_adds": size.mult_adds,
            "train_seconds": place.seconds,
            "device": describe_device(device, processes.count),
            "peak_memory_gb": peak_memory_gb(device),
            "skipped_batches": numbers.skipped,
            "skipped_images": skipped,
            "genotype": job.genotype.to_text(),
            **({"init": beginning.about} if config.init is not None else {}),
            **saving.said_of_plans(),
        }
        save_genotype(run, job.genotype)
        run.finish(result)
        progress.say(
            f"{errors_text(config.kind, errors, 'test error')} after the last epoch; {cost_text(asdict(size))}; "
            f"{duration(place.seconds)} on {result['device']}"
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
        synchronize=config.synchronize_batch_norm,
    )
