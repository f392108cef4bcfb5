"""The weight and the arch split of a search, and `pcdarts data split`, which draws them once for many searches."""

import shlex

import torch
from torch import Tensor

from pcdarts.config.configs import DataSplitConfig, SearchConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.data.disk.image_folder import find_images, find_training_images
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet, Images, classes_line
from pcdarts.data.manifest import SplitManifest
from pcdarts.data.sets import keep_for_validation
from pcdarts.data.split import split_each_class, split_indices
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, in_one_line
from pcdarts.run.processes import Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text


def split_images(
    config: SearchConfig | RandomSearchConfig, data: DataSet, run: RunFolder, processes: Processes
) -> tuple[Images | StreamedImages, Images | StreamedImages]:
    """The images of the weight and of the arch split.

    Raises:
        InputError: as in `search_splits`.
    """
    weight, arch = search_splits(config, data, run, processes)
    return data.train.subset(weight), data.train.subset(arch)


def without_order(
    config: SearchConfig | RandomSearchConfig, images: Images | StreamedImages
) -> Images | StreamedImages:
    """The images of a split as they are measured in order: those that come class by class are mixed.

    Else each batch, by whose statistics BatchNorm normalises, would be of one class, and the first batches of few.
    """
    if not config.split_each_class and config.split_file is None:
        return images  # drawn from all classes at once
    return images.subset(torch.randperm(len(images), generator=generator(config.seed, "order of measured images")))


def search_splits(
    config: SearchConfig | RandomSearchConfig, data: DataSet, run: RunFolder, processes: Processes
) -> tuple[Tensor, Tensor]:
    """Indices of the weight and of the arch split.

    Where they are drawn of each class of images in files, or come from a manifest, `split.json` in the run folder says
    which images they are; a resumed run takes them from there, and other runs may.

    Raises:
        InputError: a split would be empty, or the manifest cannot be used with this data.
    """
    labels = data.train.labels
    if config.split_file is None and not config.split_each_class:
        weight, rest = split_indices(labels, config.weight_fraction, config.seed)
        return weight, rest if config.arch_fraction is None else rest[: _count(config, len(labels))]
    if data.train_sources is None:
        if config.split_file is not None:
            raise InputError(f"split_file names files, but data {data.name!r} is no folder of them: drop --split-file")
        return split_each_class(labels, config.weight_fraction, _arch_fraction(config), config.seed)
    names = data.train_sources.names()
    text = _manifest_text(config, data, names, run) if processes.is_first else ""
    shared = processes.share(text.encode())
    manifest = SplitManifest.from_json((shared or b"").decode(), "the manifest of the run")
    return manifest.indices(data.classes, names, str(config.split_file or run.split), len(data.left_out))


def _manifest_text(config: SearchConfig | RandomSearchConfig, data: DataSet, names: list[str], run: RunFolder) -> str:
    """The manifest that the run has, or gets now."""
    kept = run.split
    if kept.is_file():
        return SplitManifest.from_file(kept).to_json()
    if config.split_file is not None:
        manifest = SplitManifest.from_file(config.split_file.expanduser())
    else:
        manifest = draw_manifest(
            data.classes, names, data.train.labels, config.weight_fraction, _arch_fraction(config), config.seed
        )
    manifest.indices(data.classes, names, str(config.split_file), len(data.left_out))  # before anything is written
    write_text(kept, manifest.to_json())
    return manifest.to_json()


def _arch_fraction(config: SearchConfig | RandomSearchConfig) -> float:
    return 1 - config.weight_fraction if config.arch_fraction is None else config.arch_fraction


def _count(config: SearchConfig | RandomSearchConfig, images: int) -> int:
    """Images of the arch split, where these are not drawn of each class."""
    count = int(_arch_fraction(config) * images)
    if count == 0:
        raise InputError(
            f"arch_fraction {config.arch_fraction} of {images} training images leaves the arch split empty: raise it"
        )
    return count


def draw_manifest(
    classes: tuple[str, ...],
    names: list[str],
    labels: Tensor,
    weight_fraction: float,
    arch_fraction: float,
    seed: int,
) -> SplitManifest:
    """Draw both splits of each class of images with these names.

    Raises:
        InputError: as in `split_each_class`.
    """
    weight, arch = split_each_class(labels, weight_fraction, arch_fraction, seed)
    return SplitManifest(
        seed,
        weight_fraction,
        arch_fraction,
        classes,
        tuple(names[index] for index in weight.tolist()),
        tuple(names[index] for index in arch.tolist()),
    )


def run_data_split(config: DataSplitConfig) -> None:
    """Draw the splits of an image folder and write their manifest, without opening any image.

    Raises:
        InputError: the folder cannot be used, or there is a file already.
        RunError: the manifest cannot be saved.
    """
    if config.out.exists():
        raise InputError(f"{config.out} exists already: choose another --out")
    root, fraction = config.data_root.expanduser(), config.validation_fraction
    found = find_training_images(root, config.train_set, config.validation_set, fraction > 0)
    train, notes = found.train, [classes_line(found.classes), *found.notes]
    if found.validation is None and fraction:
        train, _, said = keep_for_validation(train, found.classes, fraction)
        notes += said
    for line in notes:
        print(in_one_line(line), flush=True)
    manifest = draw_manifest(
        found.classes,
        train.sources.names(),
        train.labels,
        config.weight_fraction,
        config.arch_fraction,
        config.seed,
    )
    write_text(config.out, manifest.to_json())
    command = ["pcdarts", "search", "--recipe", "imagenet", "--data-root", str(config.data_root)]
    command += ["--train-set", config.train_set] if config.train_set else []
    command += ["--validation-set", config.validation_set] if config.validation_set else []
    command += ["--validation-fraction", f"{fraction:g}"] if fraction else []
    command += ["--split-file", str(config.out)]
    print(
        f"{len(manifest.weight)} weight and {len(manifest.arch)} arch images of {len(train)} training images, "
        f"drawn of each of {len(found.classes)} classes: {config.out}"
    )
    try:
        find_images(root, config.train_set, None, config.validation_set, fraction > 0)
    except InputError as error:  # the test set, without which no search begins
        print(in_one_line(f"before a search: {error}"))
    print(f"next: {shlex.join(command)}")
