"""`pcdarts train`: the evaluation stage, a derived network trained from scratch (Sec. 4.2)."""

import shlex
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import TrainConfig
from pcdarts.data.images import DataSet
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, RunError
from pcdarts.jobs.memory import what_would_fit
from pcdarts.jobs.outcome.find_genotype import find_genotype, latest_search, save_genotype, trained_genotype
from pcdarts.jobs.outcome.sizes import cost_text
from pcdarts.jobs.start import Beginning, load_start
from pcdarts.jobs.stock_training import about_network, lines_about, pinned_stock
from pcdarts.learn.by_class import by_class, of_results
from pcdarts.learn.contact_sheet import draw_mistakes
from pcdarts.learn.few_images.average_weights import AverageWeights
from pcdarts.learn.few_images.balance import class_weights, cross_entropy
from pcdarts.learn.few_images.mixing import Mixing
from pcdarts.learn.job_batches import pixel_range_of, plain_batches, training_batches, training_data
from pcdarts.learn.kept import Best, when
from pcdarts.learn.learning import WeightStep, images_per_pass, make_scaler, make_sgd
from pcdarts.learn.measure import Average, Measured, errors_text, measure
from pcdarts.learn.networks import make_network
from pcdarts.learn.training_on import has_other_epochs, trained_on
from pcdarts.network.complexity import complexity
from pcdarts.network.stock import AnyNetwork
from pcdarts.ops import compiling
from pcdarts.run.checkpoint import previous_of
from pcdarts.run.device import peak_memory_gb, prepare_device
from pcdarts.run.display.progress import duration
from pcdarts.run.ended_early import MINUTES, PATIENCE, about_the_end
from pcdarts.run.horizon import Horizon
from pcdarts.run.lock import lock
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.schedule import drop_path_rate, scheduled
from pcdarts.run.session import session
from pcdarts.run.whole_files import write_text


def pinned(config: TrainConfig) -> TrainConfig:
    """The configuration with its genotype written out: `latest`, a file or a run may be another cell tomorrow.

    With `init`, the genotype is that of these weights.

    Raises:
        InputError: there is no such genotype, or no such weights to begin with.
    """
    if config.stock is not None:
        return pinned_stock(config)
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
    genotype = find_genotype(source)
    if genotype.form.macro == "nasbench201" and config.num_cells % 3:
        raise InputError(
            f"num_cells is {config.num_cells}, but a network of NAS-Bench-201 has equally many cells in each of three "
            "stages: add --recipe nasbench201 (its own training) or nasbench201-small, or --num-cells 3, 6, 9, ..."
        )
    return config.model_copy(update={"genotype": genotype.to_text()})


