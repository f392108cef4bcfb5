"""`pcdarts detect train`: SSD on a derived network, trained to find objects (Sec. 4.5)."""

import math
import os
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.space import NetworkKind
from pcdarts.config.configs import TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.data.coco.boxes import BoxBatches
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.disk.encoded import IMAGENET_STATISTICS
from pcdarts.data.images import classes_line
from pcdarts.data.streams import generator
from pcdarts.detect.average_precision import precisions
from pcdarts.detect.by_class import PrecisionByClass
from pcdarts.detect.detecting import (
    BoxLosses,
    detection_data,
    drop_unreadable,
    find_objects,
    learning_batches,
    make_detector,
    measuring_batches,
)
from pcdarts.detect.detector import Detector, detector_complexity
from pcdarts.errors import InputError
from pcdarts.jobs.foreign_weights import OnlyGenotype, classifier_of, is_exported, is_file_of_weights
from pcdarts.jobs.outcome.find_genotype import find_genotype, save_genotype
from pcdarts.jobs.test import restored
from pcdarts.learn.learning import WeightStep, make_scaler, make_sgd
from pcdarts.network.classifier import Blueprint, Classifier, cells_of
from pcdarts.run.checkpoint import load_state, read_newest
from pcdarts.run.device import peak_memory_gb, prepare_device
from pcdarts.run.display.progress import duration
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.schedule import scheduled
from pcdarts.run.session import session
from pcdarts.run.whole_files import write_text


def pinned_detection(config: DetectTrainConfig) -> DetectTrainConfig:
    """The genotype printed into the configuration; with a classifier its genotype and size.

    Raises:
        InputError: there is no such genotype, or no classifier that can be a detector's backbone.
    """
    if config.classifier is None:
        return config.model_copy(update={"genotype": find_genotype(config.genotype).to_text()})
    if is_file_of_weights(config.classifier):
        _, blueprint = _backbone_of_file(config.classifier, config.genotype, print)
        update = {
            "classifier": Path(os.path.abspath(config.classifier)),
            "genotype": blueprint.genotype.to_text(),
            "channels": blueprint.channels,
            "num_cells": blueprint.num_cells,
        }
        return config.model_copy(update=update)
    run, trained = _classifier_run(config.classifier)
    print(
        f"the classifier {run.path} decides: its genotype, {trained.channels} channels, {trained.num_cells} cells",
        flush=True,
    )
    update = {
        "classifier": Path(os.path.abspath(run.path)),
        "genotype": find_genotype(trained.genotype).to_text(),
        "channels": trained.channels,
        "num_cells": trained.num_cells,
    }
    return config.model_copy(update=update)


