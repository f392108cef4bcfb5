"""`pcdarts train --init`: a training that begins with the weights of another run, or of an exported network."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.data.images import DataSet
from pcdarts.errors import InputError, listed
from pcdarts.jobs.foreign_weights import OnlyGenotype, classifier_of, is_exported
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.learn.kept import weights_to_use
from pcdarts.network.classifier import WEIGHTS, cells_of, load_classifier
from pcdarts.network.pretrained import find_weights, line_about, take_weights
from pcdarts.network.stock import AnyNetwork, StockNetwork
from pcdarts.run.checkpoint import load_state, read_newest
from pcdarts.run.run_folder import RunFolder

CLASSIFIERS = ("classifier.", "auxiliary_head.classifier.")
"""The layers that know the classes."""


@dataclass(frozen=True)
class Start:
    """Weights to begin with, and all that must agree before they fit."""

    path: Path
    digest: str
    """SHA-256 of the file that they are from, in hexadecimal."""
    genotype: Genotype
    kind: str
    channels: int
    num_cells: int
    classes: tuple[str, ...]
    image_channels: int
    weights: dict[str, Tensor]
    names_known: bool = True
    """Whether the names of the classes are, or are assumed of a file that holds none."""

    def settings(self) -> dict[str, Any]:
        """What a training takes from here that is not told otherwise."""
        names = ("kind", "channels", "num_cells")
        return {"genotype": self.genotype.to_text(), **{name: getattr(self, name) for name in names}}

    def check(self, config: TrainConfig) -> None:
        """Make sure that the network of `config` is the one that has these weights.

        Raises:
            InputError: it is another one, and in what.
        """
        differing = [
            f"{name} is {getattr(self, name)} there and {getattr(config, name)} here"
            for name in ("kind", "channels", "num_cells")
            if getattr(self, name) != getattr(config, name)
        ]
        if find_genotype(config.genotype, lambda line: None) != self.genotype:
            differing.insert(0, "the genotype is another one")
        if differing:
            raise InputError(
                f"--init {self.path} does not fit ({', '.join(differing)}): drop what you say of these, and they are "
                "taken from there"
            )


class Beginning:
    """What a run with `--init` has begun with: found out once, and a part of its checkpoints from then on."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        """For `result.json`: path, checksum, and the parts that are new."""

    def of(self, config: TrainConfig, network: AnyNetwork, data: DataSet) -> str:
        """Give `network` the weights that `config` says to begin with; returns what to say of it.

        Raises:
            InputError: they are not there, or do not fit.
        """
        if isinstance(network, StockNetwork):
            path = find_weights(network.name, config.pretrained_file)
            self.about = take_weights(network, path)
            return line_about(self.about, list(data.mean))
        assert config.init is not None, "there are weights to begin with"
        start = load_start(config.init, config.genotype, lambda line: None)
        start.check(config)
        return self.take(network, start, data)

    def take(self, network: nn.Module, start: Start, data: DataSet) -> str:
        """Give `network` the weights: all where the classes are the same in the same order, else new classifiers.

        Returns what to say of it.

        Raises:
            InputError: they are for images with other channels.
        """
        if start.image_channels != data.image_channels:
            kinds = {1: "greyscale", 3: "colour"}
            raise InputError(
                f"--init {start.path} is for {kinds[start.image_channels]} images, but those of {data.name} are "
                f"{kinds[data.image_channels]} ones: use weights for images like these"
            )
        same = start.classes == tuple(data.classes)
        own = network.state_dict()
        taken = {
            name: weight
            for name, weight in start.weights.items()
            if name in own and (same or not name.startswith(CLASSIFIERS))
        }
        try:
            network.load_state_dict({**own, **taken})
        except RuntimeError:  # of shapes
            raise InputError(f"the weights of {start.path} are not those of its network: is it damaged?") from None
        missing = [name for name in own if name not in taken]
        new = ["the classifier"] if "classifier.weight" in missing else []
        if any(name.startswith("auxiliary_head.") for name in missing):
            whole = any(name.startswith("auxiliary_head.features.") for name in missing)
            new.append("the auxiliary head" if whole else "the auxiliary classifier")
        self.about = {"path": str(start.path), "sha256": start.digest, "new": new}
        line = f"begins with the weights of {start.path} (SHA-256 {start.digest[:12]}...): "
        if not new:
            return f"{line}all of them"
        line += f"all but {listed(new, 'and')}, which begin{'s' * (len(new) == 1)} at random"
        if not same and not start.names_known and len(start.classes) == data.num_classes:
            line += ", for it is not known which classes are there"
        elif not same:
            line += f", for the {data.num_classes} classes are not the {len(start.classes)} classes there"
        return line

    def state_dict(self) -> dict[str, Any]:
        return dict(self.about)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.about = dict(state)


def load_start(path: Path, genotype: str | None, say: Callable[[str], None]) -> Start:
    """The weights in a train run, finished or not, in an export, or in a file of the authors' scripts.

    Only the last of these needs its `genotype`; what is assumed about it, `say` is told.

    Raises:
        InputError: there are none, they are damaged, or they do not fit the genotype.
    """
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if RunFolder(path).config.is_file():
        return _of_run(path)
    if not path.exists():
        raise InputError(f"--init {path} does not exist: give a train run, an export, or a file of weights")
    names_known = True
    if path.is_file() and not is_exported(path):
        found = classifier_of(path, OnlyGenotype(genotype), say)
        trained, names_known = found.classifier, found.names_known
    else:
        trained = load_classifier(path)
    blueprint, file = cells_of(trained.blueprint, path, "--init"), path / WEIGHTS if path.is_dir() else path
    return Start(
        path,
        sha256(file.read_bytes()).hexdigest(),
        blueprint.genotype,
        blueprint.kind,
        blueprint.channels,
        blueprint.num_cells,
        blueprint.classes,
        blueprint.image_channels,
        trained.network.state_dict(),
        names_known,
    )


def _of_run(path: Path) -> Start:
    run = RunFolder(path)
    config = resolve(TrainConfig, file=run.config)
    if config.seeds > 1:
        raise InputError(f"--init {path} is a run of {config.seeds} seeds: name one, such as {path}/seed-{config.seed}")
    if config.stock is not None:
        raise InputError(
            f"--init {path} is a training of the stock network {config.stock}: begin with the weights of a genotype's "
            "network"
        )
    found = read_newest(run.checkpoint)
    if found is None:
        raise InputError(f"--init {path} has no checkpoint yet: let it train for an epoch first")
    state = load_state(found[0], run.checkpoint, config.identity())
    try:
        weights, classes = weights_to_use(state, config), tuple(map(str, state["classes"]))
        image_channels = int(state["image_shape"][0])
    except (LookupError, TypeError, ValueError):
        raise InputError(f"{run.checkpoint} does not say what it is of: restore it from a copy") from None
    digest = sha256(found[0]).hexdigest()
    genotype = find_genotype(config.genotype)
    return Start(
        path, digest, genotype, config.kind, config.channels, config.num_cells, classes, image_channels, weights
    )
