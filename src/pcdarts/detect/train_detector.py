"""`pcdarts detect train`: SSD on a derived network, trained to find objects (Sec. 4.5), or SSDLite on a stock one."""

import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.data.coco.boxes import BoxBatch, BoxBatches
from pcdarts.data.coco.coco import CocoData
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.disk.encoded import IMAGENET_STATISTICS
from pcdarts.data.images import classes_line
from pcdarts.data.streams import generator
from pcdarts.detect.average_precision import precisions
from pcdarts.detect.beginning import about_backbone, lines_about, load_backbone, pretrained_line, saved_statistics
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
from pcdarts.jobs.outcome.find_genotype import find_genotype, save_genotype
from pcdarts.jobs.start import Beginning
from pcdarts.learn.learning import WeightStep, make_scaler, make_sgd
from pcdarts.network.complexity import Complexity
from pcdarts.run.device import peak_memory_gb, prepare_device
from pcdarts.run.display.progress import duration
from pcdarts.run.out_of_memory import explain_out_of_memory
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.schedule import scheduled
from pcdarts.run.session import Session, session
from pcdarts.run.whole_files import write_text


def run_detect(config: DetectTrainConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Train a detector and leave everything in `run`; returns what `result.json` holds (first process).

    Raises:
        InputError: the network, the classifier, the data or a checkpoint cannot be used, or pycocotools is missing.
        RunError: the loss is no longer a number, memory runs out, or something cannot be saved.
        Interrupted: the process was asked to end; what it had done is saved.
    """
    device = prepare_device(config.device, config.threads, processes.local_rank, config.amp, config.deterministic)
    made = make(config, run, resume, device, processes)
    detector, train_batches, test_batches = made.detector, made.train_batches, made.test_batches
    if processes.is_first:
        write_text(run.config, config.to_yaml())
    optimizer, scaler, so_far = make_sgd(detector, config), make_scaler(config.amp, device), BoxLosses(processes)

    def rate_of(epoch: int) -> float:
        schedule = config.learning_rate_schedule
        return scheduled(epoch, config.epochs, config.learning_rate, 0.0, schedule, config.lr_warmup_epochs)

    losses, steps, constants = {"losses": so_far}, len(train_batches), made.constants
    with (
        explain_out_of_memory(partial(_too_large, config, train_batches.batch_size // processes.count)),
        session(
            config, run, resume, processes, device, made.data, losses=losses, steps=steps, constants=constants
        ) as job,
    ):
        job.keep(detector=detector, optimizer=optimizer, scaler=scaler)
        if made.beginning:
            job.keep(init=made.beginning)
        job.watch(detector)
        job.begin(*made.words)
        by_class: PrecisionByClass | None = None
        step_of = WeightStep(detector, optimizer, scaler, processes, job.finite, config.gradient_clip)
        for epoch, learning_rate in job.epochs(config.epochs, rate_of):
            optimizer.param_groups[0]["lr"] = learning_rate
            detector.train()

            for step, batch in job.steps(train_batches, epoch):
                # For dropout and stochastic depth of a stock network: every process has its own.
                torch.manual_seed(generator(config.seed, "drop path", epoch, step, processes.rank).initial_seed())
                with job.guarded():
                    so_far.add(learn_boxes(step_of, batch, processes), job.finite.bad)

            record: dict[str, Any] = {"learning_rate": learning_rate, **job.measured()}
            if (epoch + 1) % config.test_every == 0 or epoch + 1 == config.epochs:
                processes.share_buffers(detector)
                measured, by_class = find_precisions(detector, made.data.test, test_batches, processes, job.save_if_due)
                record |= {name: None if math.isnan(value) else value for name, value in measured.items()}
            job.end_epoch(record, skipped=[*train_batches.skipped.values(), *test_batches.skipped.values()])

        if by_class is None:  # a kill came between the last epoch and the result
            _, by_class = find_precisions(detector, made.data.test, test_batches, processes)
        if not processes.is_first or job.place.record is None:
            return {}
        result = result_of(config, made, job, by_class)
        save_genotype(run, None if config.backbone else find_genotype(config.genotype))
        job.finish(result, [result_line(result)])
    print(f"next: {shlex.join(['pcdarts', 'detect', 'test', str(run.path)])}")
    return result


@dataclass(frozen=True)
class Made:
    """What a training is made of."""

    data: CocoData
    detector: Detector
    size: dict[str, Complexity]
    train_batches: BoxBatches
    test_batches: BoxBatches
    constants: dict[str, Any]
    """What a checkpoint says of the images: "classes", and the "mean" and "std" that they are normalised with."""
    beginning: Beginning | None
    """What a stock network begins with, if that is learnt on ImageNet."""
    notes: list[str]
    """What to say of the network."""

    @property
    def words(self) -> tuple[str, list[str]]:
        """Which images there are, and what else is said before the first epoch."""
        learnt_from = f"{len(self.data.train)} images of {self.data.train.name} to learn from"
        tested_on = f"{len(self.data.test)} of {self.data.test.name} to test on"
        return f"{learnt_from}, {tested_on}", [classes_line(self.data.classes), *self.data.notes, *self.notes]


def make(config: DetectTrainConfig, run: RunFolder, resume: bool, device: torch.device, processes: Processes) -> Made:
    """The data, and the detector with its first weights (those of a checkpoint are loaded later).

    Raises:
        InputError: the network, the classifier, the data or a checkpoint cannot be used, or pycocotools is missing.
    """
    with processes.in_turn():
        data = detection_data(config)
        begun = saved_statistics(config, run) if resume else None
        backbone = None if begun else load_backbone(config)
    mean, std = begun or ((backbone.mean, backbone.std) if backbone else IMAGENET_STATISTICS)
    train_batches = learning_batches(config, data.train, mean, std, device, processes)
    test_batches = measuring_batches(config, data.test, config.image_size, mean, std, device, processes)
    torch.manual_seed(generator(config.seed, "initial weights").initial_seed())
    detector = make_detector(config, len(data.classes))
    notes = lines_about(detector)
    beginning = Beginning() if config.is_pretrained else None
    if backbone:
        detector.load_backbone(backbone.state)
        if beginning and backbone.about:
            beginning.about = backbone.about
            notes.append(pretrained_line(backbone))
    constants = {"classes": list(data.classes), "mean": list(mean), "std": list(std)}
    detector = detector.to(device=device, memory_format=torch.channels_last)
    size = detector_complexity(detector)
    return Made(data, detector, size, train_batches, test_batches, constants, beginning, notes)


def learn_boxes(step_of: WeightStep, batch: BoxBatch, processes: Processes) -> dict[str, Tensor]:
    """Take one step; returns the losses of this process's share of the batch, as `Detector` has them.

    Raises:
        NotFinite: the loss or the gradient is not; the weights are as they were.
    """
    step_of.optimizer.zero_grad()
    found: dict[str, Tensor] = step_of.network(batch.images, batch.targets)
    # Each process has divided by what it has matched; together they divide by what all have.
    matched = found["num_matched"].float()
    share = processes.count * matched / processes.total(matched).clamp(min=1)
    loss = share * (found["bbox_regression"] + found["classification"])
    step_of.finite.check("the training loss", loss.detach())
    step_of.scaler.scale(loss).backward()
    step_of.finish()
    return found


def result_of(config: DetectTrainConfig, made: Made, job: Session, by_class: PrecisionByClass) -> dict[str, Any]:
    """What `result.json` says of a detector whose training is done."""
    assert job.place.record is not None, "a training has at least one epoch"
    return {
        **{name: value for name, value in job.place.record.items() if name.startswith("AP")},
        "test_details": by_class.to_json(),
        **asdict(made.size["all"]),
        "mult_adds_of_parts": {name: part.mult_adds for name, part in made.size.items() if name != "all"},
        "train_seconds": job.place.seconds,
        "device": job.device_name,
        "peak_memory_gb": peak_memory_gb(job.device),
        **about_backbone(config, made.detector),
        **({"init": made.beginning.about} if made.beginning else {}),
        **job.account(),
    }


def result_line(result: dict[str, Any]) -> str:
    """The last line of a training."""
    return (
        f"average precision {precision_text(result['AP'])} (AP50 {precision_text(result['AP50'])}) after the "
        "last epoch; "
        f"{result['params'] / 1e6:.2f} M parameters, {result['mult_adds'] / 1e6:.1f} M mult-adds; "
        f"{duration(result['train_seconds'])} on {result['device']}"
    )


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
    network = config.backbone or f"{config.num_cells} cells of {config.channels} channels"
    return (
        f"a step of {images} images of {config.image_size}x{config.image_size} pixels with {network}: "
        "start a new run with a smaller --batch-size or --image-size, or --amp bf16"
    )


def precision_text(precision: float | None) -> str:
    """In %; of a set without any object that counts there is none."""
    return "unknown" if precision is None else f"{precision:.2f} %"