def run_train(config: TrainConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Train the network of a genotype with one seed or several; returns what `result.json` holds (first process).

    With several seeds each has a run folder of its own inside `run`, and the result is their mean ± std.

    Raises:
        InputError: the genotype, the data or a checkpoint cannot be used, or the device has no such precision as `amp`.
        RunError: the loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    genotype = trained_genotype(config)
    device = prepare_device(config.device, config.threads, processes.local_rank, config.amp, config.deterministic)
    with processes.in_turn():
        data = training_data(config, device, processes)
    train = train_seeds if config.seeds > 1 else train_one
    result = train(config, genotype, run, resume, processes, device, data)
    if processes.is_first and not run.is_part:
        print(f"next: {shlex.join(['pcdarts', 'test', str(run.path)])}", flush=True)
    return result


def train_seeds(
    config: TrainConfig,
    genotype: Genotype | None,
    run: RunFolder,
    resume: bool,
    processes: Processes,
    device: torch.device,
    data: DataSet,
) -> dict[str, Any]:
    """Train with one seed after the other, each in a run folder of its own inside `run`."""
    if processes.is_first:
        write_text(run.config, config.to_yaml())
    results: list[dict[str, Any]] = []
    for seed in range(config.seed, config.seed + config.seeds):
        if processes.is_first:
            print(f"seed {seed} ({len(results) + 1} of {config.seeds})", flush=True)
        one = RunFolder(run.path / f"seed-{seed}")
        of_one = config.model_copy(update={"seed": seed, "seeds": 1})
        extended = processes.is_first and one.config.is_file() and has_other_epochs(one, of_one)
        if processes.any(processes.is_first and one.is_finished and not extended)[0]:
            results.append(one.read_result() if processes.is_first else {})
            continue
        if (config.train_images or config.test_images) and seed != config.seed:  # the seed decides which are kept
            data = training_data(of_one, device, processes)
        with (
            lock(one) if processes.is_first else nullcontext(),
            trained_on(one, of_one, of_several=True) if extended else nullcontext(),
            failure_noted_in(one) if processes.is_first else nullcontext(),
        ):
            results.append(train_one(of_one, genotype, one, resume, processes, device, data))
    if not processes.is_first:
        return {}
    result = mean_of(results)
    save_genotype(run, genotype)
    run.finish(result)
    mean, std = result["test_top1_error"], result["test_top1_error_std"]
    run.say(f"top-1 test error {mean:.2f} ± {std:.2f} % (mean ± std of {config.seeds} seeds)")
    return result


@contextmanager
def failure_noted_in(run: RunFolder) -> Iterator[None]:
    """Around one seed of several: a failure is noted in its folder; a refusal removes it if nothing was done yet.

    (`launch.py` does this for a run as a whole.)
    """
    try:
        yield
    except InputError:
        run.withdraw()
        raise
    except RunError as error:
        run.write_state("failed", message=str(error))
        raise


def mean_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The result of several seeds: errors are means, times and what was skipped are sums; each has its best epoch."""
    errors = [one["test_top1_error"] for one in results]
    mean, std = statistics.mean(errors), statistics.stdev(errors)
    details = of_results(results)
    result = results[0] | {"test_top1_error": mean, "test_top1_error_std": std, "test_top1_errors": errors}
    for name in ("train_seconds", "skipped_batches", "skipped_images"):
        result[name] = sum(one[name] for one in results)
    for of_one in ("test_details", "ended_early", "more_epochs"):
        result.pop(of_one, None)
    if details is not None:
        result["test_details"] = details.to_json()
    for name in ("test_top5_error", "validation_top1_error", "validation_top5_error"):
        if name in result:
            result[name] = statistics.mean(one[name] for one in results)
    for name, of_each in (("best_epoch", "best_epochs"), ("epochs_done", "epochs_done")):
        if result.pop(name, None) is not None:
            result[of_each] = [one[name] for one in results]
    return result


def train_one(
    config: TrainConfig,
    genotype: Genotype | None,
    run: RunFolder,
    resume: bool,
    processes: Processes,
    device: torch.device,
    data: DataSet,
) -> dict[str, Any]:
    """Train with one seed and leave everything in `run`."""
    train_batches = training_batches(config, data, data.train, "train", device, processes)
    test_batches = plain_batches(data.test, data.mean, data.std, config.batch_size, device, processes)
    watched, watched_batches, best = "test", test_batches, Best()
    if data.validation is not None:  # then test images are seen once, at the end
        watched = "validation"
        watched_batches = plain_batches(data.validation, data.mean, data.std, config.batch_size, device, processes)
    network, beginning, notes = begun_network(config, genotype, run, resume, device, data)
    size = complexity(network, (data.image_channels, data.image_size, data.image_size))
    if processes.is_first:
        write_text(run.config, config.to_yaml())  # only now: images too small for the network have been refused
    optimizer, scaler, average = make_sgd(network, config), make_scaler(config.amp, device), Average("train", processes)
    mean_network = AverageWeights(network, config.ema) if config.ema else None
    kept = mean_network.network if mean_network else network
    mixing = Mixing(config, data.num_classes)
    weights = class_weights(data.train.labels, data.num_classes).to(device) if config.class_weights != "none" else None
    horizon = Horizon(config.epochs, config.max_minutes, config.most_epochs, processes)
    rate_of, drop_path_of = schedules(config, horizon)
    parts, losses, constants = config.gradient_accumulation_steps, {"average": average}, about_images(config, data)
    with (
        explain_out_of_memory(partial(what_would_fit, config, data, train_batches.batch_size, run, processes)),
        session(
            config, run, resume, processes, device, data, losses=losses, steps=len(train_batches), constants=constants
        ) as job,
    ):
        job.keep(network=network, optimizer=optimizer, scaler=scaler)
        if beginning:
            job.keep(init=beginning)
        if mean_network:
            job.keep(ema=mean_network)
        if config.select == "best":
            job.keep(best=best)
        if config.max_minutes is not None:
            job.keep(horizon=horizon)
            job.shorten(horizon.epochs)
        if job.saving.epochs_before:  # it is trained on: it may have stopped because it had waited
            best.since = job.place.epoch
        job.watch(network)
        notes += [note for note in (mixing.note, mean_network and mean_network.note) if note]
        job.begin(images_used(data), [*data.notes, *notes])
        if config.compile:
            at_once = images_per_pass(train_batches.batch_size, parts, processes)
            network.compile_parts((at_once, *data.train.shape), compiling.BACKEND)
        train_step = WeightStep(network, optimizer, scaler, processes, job.finite, config.gradient_clip, parts)
        measured = None
        for epoch, learning_rate in job.epochs(horizon.most, rate_of, drop_path_of):
            if best.has_waited(epoch, config.patience):
                job.say(best.stop_line(epoch))
                break
            if horizon.is_over(epoch):
                break
            measured = None
            optimizer.param_groups[0]["lr"] = learning_rate
            network.drop_path = drop_path_of(epoch)
            network.train()

            for step, (images, labels) in job.steps(train_batches, epoch):
                images, labels = mixing(images, labels, epoch, step)
                # Every process drops paths of its own images, the first one with the numbers of a run of one process.
                rank = (processes.rank,) if processes.rank > 0 else ()
                torch.manual_seed(generator(config.seed, "drop path", epoch, step, *rank).initial_seed())
                with job.guarded():
                    loss, logits = train_step(images, labels, partial(train_loss, config, weights))
                    average.add(loss, logits, labels, job.finite.bad)
                if mean_network:
                    mean_network.update(network, epoch * len(train_batches) + step + 1)

            record = {"learning_rate": learning_rate, **job.measured()}
            planned = horizon.plan_after(epoch + 1)
            if (epoch + 1) % config.test_every == 0 or planned == epoch + 1:
                kept.eval()
                processes.share_buffers(kept)
                measured = measure(kept, watched_batches, processes, job.save_if_due)
                record |= {f"{watched}_{name}": error for name, error in measured.errors.items()}
                if config.select == "best":
                    best.offer(epoch + 1, measured.errors, kept)
            horizon.epochs = planned
            job.shorten(planned)
            job.end_epoch(record)

        assert job.place.record is not None, "a training has at least one epoch"
        validated = {name: error for name, error in job.place.record.items() if name.startswith("validation_")}
        chosen = kept.eval()
        if config.select == "best":
            chosen, validated = best.copy_into(kept), best.result()
        tested = measured if data.validation is None else None  # None also if a kill came after the last epoch
        if tested is None and config.test:
            tested = measure(chosen, test_batches, processes, job.save_if_due)
            job.report_skipped()
        if not processes.is_first:
            return {}
        time_over = horizon.is_over(job.place.epoch)  # otherwise it has said why it stopped
        may_end_early = config.patience is not None or config.max_minutes is not None
        result = {
            **validated,
            **({} if data.validation is None else {"validation_images": len(data.validation)}),
            **({"epochs_done": job.place.epoch} if may_end_early else {}),
            **about_the_end(job.place.epoch, config.epochs, MINUTES if time_over else PATIENCE),
            **({} if data.leaks is None else {"leaks": data.leaks}),
            **asdict(size),
            "train_seconds": job.place.seconds,
            "device": job.device_name,
            "peak_memory_gb": peak_memory_gb(device),
            **about_network(genotype, network),
            **({"init": beginning.about} if beginning else {}),
            **job.account(),
        }
        save_genotype(run, genotype)
        of_test, about_test = ({}, "") if tested is None else about_tested(run, data, tested)
        result = of_test | result
        lines = (horizon.end_line() if time_over else None, result_line(config, result, job.place.epoch), about_test)
        job.finish(result, [line for line in lines if line])
    return result


def begun_network(
    config: TrainConfig, genotype: Genotype | None, run: RunFolder, resume: bool, device: torch.device, data: DataSet
) -> tuple[AnyNetwork, Beginning | None, list[str]]:
    """The network with its first weights; what these are, if they are not random; and what to say of both.

    A run that goes on from a checkpoint does not need the file of first weights.
    """
    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    network = make_network(config, genotype, data.num_classes, data.image_channels, data.image_size).to(device)
    network = network.to(memory_format=torch.channels_last)
    beginning = Beginning() if config.init is not None or config.is_pretrained else None
    lines = lines_about(network)
    if beginning and not (resume and (run.checkpoint.exists() or previous_of(run.checkpoint).exists())):
        lines.append(beginning.of(config, network, data))
    return network, beginning, lines


def schedules(config: TrainConfig, horizon: Horizon) -> tuple[Callable[[int], float], Callable[[int], float]]:
    """The learning rate and the probability of dropping a path, by epoch, over as many epochs as are planned."""

    def rate_of(epoch: int) -> float:
        first, last, schedule = config.learning_rate, config.learning_rate_min, config.learning_rate_schedule
        return scheduled(epoch, horizon.epochs, first, last, schedule, config.lr_warmup_epochs)

    def drop_path_of(epoch: int) -> float:
        return drop_path_rate(epoch, horizon.epochs, config.drop_path)

    return rate_of, drop_path_of


def images_used(data: DataSet) -> str:
    """`800 training, 200 validation and 100 test images of ...`."""
    validating = f", {len(data.validation)} validation" if data.validation is not None else ""
    return f"{len(data.train)} training{validating} and {len(data.test)} test images of {data}"


def result_line(config: TrainConfig, result: dict[str, Any], epochs: int) -> str:
    """The errors of the result, on test images where these were measured, whose weights it is of, and what it costs."""
    what = "test" if "test_top1_error" in result else "validation"
    names = ("top1_error", "top5_error")
    errors = {name: result[f"{what}_{name}"] for name in names if f"{what}_{name}" in result}
    error = errors_text(config.kind, errors, f"{what} error")
    cost = f"{cost_text(result)}; {duration(result['train_seconds'])} on {result['device']}"
    return f"{error} {when(result, epochs)}; {cost}"


def about_tested(run: RunFolder, data: DataSet, tested: Measured) -> tuple[dict[str, Any], str]:
    """What a result holds of the test images, and a line about what the network is bad at; its mistakes are drawn."""
    details = by_class(data.classes, tested.labels.tolist(), tested.predictions.tolist())
    drawn = draw_mistakes(run.mistakes, data.test, tested, data.classes, data.test_sources)
    at = f"; its surest mistakes: {run.mistakes}" if drawn else ""
    errors = {f"test_{name}": error for name, error in tested.errors.items()}
    return {**errors, "test_images": details.images, "test_details": details.to_json()}, f"{details.summary()}{at}"


def train_loss(
    config: TrainConfig, weights: Tensor | None, network: nn.Module, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What is minimised, with the auxiliary head's share; the loss that is reported; and the logits."""
    output = network(images)
    logits, auxiliary_logits = output if config.auxiliary else (output, None)
    loss = cross_entropy(logits, labels, config.label_smoothing, weights)
    if auxiliary_logits is None:
        return loss, loss, logits
    auxiliary_loss = cross_entropy(auxiliary_logits, labels, config.label_smoothing, weights)
    return loss + config.auxiliary_weight * auxiliary_loss, loss, logits


def about_images(config: TrainConfig, data: DataSet) -> dict[str, Any]:
    """What a checkpoint says of the images, for those who use the network: `jobs/test.py`, `ship/export.py`."""
    return {
        "classes": list(data.classes),
        "image_shape": list(data.train.shape),
        "mean": list(data.mean),
        "std": list(data.std),
        "pixel_range": pixel_range_of(config, data),
        "files": data.files,
    }