def run_detect(config: DetectTrainConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Train a detector and leave everything in `run`; returns what `result.json` holds (first process).

    Raises:
        InputError: the genotype, the classifier, the data or a checkpoint cannot be used, or pycocotools is missing.
        RunError: the loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    device = prepare_device(config.device, config.threads, processes.local_rank, config.amp, config.deterministic)
    with processes.in_turn():
        data = detection_data(config)
        begun = saved_statistics(config, run) if resume else None
        backbone = None if begun else load_backbone(config)
    mean, std = begun or ((backbone.mean, backbone.std) if backbone else IMAGENET_STATISTICS)
    train_batches = learning_batches(config, data.train, mean, std, device, processes)
    test_batches = measuring_batches(config, data.test, config.image_size, mean, std, device, processes)
    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    detector = make_detector(config, len(data.classes))
    if backbone:
        detector.load_backbone(backbone.state)
    detector = detector.to(device=device, memory_format=torch.channels_last)
    size = detector_complexity(detector)
    if processes.is_first:
        write_text(run.config, config.to_yaml())
    optimizer, scaler, so_far = make_sgd(detector, config), make_scaler(config.amp, device), BoxLosses(processes)

    def rate_of(epoch: int) -> float:
        schedule = config.learning_rate_schedule
        return scheduled(epoch, config.epochs, config.learning_rate, 0.0, schedule, config.lr_warmup_epochs)

    losses, constants = {"losses": so_far}, {"classes": list(data.classes), "mean": list(mean), "std": list(std)}
    with (
        explain_out_of_memory(partial(_too_large, config, train_batches.batch_size // processes.count)),
        session(
            config, run, resume, processes, device, data, losses=losses, steps=len(train_batches), constants=constants
        ) as job,
    ):
        job.keep(detector=detector, optimizer=optimizer, scaler=scaler)
        job.watch(detector)
        learnt_from = f"{len(data.train)} images of {data.train.name} to learn from"
        tested_on = f"{len(data.test)} of {data.test.name} to test on"
        job.begin(f"{learnt_from}, {tested_on}", [classes_line(data.classes), *data.notes])
        by_class: PrecisionByClass | None = None
        step_of = WeightStep(detector, optimizer, scaler, processes, job.finite, config.gradient_clip)
        for epoch, learning_rate in job.epochs(config.epochs, rate_of):
            optimizer.param_groups[0]["lr"] = learning_rate
            detector.train()

            for _, batch in job.steps(train_batches, epoch):
                with job.guarded():
                    optimizer.zero_grad()
                    found = step_of.network(batch.images, batch.targets)
                    # Each process has divided by what it has matched; together they divide by what all have.
                    matched = found["num_matched"].float()
                    share = processes.count * matched / processes.total(matched).clamp(min=1)
                    loss = share * (found["bbox_regression"] + found["classification"])
                    job.finite.check("the training loss", loss.detach())
                    scaler.scale(loss).backward()
                    step_of.finish()
                    so_far.add(found, job.finite.bad)

            record: dict[str, Any] = {"learning_rate": learning_rate, **job.measured()}
            if (epoch + 1) % config.test_every == 0 or epoch + 1 == config.epochs:
                processes.share_buffers(detector)
                measured, by_class = find_precisions(detector, data.test, test_batches, processes, job.save_if_due)
                record |= {name: None if math.isnan(value) else value for name, value in measured.items()}
            job.end_epoch(record, skipped=[*train_batches.skipped.values(), *test_batches.skipped.values()])

        if by_class is None:  # a kill came between the last epoch and the result
            _, by_class = find_precisions(detector, data.test, test_batches, processes)
        if not processes.is_first or job.place.record is None:
            return {}
        precision = {name: value for name, value in job.place.record.items() if name.startswith("AP")}
        result = {
            **precision,
            "test_details": by_class.to_json(),
            **asdict(size["all"]),
            "mult_adds_of_parts": {name: part.mult_adds for name, part in size.items() if name != "all"},
            "train_seconds": job.place.seconds,
            "device": job.device_name,
            "peak_memory_gb": peak_memory_gb(device),
            "genotype": config.genotype,
            **job.account(),
        }
        save_genotype(run, find_genotype(config.genotype))
        line = (
            f"average precision {precision_text(precision['AP'])} (AP50 {precision_text(precision['AP50'])}) after the "
            "last epoch; "
            f"{result['params'] / 1e6:.2f} M parameters, {result['mult_adds'] / 1e6:.1f} M mult-adds; "
            f"{duration(job.place.seconds)} on {result['device']}"
        )
        job.finish(result, [line])
    print(f"next: {shlex.join(['pcdarts', 'detect', 'test', str(run.path)])}")
    return result


def find_precisions(
    detector: Detector,
    images: CocoImages,
    batches: BoxBatches,
    processes: Processes,
    between: Callable[[], None] = lambda: None,
) -> tuple[dict[str, float], PrecisionByClass]:
    """Average precision on the images that can be read, of all classes and of each; every process must call this."""
    objects = find_objects(detector, batches, processes, between)
    return precisions(drop_unreadable(images, batches, processes), objects)


def _too_large(config: DetectTrainConfig, images: int) -> str:
    """The step for which memory was lacking, and what to do about it."""
    return (
        f"a step of {images} images of {config.image_size}x{config.image_size} pixels with {config.num_cells} cells of "
        f"{config.channels} channels: start a new run with a smaller --batch-size or --image-size, or --amp bf16"
    )


def precision_text(precision: float | None) -> str:
    """In %; of a set without any object that counts there is none."""
    return "unknown" if precision is None else f"{precision:.2f} %"


def saved_statistics(config: DetectTrainConfig, run: RunFolder) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation that a run normalises with, if it has a checkpoint: those of its classifier.

    Raises:
        InputError: its checkpoints are damaged, or not of this run.
    """
    found = read_newest(run.checkpoint)
    if found is None:
        return None
    state = load_state(found[0], run.checkpoint, config.identity())
    return state["mean"], state["std"]


@dataclass(frozen=True)
class Backbone:
    """What a detector takes from a classifier: its state dict and its pixel statistics."""

    state: dict[str, Tensor]
    mean: list[float]
    std: list[float]


def load_backbone(config: DetectTrainConfig) -> Backbone | None:
    """The classifier that the detector begins with, if there is one: of a run, or of a file of weights.

    Raises:
        InputError: there is none at that place, or none that can be a detector's backbone.
    """
    path = config.classifier
    if path is None:
        return None
    if is_file_of_weights(path):
        found, blueprint = _backbone_of_file(path, config.genotype, lambda line: None)
        return Backbone(found.network.state_dict(), list(blueprint.mean), list(blueprint.std))
    run, trained = _classifier_run(path)
    learnt = restored(trained, run)
    _check_colour(path, len(learnt.mean))
    return Backbone(learnt.network.state_dict(), learnt.mean, learnt.std)


def _backbone_of_file(path: Path, genotype: str, say: Callable[[str], None]) -> tuple[Classifier, Blueprint]:
    found = classifier_of(path, OnlyGenotype(None if is_exported(path) else genotype), say).classifier
    blueprint = cells_of(found.blueprint, path, "a detector")
    _check_stem(path, blueprint.kind)
    _check_colour(path, blueprint.image_channels)
    return found, blueprint


def _check_colour(path: Path, image_channels: int) -> None:
    if image_channels != 3:
        raise InputError(f"the classifier {path} was trained on greyscale images, but a detector looks at colour ones")


def _check_stem(path: Path, kind: NetworkKind) -> None:
    if kind != "imagenet":
        raise InputError(
            f"the classifier {path} has a {kind} stem, but a detector reads maps of strides 8, 16 and 32: "
            "train one with --kind imagenet"
        )


def _classifier_run(path: Path) -> tuple[RunFolder, TrainConfig]:
    """The run at `path` and its configuration, if it is a finished training with the stem for ImageNet."""
    run = RunFolder.open(path)
    trained = resolve(TrainConfig, file=run.config)
    run.read_result()
    if trained.seeds > 1:
        raise InputError(
            f"the classifier {path} is a run of {trained.seeds} seeds: name one, such as {path}/seed-{trained.seed}"
        )
    if trained.stock is not None:
        raise InputError(
            f"a detector needs a network of cells, but {path} trains the stock network {trained.stock}: give the "
            "training of a genotype"
        )
    _check_stem(path, trained.kind)
    return run, trained
