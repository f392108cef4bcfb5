"""The jobs from Python, with the names of their flags, and what they leave behind as an object."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import torch

from pcdarts.cell.draw import draw_together
from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import PredictConfig
from pcdarts.config.flags import RUN_FLAGS
from pcdarts.config.job_config import JobConfig
from pcdarts.config.recipes import resolve
from pcdarts.config.study_config import ReportConfig
from pcdarts.config.verbs import JOBS
from pcdarts.config.yaml_files import load_mapping
from pcdarts.errors import InputError, RunError, check_path, shown
from pcdarts.jobs.outcome.error_words import error_is_of
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.jobs.predict import Prediction, classifier_of_run, predictions_of, refuse_problems
from pcdarts.jobs.status import status_of
from pcdarts.network.classifier import Classifier
from pcdarts.report.page import run_report
from pcdarts.run.run_folder import RunFolder
from pcdarts.work import work

WORDS = {
    "test_top1_error": "top-1 test error",
    "validation_top1_error": "top-1 validation error",
    "arch_top1_error": "top-1 error on the arch split",
    "params": "parameters",
    "mult_adds": "mult-adds",
}
"""The figures of a result that a notebook shows, by their names there."""


class Run:
    """A run folder, finished or not. Everything is read from its files when it is asked for; nothing is changed.

    In a notebook it shows its figures and its cells.

    Args:
        path: the folder.

    Raises:
        InputError: it is no run folder; so do the properties where a file is missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        check_path("path", path, "a run folder")
        self.path = Path(path)
        self._folder = RunFolder.open(self.path)

    @property
    def config(self) -> JobConfig:
        """The configuration, with one attribute for each setting."""
        job = load_mapping(self._folder.config).get("job")
        if job not in JOBS:
            raise InputError(f"{self._folder.config} is of an unknown job, {shown(job)}: restore it from a copy")
        return resolve(JOBS[job].config, file=self._folder.config)

    @property
    def genotype(self) -> Genotype:
        """The cell that a search has found, or that a network was made of."""
        return find_genotype(str(self.path), say=lambda line: None)

    @property
    def classifier(self) -> Classifier:
        """The trained network in evaluation mode for pixels in [0, 1]; of several seeds the first one's.

        Its `blueprint` knows the classes and the size of images.

        Raises:
            InputError: there is no finished training.
        """
        trained = self._trained
        if (job := trained.config.job) != "train":
            raise InputError(
                f"{self.path} is a {job} and has no trained network: pcdarts.train(genotype=run) makes one"
            )
        return classifier_of_run(trained.path, say=lambda line: None)

    @property
    def network(self) -> torch.nn.Module:
        """The same for images that are normalised already."""
        return self.classifier.network

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """What was measured after each epoch; of several seeds it is in their own folders, see `runs`."""
        return self._trained._folder.read_metrics()

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` holds: errors in %, parameters, mult-adds, seconds."""
        return self._folder.read_result()

    @property
    def runs(self) -> dict[str, "Run"]:
        """The runs inside this one by the names of their folders: of several seeds, or the phases of a fit."""
        inside = sorted(path for path in self.path.iterdir() if (path / "config.yaml").is_file())
        return {path.name: Run(path) for path in inside}

    def report(self, out: str | Path | None = None) -> Path:
        """Write `report.html` and `report.md` to the run folder, or to `out`; returns the page."""
        folder = self.path if out is None else Path(out)
        run_report(ReportConfig(runs=(self.path,), out=folder))
        return folder / "report.html"

    @property
    def _trained(self) -> "Run":
        """The training of a fit; every other run is itself."""
        inside = self.path / "train"
        return Run(inside) if (inside / "config.yaml").is_file() else self

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_svg_(self) -> str | None:
        return draw_together(self.genotype) if self._folder.genotype.is_file() else None

    def _repr_html_(self) -> str:
        status = status_of(self._folder)
        rows = [("state", status.state), ("epoch", f"{status.epoch} of {status.epochs}" if status.epochs else "")]
        for name, words in WORDS.items():
            value = self.result.get(name) if self._folder.is_finished else None
            if name == "arch_top1_error" and value is not None and (alone := error_is_of(self.result)):
                words = f"{words}, of {alone}"
            if isinstance(value, int | float):
                rows.append((words, f"{value:.2f} %" if name.endswith("error") else f"{value:,}"))
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows if value)
        title = f"<b>{escape(status.job or 'run')}</b> {escape(str(self.path))}"
        return f"<div>{title}<table>{cells}</table>{self._repr_svg_() or ''}</div>"


def search(**settings: Any) -> Run:
    """Search a cell, as `pcdarts search` does.

    Args:
        settings: what its flags say, with their names: `epochs=2`, `data_root="photos"`, `recipe="cifar10"`, also
            `run` (the new folder), `resume` (a run to go on with) and `config` (a YAML file).

    Raises:
        InputError: a setting, a folder or the data cannot be used.
        RunError: the job failed.
        KeyboardInterrupt: it was interrupted; its message says how to go on.
    """
    return _done("search", settings)


def train(**settings: Any) -> Run:
    """Train the network of a genotype, as `pcdarts train` does.

    Args:
        settings: as in `search`, with the names of the flags of `pcdarts train`; `genotype` may be a `Run` or a
            `Genotype` too, `init` a `Run`.

    Raises:
        InputError, RunError, KeyboardInterrupt: as in `search`.
    """
    return _done("train", settings)


def fit(folder: str | Path | None = None, **settings: Any) -> Run:
    """From a folder of images to a network to ship, as `pcdarts fit` does it.

    Args:
        folder: class folders of images, or `train` and `test` with such folders; None with `resume`.
        settings: as in `search`, with the names of the flags of `pcdarts fit`: `minutes=10`.

    Raises:
        InputError, RunError, KeyboardInterrupt: as in `search`.
    """
    return _done("fit", settings if folder is None else {"folder": folder, **settings})


def predict(run: "Run | str | Path", images: str | Path | Sequence[str | Path], **settings: Any) -> list[Prediction]:
    """The most probable classes of images, as `pcdarts predict` prints them.

    Args:
        run: a finished training or fit, an export folder or a safetensors file.
        images: an image, a folder of images, or several.
        settings: with the names of the flags of `pcdarts predict`: `top=1`.

    Returns:
        For each image its `path` and its `classes`, pairs of name and probability, the most probable first.

    Raises:
        InputError: there is no such network, or an image cannot be read.
    """
    paths = [images] if isinstance(images, str | os.PathLike) else images
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | os.PathLike) for path in paths):
        raise InputError("images must be the path of an image or a folder, or a list of such paths")
    check_path("run", run.path if isinstance(run, Run) else run, "a run, an export folder or a safetensors file")
    place = run if isinstance(run, Run) else Run(run) if (Path(run) / "config.yaml").is_file() else None
    given = {**_plain(settings), "run": str(place._trained.path if place else run), "images": _plain(paths)}
    with _left_as_it_was():
        predictions = list(predictions_of(resolve(PredictConfig, flags=given)))
    refuse_problems(predictions)
    return predictions


def _done(name: str, settings: Mapping[str, Any]) -> Run:
    """Do a job that has a run folder."""
    if "plan" in settings:
        raise InputError(f"plan makes no run: use `pcdarts {name} --plan` at the command line")
    given = {key: value for key, value in _plain(settings).items() if value is not None or key not in RUN_FLAGS}
    for key in RUN_FLAGS.keys() & given.keys():
        check_path(key, given[key], "the path of a folder or a file")
    with _left_as_it_was():
        path = work(JOBS[name], given)
    if path is None:
        raise RunError(f"the first process did not begin to {name}")
    return Run(path)


def _plain(value: Any) -> Any:
    """Settings as flags say them: runs and paths by name, genotypes as text."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value)
    if isinstance(value, Run):
        return str(value.path)
    if isinstance(value, Genotype):
        return value.to_text()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """What PyTorch has for a whole process is afterwards as before: random numbers, threads, choice of algorithms."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            if deterministic != torch.are_deterministic_algorithms_enabled():
                torch.use_deterministic_algorithms(deterministic)
