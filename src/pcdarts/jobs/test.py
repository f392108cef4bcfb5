"""`pcdarts test`: the error of a trained network, measured again or on other data."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.space import NetworkKind
from pcdarts.config.configs import TestConfig, TrainConfig
from pcdarts.config.groups.values import IMAGE_FILES
from pcdarts.config.recipes import resolve
from pcdarts.data.disk.depth import SIXTEEN_BITS, PixelRange
from pcdarts.data.images import DataSet, Images
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError, in_one_line, in_short
from pcdarts.jobs.foreign_weights import CIFAR10_CLASSES, classifier_of, is_file_of_weights, refuse_options
from pcdarts.jobs.measured import data_to_measure, measured_text
from pcdarts.jobs.outcome.find_genotype import trained_genotype
from pcdarts.jobs.tested import Say, Tested, tell, tested
from pcdarts.learn.contact_sheet import names_beside
from pcdarts.learn.job_batches import how_to_read, plain_batches, reading_processes, skipped_lines
from pcdarts.learn.kept import weights_to_use
from pcdarts.learn.measure import errors_text, measure
from pcdarts.learn.networks import make_network
from pcdarts.network.classifier import AnyBlueprint, Blueprint, StockBlueprint
from pcdarts.network.stock import AnyNetwork, StockNetwork
from pcdarts.run.checkpoint import load_checkpoint
from pcdarts.run.device import choose_device
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import refuse_existing

CIFAR100_CLASSES = 100
IMAGENET_CLASSES = 1000


def run_test(config: TestConfig) -> list[float]:
    """Print and return the top-1 error, in %, of every network trained in the run (one for each seed).

    Raises:
        InputError: there is no finished train run, or the data does not fit its training data.
    """
    refuse_existing("--mistakes", config.mistakes)
    refuse_existing("--mistakes", config.mistakes and names_beside(config.mistakes))
    say: Say = (lambda line: None) if config.as_json else partial(print, flush=True)
    from_file = is_file_of_weights(config.run)
    networks = [test_file(config, say)] if from_file else list(test_runs(config, say))
    tell(config, networks, say)
    return [one.measured.errors["top1_error"] for one in networks]


def test_runs(config: TestConfig, say: Say) -> Iterator[Tested]:
    """The network of a run, or of each of its seeds, measured."""
    runs = trained_runs(config.run)
    refuse_options(config.run, config)
    said: tuple[str, ...] = ()
    for run in runs:
        trained = resolve(TrainConfig, file=run.config)
        learnt = restored(trained, run)
        device = choose_device(config.device, config.threads)
        data = data_to_measure(config, trained, learnt, device)
        for line in data.notes if data.notes != said else ():
            say(line)
        said = data.notes
        yield measured_on(config, data, learnt, trained.kind, run.path, device, say)
        config = config.model_copy(update={"mistakes": None})  # one sheet is enough


def trained_runs(path: Path) -> list[RunFolder]:
    """The finished train run at `path` (of a fit its training), or the runs of its seeds in their order.

    Raises:
        InputError: there is no finished train run.
    """
    parent, training = RunFolder.open(path), RunFolder(path / "train")
    if parent.plan.is_file() and training.config.is_file():
        parent = training
    resolve(TrainConfig, file=parent.config)  # refuses runs of other jobs, finished or not
    parent.read_result()
    return [RunFolder(of_seed) for of_seed in sorted(parent.path.glob("seed-*"), key=seed_of)] or [parent]


def seed_of(path: Path) -> int:
    """The seed of the folder `seed-N`; others first."""
    number = path.name.removeprefix("seed-")
    return int(number) if number.isdigit() else -1


def measured_on(
    config: TestConfig,
    data: DataSet,
    learnt: "Learnt",
    kind: NetworkKind,
    path: Path,
    device: torch.device,
    say: Say,
) -> Tested:
    """The network from `path`, measured on the test images of `data`; its errors are said, its mistakes drawn.

    Greyscale images get three equal channels for a colour network.

    Raises:
        InputError: the data has other channels or classes than the network.
    """
    channels = len(learnt.mean)
    if data.image_channels not in (1, channels):
        raise InputError(
            f"{data.name} has images of {data.image_channels} channels, but {path} was trained on {channels}: "
            "test it on images like those"
        )
    images = data.test.relabelled(relabelled(data, learnt.classes, path))
    if isinstance(images, Images):
        images = images.with_channels(channels)
    batches = plain_batches(images, learnt.mean, learnt.std, config.batch_size, device)
    measured = measure(learnt.network.to(device).eval(), batches)
    for line in skipped_lines(data):
        say(line)
    say(in_one_line(f"{path}: {errors_text(kind, measured.errors)} {measured_text(data)}"))
    return tested(path, data, images, learnt.classes, measured, config.mistakes)


def test_file(config: TestConfig, say: Say) -> Tested:
    """The network in a file of weights, measured."""
    found = classifier_of(config.run, config, say, fixed=())
    blueprint = found.classifier.blueprint
    device = choose_device(config.device, config.threads)
    name = config.data or data_of(blueprint)
    if name is None:
        raise InputError(
            f"the data of {config.run} is not known: name images of its {len(blueprint.classes)} classes, as in "
            "--data folder --data-root FOLDER"
        )
    data = load_data(
        name,
        root=config.data_root,
        hub_name=config.hub_name,
        test_set=config.test_set,
        image_size=config.image_size or blueprint.image_size,
        test_images=config.test_images,
        on_bad_image=config.on_bad_image or "stop",
        to_measure=True,
        border=blueprint.border if name in IMAGE_FILES else 0.0,
        pixel_range=config.pixel_range or blueprint.pixel_range,
        workers=reading_processes(config.workers, device),
    )
    for line in data.notes:
        say(line)
    classes = list(blueprint.classes)
    if not found.names_known and set(as_folders(classes)) != set(as_folders(data.classes)):
        if len(data.classes) != len(classes):
            raise InputError(
                f"{data.name} has {len(data.classes)} classes, but the network of {config.run} has {len(classes)}: "
                "test it on data with the classes it was trained on"
            )
        classes = list(data.classes)
        say(f"assumed: its classes are those of {data.name} in their order, {in_short(classes)}")
    mean, std = blueprint.mean, blueprint.std
    if not found.statistics_known and data.image_channels == len(mean):
        mean, std = data.mean, data.std
        say(f"assumed: its mean and deviation of pixels are those of {data.name}")
    learnt = Learnt(found.classifier.network, blueprint.image_size, classes, list(mean), list(std), None, (None, None))
    kind = blueprint.kind if isinstance(blueprint, Blueprint) else "cifar"
    return measured_on(config, data, learnt, kind, config.run, device, say)


def data_of(blueprint: AnyBlueprint) -> str | None:
    """The likely data set of a network without a run, from its classes and its stem."""
    count = len(blueprint.classes)
    if isinstance(blueprint, Blueprint) and blueprint.kind == "imagenet":
        return "imagenet" if count == IMAGENET_CLASSES else None
    if blueprint.image_channels == 1:
        return None
    return "cifar10" if blueprint.classes == CIFAR10_CLASSES else "cifar100" if count == CIFAR100_CLASSES else None


@dataclass(frozen=True)
class Learnt:
    """The network of a finished training, and its images' properties, from the checkpoint."""

    network: AnyNetwork
    image_size: int
    classes: list[str]
    mean: list[float]
    std: list[float]
    pixel_range: PixelRange | None
    """Black and white in images of more than 8 bits; None if there were none."""
    known_by: tuple[str | None, str | None]
    """Fingerprints of its training and test images: of their files, and of their pixels."""


