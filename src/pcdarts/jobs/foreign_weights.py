"""A trained network from a file of weights: what `weights.pt` of the authors' scripts is, told, checked and assumed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open

from pcdarts.cell.authors import AVERAGED, unwrapped
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import LARGEST_MAP, NetworkKind, stem_stride
from pcdarts.data.disk.encoded import IMAGENET_STATISTICS
from pcdarts.data.sources import CIFAR10_STATISTICS
from pcdarts.errors import InputError, counted, listed, shown
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.learn.job_batches import BORDER
from pcdarts.network.classifier import WEIGHTS, Blueprint, Classifier, load_classifier
from pcdarts.network.from_weights import Weights, weights_of
from pcdarts.network.sizes import NetworkSizes
from pcdarts.network.weights_file import read_weights

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_MAX_NAMES = 1_000_000
"""Characters of a file with the names of classes."""


class FileOptions(Protocol):
    """What a job is told about a file of weights; None is told by its tensors, or assumed."""

    @property
    def genotype(self) -> str | None: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def num_cells(self) -> int | None: ...
    @property
    def kind(self) -> NetworkKind | None: ...
    @property
    def classes(self) -> str | None: ...
    @property
    def image_size(self) -> int | None: ...


OPTIONS = ("genotype", "channels", "num_cells", "kind", "classes")
"""Those that nothing but a file of weights needs."""


@dataclass(frozen=True)
class OnlyGenotype:
    """What a job says that is told the genotype alone."""

    genotype: str | None = None
    channels: int | None = None
    num_cells: int | None = None
    kind: NetworkKind | None = None
    classes: str | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class FromFile:
    """A classifier from a file, and what the file itself did not say."""

    classifier: Classifier
    names_known: bool
    """Whether the names of its classes were given, or are assumed of a file that holds none."""
    statistics_known: bool
    """Whether it is known what its images were normalised with, or assumed."""


def is_file_of_weights(path: Path) -> bool:
    """Whether there is a file, or the folder of an export, and not that of a run."""
    return path.is_file() or (not (path / "config.yaml").is_file() and (path / WEIGHTS).is_file())


def refuse_options(path: Path, options: FileOptions, *more: str) -> None:
    """Refuse what would be said in vain of a run or an exported file, which know it themselves; `more` options too.

    Raises:
        InputError: something is said.
    """
    given = [f"--{name.replace('_', '-')}" for name in (*OPTIONS, *more) if getattr(options, name) is not None]
    if given:
        raise InputError(f"{path} knows its own network: drop {listed(given, 'and')}, which a file of weights needs")


def classifier_of(
    path: Path, options: FileOptions, say: Callable[[str], None] = print, fixed: tuple[str, ...] = ("image_size",)
) -> FromFile:
    """The classifier in a file that `pcdarts export` wrote, or in a checkpoint of the authors' training scripts.

    `say` is told what the tensors tell of the network, and what is assumed because they do not; `fixed` are options
    that an exported file decides as well.

    Raises:
        InputError: it cannot be read, holds something else, or does not fit what `options` say.
    """
    if is_exported(path):
        refuse_options(path, options, *fixed)
        return FromFile(load_classifier(path), names_known=True, statistics_known=True)
    state = read_weights(path)
    if isinstance(state, dict) and {"format", "fingerprint", "state"} <= state.keys():
        raise InputError(f"{path} is the checkpoint of a run of pcdarts: give the folder of the run, {path.parent}")
    try:
        weights = weights_of(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if options.kind == "stride2" and weights.sizes.kind == "cifar":  # the tensors are the same
        weights = replace(weights, sizes=replace(weights.sizes, kind="stride2"))
    _check_sizes(path, weights.sizes, options)
    genotype = _genotype_of(path, weights, options.genotype, say)
    names, names_known = _classes(path, weights.sizes, options.classes)
    blueprint = _assumed(weights.sizes, genotype, names, options.image_size)
    try:
        classifier = Classifier(blueprint, weights.fit_to(genotype, f"the genotype {shown(options.genotype)}"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    said = _used(state)
    say(f"{path}: {_told(weights)}{said}; assumed: {_assumptions(blueprint, names_known)}")
    return FromFile(classifier, names_known, statistics_known=blueprint.image_channels == len(IMAGENET_STATISTICS[0]))


def is_exported(path: Path) -> bool:
    """Whether it is a folder, or a safetensors file with a blueprint in its metadata."""
    if path.is_dir():
        return True
    try:
        with safe_open(path, framework="pt") as opened:
            return "pcdarts" in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _check_sizes(path: Path, sizes: NetworkSizes, options: FileOptions) -> None:
    for name in ("channels", "num_cells", "kind"):
        given, found = getattr(options, name), getattr(sizes, name)
        if given is not None and given != found:
            raise InputError(f"{name} is {given}, but the tensors of {path} are those of {found}: drop it")


def _genotype_of(path: Path, weights: Weights, name: str | None, say: Callable[[str], None]) -> Genotype:
    if name is None:
        cells = weights.fitting_cells()
        fitting = (
            f"of the published cells, its tensors fit {listed(cells, 'and')}" if cells else "no published cell fits"
        )
        raise InputError(f"{path} holds weights without their cell: give --genotype ({fitting})")
    return find_genotype(name, say)


def _classes(path: Path, sizes: NetworkSizes, given: str | None) -> tuple[tuple[str, ...], bool]:
    """The names of the classes, and whether they were given."""
    if given is None:
        if sizes.kind == "cifar" and sizes.num_classes == len(CIFAR10_CLASSES):
            return CIFAR10_CLASSES, False
        return tuple(f"class {index}" for index in range(sizes.num_classes)), False
    file = Path(given)
    if file.is_file():
        with file.open(encoding="utf-8", errors="replace") as lines:
            names = [line.strip() for line in lines.read(_MAX_NAMES).splitlines() if line.strip()]
    else:
        names = [name.strip() for name in given.split(",") if name.strip()]
    if len(names) != sizes.num_classes:
        raise InputError(
            f"--classes {shown(given)} has {counted(len(names), 'name')}, but the network of {path} has "
            f"{sizes.num_classes} classes: give their names, separated by commas, or a text file with a name on each "
            "line"
        )
    return tuple(names), True


def _assumed(sizes: NetworkSizes, genotype: Genotype, names: tuple[str, ...], image_size: int | None) -> Blueprint:
    """The blueprint, with the images that the authors' scripts have for this kind of network, or that suit its stem."""
    mean, std = IMAGENET_STATISTICS if sizes.kind == "imagenet" else CIFAR10_STATISTICS
    if sizes.image_channels == 1:
        mean, std = (0.5,), (0.5,)
    return Blueprint(
        genotype=genotype,
        kind=sizes.kind,
        channels=sizes.channels,
        num_cells=sizes.num_cells,
        classes=names,
        mean=mean,
        std=std,
        image_size=image_size or (224 if sizes.kind == "imagenet" else LARGEST_MAP * stem_stride(sizes.kind)),
        border=BORDER if sizes.kind == "imagenet" else 0.0,
        pixel_range=None,  # it has seen no images of more than 8 bits
    )


