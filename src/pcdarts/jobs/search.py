"""`pcdarts search`: the bilevel optimisation of weights and architecture parameters (Secs. 3 and 4.1).

The order of what a search does can be read here. What one step computes is in `methods/` and `learn/task.py`; what is
saved, counted and shown around the loops is in `run/session.py`; `conclude` writes `genotype.json`.
"""

from contextlib import closing
from typing import Any

import torch

from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import remarks_on
from pcdarts.data.streams import generator
from pcdarts.errors import InputError
from pcdarts.jobs.memory import what_would_fit
from pcdarts.jobs.outcome.conclusion import closing_lines, conclude, rounded, search_cost
from pcdarts.jobs.outcome.evaluation import network_of
from pcdarts.jobs.outcome.final_error import errors_of_cell, errors_of_mixture
from pcdarts.jobs.outcome.truth import check_truth
from pcdarts.jobs.outcome.under_budget import (
    check_evaluation_network,
    derived,
    latencies_of_search,
    refuse_old_budget,
)
from pcdarts.learn.job_batches import plain_batches, training_batches, training_data
from pcdarts.learn.kernels import kernels_of_search
from pcdarts.learn.learning import make_scaler, make_sgd
from pcdarts.learn.measure import Average
from pcdarts.learn.networks import make_method, make_supernet
from pcdarts.learn.splits import split_images, without_order
from pcdarts.learn.stages import in_words, stages_of, told
from pcdarts.learn.task import ArchBatches, SupernetTask
from pcdarts.methods.method import At, Batch, figures_of, is_measured_alone, why_ended
from pcdarts.ops import compiling
from pcdarts.ops.compiling import compile_modules
from pcdarts.run.device import prepare_device
from pcdarts.run.ended_early import EIGENVALUE, about_the_end
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.session import session
from pcdarts.supernet.widening import widen