def restored(trained: TrainConfig, run: RunFolder) -> Learnt:
    """The network trained in `run`, and its images' properties.

    Raises:
        InputError: the checkpoint is missing, damaged, or not of this run.
    """
    state = load_checkpoint(run.checkpoint, trained.identity())
    genotype = trained_genotype(trained)
    try:
        channels, _, image_size = map(int, state["image_shape"])
        classes = [str(name) for name in state["classes"]]
        mean, std = ([float(value) for value in state[name]] for name in ("mean", "std"))
        if not len(mean) == len(std) == channels:
            raise ValueError
        known = state.get("pixel_range", SIXTEEN_BITS)  # that of earlier versions
        pixel_range = None if known is None else (float(known[0]), float(known[1]))
        network = make_network(trained, genotype, len(classes), channels, image_size)
        network.load_state_dict(weights_to_use(state, trained))
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(
            f"{run.checkpoint} does not fit the network of its run: restore the file from a copy, or train anew"
        ) from None
    files, pixels = (value if isinstance(value := state.get(name), str) else None for name in ("files", "data"))
    return Learnt(network, image_size, classes, mean, std, pixel_range, (files, pixels))


def blueprint_of(trained: TrainConfig, learnt: Learnt) -> AnyBlueprint:
    """The blueprint of a run's network and its images."""
    about_images: dict[str, Any] = {
        "classes": tuple(learnt.classes),
        "mean": tuple(learnt.mean),
        "std": tuple(learnt.std),
        "image_size": learnt.image_size,
        "pixel_range": learnt.pixel_range,
        "border": how_to_read(trained if trained.data in IMAGE_FILES else None)["border"],
    }
    if isinstance(learnt.network, StockNetwork):
        return StockBlueprint(stock=learnt.network.name, stock_width=learnt.network.width, **about_images)
    return Blueprint(
        genotype=learnt.network.genotype,
        kind=trained.kind,
        channels=trained.channels,
        num_cells=trained.num_cells,
        **about_images,
    )


def relabelled(data: DataSet, classes: list[str], path: Path) -> Tensor:
    """The labels [N] of the test images as indices of `classes`, the network's, of which some may have no image.

    Raises:
        InputError: the data has classes that the network does not know.
    """
    names, known = map(as_folders, (data.classes, classes))
    if not set(names) <= set(known):
        differing = sorted(set(names) ^ set(known))
        shown = ", ".join(differing[:5]) + (", ..." if len(differing) > 5 else "")
        raise InputError(
            f"{data.name} and the training data of {path} differ in {len(differing)} classes ({shown}): "
            "test it on data with the classes it was trained on"
        )
    return torch.tensor([known.index(name) for name in names])[data.test.labels]


def as_folders(classes: Iterable[str]) -> list[str]:
    """The names of classes as folder names: `T-shirt/top` is the folder `T-shirt_top`."""
    return [name.replace("/", "_") for name in classes]