def _told(weights: Weights) -> str:
    sizes = weights.sizes
    head = ", its auxiliary head left out" if weights.auxiliary else ""
    return f"{sizes.num_cells} cells of {sizes.channels} channels, {sizes.kind} stem, {sizes.num_classes} classes{head}"


def _used(state: object) -> str:
    """Which weights of a checkpoint with several are used."""
    found = unwrapped(state)[1]
    others = [name for name in AVERAGED if isinstance(state, dict) and name in state and name not in found.split(".")]
    if found.split(".")[0] in AVERAGED:
        return f", averaged weights ({found})"
    return f", not the averaged weights ({', '.join(others)})" if others else ""


def _assumptions(blueprint: Blueprint, names_known: bool) -> str:
    size = f"images of {blueprint.image_size}x{blueprint.image_size}"
    if blueprint.border:
        size += ", the middle 7/8 of a photograph"
    statistics = (
        "mean and deviation 0.5"
        if blueprint.image_channels == 1
        else (f"{'ImageNet' if blueprint.kind == 'imagenet' else 'CIFAR-10'}'s mean and deviation of pixels")
    )
    if names_known:
        return f"{size}, {statistics}"
    names = "CIFAR-10's classes" if blueprint.classes == CIFAR10_CLASSES else "classes by number"
    return f"{size}, {statistics}, {names}"
