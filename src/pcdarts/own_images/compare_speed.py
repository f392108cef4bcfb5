"""How long the compared networks take for one image on this machine: as ONNX models and in PyTorch, by turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from pcdarts.config.configs import TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError, shown
from pcdarts.jobs.test import blueprint_of, restored
from pcdarts.network.classifier import Classifier
from pcdarts.network.latency.timing import by_turns, onnx_milliseconds, onnxruntime
from pcdarts.run.run_folder import RunFolder
from pcdarts.ship.formats import FORMATS

SECONDS = 0.5
"""For which each network is timed, in either way."""


@dataclass(frozen=True)
class Speeds:
    """Milliseconds for a batch of one image, by network; None where there is no such figure."""

    onnx: list[float | None]
    pytorch: list[float]
    problems: list[str]
    """Why there is none, a line each."""


def speeds(runs: Sequence[RunFolder], threads: int = 1) -> Speeds:
    """The median times of the networks of trainings, which take turns; each runs for `SECONDS`.

    Raises:
        InputError: a run cannot be read.
    """
    classifiers = [_classifier_of(run) for run in runs]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pytorch = [median for _, median in by_turns(list(map(_forward, classifiers)), SECONDS, threads)]
    finally:
        torch.set_num_threads(before)
    onnx: list[float | None] = [None] * len(runs)
    problems: list[str] = []
    try:
        onnxruntime()
    except InputError as error:
        return Speeds(onnx, pytorch, [f"no latency of ONNX models: {error}"])
    with TemporaryDirectory() as folder:
        files: dict[int, Path] = {}
        for place, classifier in enumerate(classifiers):
            path = Path(folder) / f"{place}.onnx"
            try:
                FORMATS["onnx"].save(classifier, _pixels(classifier, 2), path)
                files[place] = path
            except Exception as error:  # the exporter has many types of its own
                reason = shown(" ".join(str(error).split()) or type(error).__name__, 200)
                problems.append(f"{runs[place].path} cannot be exported to ONNX: {reason}")
        times = onnx_milliseconds(list(files.values()), threads=threads, seconds=SECONDS)
        for place, milliseconds in zip(files, times, strict=True):
            onnx[place] = milliseconds
    return Speeds(onnx, pytorch, problems)


def _classifier_of(run: RunFolder) -> Classifier:
    trained = resolve(TrainConfig, file=run.config)
    learnt = restored(trained, run)
    return Classifier(blueprint_of(trained, learnt), learnt.network.state_dict())


def _forward(classifier: Classifier) -> Callable[[], Tensor]:
    pixels = _pixels(classifier, 1)

    @torch.no_grad()
    def run() -> Tensor:
        return classifier(pixels)

    return run


def _pixels(classifier: Classifier, count: int) -> Tensor:
    """Images of noise in [0, 1]."""
    blueprint = classifier.blueprint
    side = blueprint.image_size
    return torch.rand(count, blueprint.image_channels, side, side, generator=torch.Generator().manual_seed(0))
