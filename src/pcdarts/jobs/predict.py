"""`pcdarts predict`: the most probable classes of images by a trained network."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcdarts.config.configs import PredictConfig, TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.data.disk.decode import BadImage, decode, fit_to_square, quoted, strict_warnings
from pcdarts.data.disk.image_folder import list_images
from pcdarts.data.disk.listing import ignored_lines
from pcdarts.errors import InputError, in_one_line
from pcdarts.jobs.foreign_weights import classifier_of, is_file_of_weights, refuse_options
from pcdarts.jobs.test import blueprint_of, restored, trained_runs
from pcdarts.network.classifier import AnyBlueprint, Classifier, load_classifier
from pcdarts.run.device import choose_device
from pcdarts.run.run_folder import RunFolder

BATCH_SIZE = 32


def run_predict(config: PredictConfig) -> None:
    """Print the most probable classes of every image, in order.

    Raises:
        InputError: there is no such network, a folder has no images, or some images cannot be read (raised at the end).
    """
    predictions = []
    for prediction in predictions_of(config):
        predictions.append(prediction)
        if not config.as_json and prediction.problem is None:
            print(prediction, flush=True)
    if config.as_json:
        print(json.dumps([prediction.as_json() for prediction in predictions], indent=2))
    refuse_problems(predictions)


def predictions_of(config: PredictConfig) -> Iterator["Prediction"]:
    """What the network of a run makes of every image, in order.

    Raises:
        InputError: there is no such network, or a folder has no images.
    """
    device = choose_device(config.device, config.threads)
    classifier = find_classifier(config).to(device)
    blueprint = classifier.blueprint
    if config.pixel_range is not None:
        blueprint = blueprint.model_copy(update={"pixel_range": config.pixel_range})
    yield from predict(classifier, blueprint, list(all_images(config.images)), config.top)


def refuse_problems(predictions: Sequence["Prediction"]) -> None:
    """Name the images that cannot be used.

    Raises:
        InputError: there are any.
    """
    problems = [prediction.problem for prediction in predictions if prediction.problem is not None]
    if len(problems) == 1:
        raise InputError(f"cannot use {problems[0]}")
    if problems:
        raise InputError(f"{len(problems)} of {len(predictions)} images cannot be used:", *problems)


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image, with their probabilities, or why there are none."""

    path: Path
    classes: tuple[tuple[str, float], ...] = ()
    problem: str | None = None

    def __str__(self) -> str:
        named = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in self.classes)
        return in_one_line(f"{self.path}: {named}")

    def as_json(self) -> dict[str, Any]:
        """`image` and either `classes` or `error`."""
        if self.problem is not None:
            return {"image": str(self.path), "error": self.problem}
        return {"image": str(self.path), "classes": [{"class": name, "probability": p} for name, p in self.classes]}


def find_classifier(config: PredictConfig) -> Classifier:
    """The classifier of a train run (of its first seed), of an export, or of a file of weights.

    Raises:
        InputError: there is none.
    """

    def say(line: str) -> None:
        if not config.as_json:
            print(line, flush=True)

    if is_file_of_weights(config.run):
        return classifier_of(config.run, config, say).classifier
    if not RunFolder(config.run).config.is_file():
        return load_classifier(config.run)
    refuse_options(config.run, config, "image_size")
    return classifier_of_run(config.run, say)


def classifier_of_run(path: Path, say: Callable[[str], None]) -> Classifier:
    """The classifier that a training made; of several seeds the first one's, which `say` is told.

    Raises:
        InputError: there is no finished training.
    """
    run, *others = trained_runs(path)
    if others:
        say(f"of {1 + len(others)} seeds the first: {run.path}")
    trained = resolve(TrainConfig, file=run.config)
    learnt = restored(trained, run)
    return Classifier(blueprint_of(trained, learnt), learnt.network.state_dict())


def all_images(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and all images below the folders among them; stderr gets what is ignored there.

    Raises:
        InputError: a folder cannot be listed or has no images.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        ignored: Counter[str] = Counter()
        found = list_images(path, ignored)
        for line in ignored_lines(ignored):
            print(in_one_line(f"{path}: {line}"), file=sys.stderr, flush=True)
        if not found:
            raise InputError(f"there are no images below {quoted(path)}: name image files or another folder")
        yield from found


@torch.no_grad()
def predict(classifier: Classifier, blueprint: AnyBlueprint, paths: Sequence[Path], top: int) -> Iterator[Prediction]:
    """The `top` classes of each image, the most probable first, or its problem; in the order of `paths`.

    `blueprint` decides how images are read.
    """
    classes, device = blueprint.classes, classifier.mean.device
    for start in range(0, len(paths), BATCH_SIZE):
        batch = [(path, pixels_or_problem(path, blueprint)) for path in paths[start : start + BATCH_SIZE]]
        images = [pixels for _, pixels in batch if isinstance(pixels, Tensor)]
        if images:
            probabilities = classifier(torch.stack(images).to(device) / 255).softmax(dim=1)
            best = probabilities.topk(min(top, len(classes)))
            rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        for path, found in batch:
            if isinstance(found, str):
                yield Prediction(path, problem=found)
            else:
                indices, values = next(rows)
                yield Prediction(path, tuple(zip([classes[index] for index in indices], values, strict=True)))


def pixels_or_problem(path: Path, blueprint: AnyBlueprint) -> Tensor | str:
    """The result of `read_pixels`, or the problem of the image."""
    try:
        return read_pixels(path, blueprint)
    except BadImage as error:
        return error.line
    except InputError as error:
        return str(error)


def read_pixels(path: Path, blueprint: AnyBlueprint) -> Tensor:
    """An image read like the network's test images, uint8 [C, S, S]; a greyscale one may get three equal channels.

    Raises:
        InputError: it cannot be read, or has colours but the network takes greyscale images.
    """
    with strict_warnings():
        image = decode(path, pixel_range=blueprint.pixel_range)
    if image.mode != "L" and blueprint.image_channels == 1:
        raise InputError(f"{quoted(path)}: it has colours, but the network knows greyscale images alone")
    image = fit_to_square(
        image.convert("L" if blueprint.image_channels == 1 else "RGB"), blueprint.image_size, blueprint.border
    )
    return torch.from_numpy(np.array(image).reshape(*image.size, -1)).permute(2, 0, 1)