def run_search(config: SearchConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Search a cell and leave everything in `run`; returns what `result.json` holds (in the first process).

    Raises:
        InputError: data, checkpoint or table cannot be used, or the device has no such precision as `amp`.
        RunError: a loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    device = prepare_device(config.device, config.threads, processes.local_rank, config.amp, config.deterministic)
    refuse_old_budget(config, run)
    if processes.is_first:
        check_truth(config.table)
    with processes.in_turn():
        data = training_data(config, device, processes)
    latencies = latencies_of_search(config, data, run) if processes.is_first else None
    budget_lines = check_evaluation_network(config, data, latencies)
    weight_images, arch_images = split_images(config, data, run, processes)
    weight_batches = training_batches(config, data, weight_images, "weight", device, processes)
    measured = without_order(config, arch_images)
    plain_arch_batches = plain_batches(measured, data.mean, data.std, config.batch_size, device, processes)

    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    space = config.cell_space
    method = make_method(config, space, device, lambda: network_of(config, data).costs(space))
    stages = stages_of(config, method.stages())
    stage, epochs, before = stages[0], stages[-1].end, None
    arch_batches = ArchBatches(training_batches(config, data, arch_images, "arch", device, processes), epochs)
    weight_average, arch_average = Average("weight", processes), Average("arch", processes)
    losses = {"weight_average": weight_average, "arch_average": arch_average}
    steps, scaler = len(weight_batches), make_scaler(config.amp, device)
    work = [float(stage.config.num_cells) for stage in stages for _ in range(stage.config.epochs)]

    def next_arch_batch() -> Batch:  # called within a step, when `task` and `job` exist
        return task.batch("arch", *arch_batches.take(job.place.epoch))

    with (
        explain_out_of_memory(lambda: what_would_fit(stage.config, data, weight_batches.batch_size, run, processes)),
        closing(arch_batches),
        session(config, run, resume, processes, device, data, losses=losses, steps=steps, work=work) as job,
    ):
        if len(stages) > 1 and job.saving.epochs_before:
            raise InputError(f"{run.path} has several stages, and cannot be trained on: drop --epochs")
        if processes.is_first and (of_stages := told(config, stages)):
            run.write_json(run.stages, of_stages)
        for stage in job.stages(stages):
            if job.place.stage > 0:  # in the first stage the numbers follow those that the method took above
                torch.manual_seed(generator(config.seed, "initial weights", job.place.stage).initial_seed())
            supernet = make_supernet(stage.config, space, data.num_classes, data.image_channels).to(device)
            optimizer = make_sgd(supernet, stage.config)
            if stage.keeps_weights and before is not None:  # after a resume they are in the checkpoint
                widen(before[0], supernet, generator(config.seed, "widening", job.place.stage), (before[1], optimizer))
            before = supernet, optimizer
            job.keep(supernet=supernet, method=method, weight_optimizer=optimizer, scaler=scaler)
            job.keep(arch_batches=arch_batches)
            job.watch(supernet, method.arch)
            images_used = f"{len(weight_images)} weight and {len(arch_images)} arch images of {data}"
            job.begin(images_used, [*data.notes, *in_words(stages), *remarks_on(config), *budget_lines])
            kernels = kernels_of_search(stage.config, supernet, data, weight_batches.batch_size, job)
            if config.compile:
                compile_modules([supernet], compiling.BACKEND)
            task = SupernetTask(
                supernet,
                optimizer,
                gradient_clip=config.gradient_clip,
                parts=config.gradient_accumulation_steps,
                scaler=scaler,
                processes=processes,
                finite=job.finite,
                arch_batch=next_arch_batch,
                seed=config.seed,
                measured=plain_arch_batches,
                between=job.save_if_due,
                count=job.progress.measured,
            )
            for epoch, learning_rate in job.epochs(stage.end, stage.learning_rate):
                if why_ended(method):
                    break
                optimizer.param_groups[0]["lr"] = learning_rate
                supernet.train()

                for step, images_and_labels in job.steps(weight_batches, epoch):
                    at = At(epoch, step, job.place.stage, epoch - stage.first_epoch, stage.config.epochs)
                    weight_batch = task.batch("weight", epoch, step, *images_and_labels)

                    # As in DARTS (Algorithm 1): α and β first, then the weights under the mixture that these now give.
                    if epoch >= stage.first_arch_epoch:
                        with job.guarded():
                            seen = method.step(at, task, weight_batch)
                            if seen is not None:
                                arch_average.add(*seen, job.finite.bad)

                    with job.guarded():
                        draws = method.draws(at, task, weight_batch)
                        if draws:
                            weight_average.add(*task.learn(weight_batch, draws), job.finite.bad)

                with job.undivided(), job.guarded():
                    at = At(epoch, steps - 1, job.place.stage, epoch - stage.first_epoch, stage.config.epochs)
                    method.end_epoch(at, task, generator(config.seed, "end of epoch", epoch))
                job.place.count_time()  # what a method does at the end of an epoch is part of the search cost
                processes.check_same(method.arch, "alpha and beta")
                genotype = method.genotype(None, generator(config.seed, "genotype", epoch))
                job.end_epoch(
                    {"learning_rate": learning_rate, **job.measured()},
                    also_saved=rounded(method.mixture()) | figures_of(method),
                    also_shown={"skip_connects": genotype.skip_connects("normal"), **figures_of(method)},
                    genotype=genotype,
                )

        arch_errors = {}
        if not is_measured_alone(method):
            arch_errors = errors_of_mixture(method, supernet, task, plain_arch_batches, job)
        with job.undivided():
            genotype, budget = method.genotype(task, generator(config.seed, "genotype", epochs)), None
        if processes.is_first:
            genotype, budget = derived(config, data, method, genotype, latencies)
        if is_measured_alone(method):
            arch_errors = errors_of_cell(method, genotype, task, processes)
        job.report_skipped()
        if not processes.is_first:
            return {}
        result = conclude(run, config, data, genotype, budget, latencies) | {
            **arch_errors,
            **about_the_end(job.place.epoch, epochs, EIGENVALUE),
            **job.account(),
            "search_cost": search_cost(job, kernels),
        }
        ended = why_ended(method)
        job.finish(result, [*([ended] if ended else []), *closing_lines(run, config, data, result, epochs)])
    return result
