"""What a detector begins with: the cells and weights of a classifier, or a stock network."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pcdarts.cell.space import NetworkKind
from pcdarts.config.configs import TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.groups.network_settings import NO_GENOTYPE
from pcdarts.config.recipes import resolve
from pcdarts.data.disk.encoded import IMAGENET_STATISTICS
from pcdarts.detect.detector import Detector
from pcdarts.errors import InputError
from pcdarts.jobs.foreign_weights import OnlyGenotype, classifier_of, is_exported, is_file_of_weights
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.jobs.test import restored
from pcdarts.network.classifier import Blueprint, Classifier, cells_of
from pcdarts.network.pretrained import find_weights, take_weights
from pcdarts.network.stock import StockNetwork, check_stock, library_of
from pcdarts.network.stock_maps import StockMaps
from pcdarts.run.checkpoint import load_state, read_newest
from pcdarts.run.run_folder import RunFolder


def pinned_detection(config: DetectTrainConfig) -> DetectTrainConfig:
    """The genotype printed into the configuration; with a classifier its genotype and size; with a backbone neither.

    Raises:
        InputError: there is no such genotype or stock network, or no classifier that can be a detector's backbone.
    """
    if config.backbone is not None:
        return _pinned_backbone(config, config.backbone)
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


def _pinned_backbone(config: DetectTrainConfig, name: str) -> DetectTrainConfig:
    check_stock(name)
    if config.synchronize_batch_norm:
        raise InputError(
            f"synchronize_batch_norm is for networks of cells, but backbone is {name}: drop one of the two"
        )
    changes: dict[str, Any] = {"genotype": NO_GENOTYPE}
    if config.is_pretrained:
        changes["pretrained_file"] = find_weights(name, config.pretrained_file)
    print(
        f"SSDLite on the stock network {name} of {library_of(name)}: genotype, channels, num_cells and head_channels "
        "are for cells and do nothing",
        flush=True,
    )
    return config.model_copy(update=changes)


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
    about: dict[str, Any] = field(default_factory=dict)
    """For `result.json`, of weights learnt on ImageNet: path and checksum."""


def load_backbone(config: DetectTrainConfig) -> Backbone | None:
    """The classifier that the detector begins with, if there is one: of a run, or of a file of weights.

    Raises:
        InputError: there is none at that place, or none that can be a detector's backbone.
    """
    if config.backbone is not None:
        return _pretrained(config.backbone, config.pretrained_file) if config.is_pretrained else None
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


def _pretrained(name: str, file: Path | None) -> Backbone:
    """The weights of a stock network, and the pixel statistics that they were learnt with (timm names them)."""
    network = StockNetwork(name, num_classes=2)
    about = take_weights(network, find_weights(name, file))
    learnt_with = getattr(network.model, "pretrained_cfg", {})
    usual = dict(zip(("mean", "std"), IMAGENET_STATISTICS, strict=True))
    mean, std = (list(learnt_with.get(kind, usual[kind])) for kind in usual)
    return Backbone(network.model.state_dict(), mean, std, {name: about[name] for name in ("path", "sha256")})


def pretrained_line(backbone: Backbone) -> str:
    """What to say of weights learnt on ImageNet."""
    path, digest = backbone.about["path"], backbone.about["sha256"]
    return (
        f"the backbone begins with the weights of {path} (SHA-256 {digest[:12]}...); images are normalised with the "
        f"mean {[round(value, 3) for value in backbone.mean]} that these were learnt with"
    )


def about_backbone(config: DetectTrainConfig, detector: Detector) -> dict[str, Any]:
    """What `result.json` says of the network itself."""
    if config.backbone is None:
        return {"genotype": config.genotype}
    changes = detector.backbone.network.changes
    return {"backbone": config.backbone, "library": library_of(config.backbone), "changes": changes}


def lines_about(detector: Detector) -> list[str]:
    """What to say of the network before it is trained."""
    network = detector.backbone.network
    return [f"{network.name}: {change}" for change in network.changes] if isinstance(network, StockMaps) else []


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
