"""Image data sets from the Hugging Face Hub, or in a folder in one of its layouts; no code from the Hub is run."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcdarts.data.disk.decode import quoted, reason
from pcdarts.data.disk.depth import HEAD
from pcdarts.data.disk.image_files import ImageFile, ImageFiles, head_of
from pcdarts.data.disk.image_folder import ImageFolder, split_off_test_set
from pcdarts.data.disk.set_folders import meaning
from pcdarts.errors import InputError, counted, listed, shown
from pcdarts.extras import import_extra

NAMES = ("train", "test", "validation", "val", "valid")
"""The usual names of splits, preferred to others with the same meaning."""

LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
"""Names of a column of labels, the preferred first; a ClassLabel column may have any name."""


@dataclass(frozen=True)
class HubImage:
    """An encoded image in memory; `str()` gives its name."""

    name: str
    content: bytes

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return self.name


class HubImages:
    """The images of one split (`ImageSources`), read from its Arrow table on access.

    Args:
        dataset: a `datasets.Dataset` whose only column holds the images, not decoded.
        name, split: the names of the data set and of the split.
        indices: the rows to use, int64 `[N]`; None uses all.
    """

    def __init__(self, dataset: Any, name: str, split: str, indices: NDArray[np.int64] | None = None) -> None:
        self.dataset, self.name, self.split = dataset, name, split
        self.indices = np.arange(len(dataset)) if indices is None else indices
        (self.column,) = dataset.column_names

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> ImageFile:
        row = int(self.indices[index])
        image = self.dataset[row][self.column] or {}
        if image.get("bytes") is None and image.get("path"):
            return Path(image["path"])
        return HubImage(f"image {row} of {self.split!r} of {self.name}", image.get("bytes") or b"")

    def subset(self, indices: Tensor) -> "HubImages":
        return HubImages(self.dataset, self.name, self.split, self.indices[indices.numpy()])

    def names(self) -> list[str]:
        """Split and row of each image, such as `train/5`."""
        return [f"{self.split}/{row}" for row in self.indices.tolist()]

    def heads(self) -> Iterator[bytes]:
        import pyarrow.compute as pc  # type: ignore[import-untyped]

        heads = pc.binary_slice(self._column_of_bytes(), 0, HEAD).to_pylist()
        for index, row in enumerate(self.indices.tolist()):
            head = heads[row]
            if head is None:
                file = self[index]
                head = head_of(file) if isinstance(file, Path) else b""
            yield head

    def identities(self) -> Iterator[tuple[str, int]]:
        """The names with the sizes in bytes; -1 if the image is in a file of its own that does not exist."""
        import pyarrow.compute as pc

        sizes = pc.binary_length(self._column_of_bytes()).to_pylist()
        for index, name in enumerate(self.names()):
            size = sizes[int(self.indices[index])]
            if size is None:
                file = self[index]
                size = file.stat().st_size if isinstance(file, Path) and file.is_file() else -1
            yield name, size

    def _column_of_bytes(self) -> Any:
        """The encoded images of all rows as an Arrow array; null for images in files of their own."""
        import pyarrow.compute as pc

        return pc.struct_field(self.dataset.with_format("arrow")[:][self.column], "bytes")


def find_hub_images(
    name: str,
    train_set: str | None = None,
    test_set: str | None = None,
    to_measure: bool = False,
    validation_set: str | None = None,
    val_chooses: bool = False,
) -> ImageFolder:
    """The images of a data set with their classes, not decoded.

    `name` is the name of a data set on the Hub (`ylecun/mnist`; downloaded once, into the cache of `datasets`) or a
    folder: one written by `save_to_disk`, or one with Parquet files, images or anything else that `load_dataset` reads.

    The images are the first column of images. The classes are a ClassLabel column (`label` or `fine_label` if there are
    several), or else a column of strings or integers with a name in `LABEL_COLUMNS`, whose sorted values are the
    classes. The training set is the split `train`, another split whose name means that, or the only split; the test set
    is `test`, or else `validation`. If neither has labels, a fifth of each class becomes the test set, as with image
    folders. With `val_chooses`, a split `validation` is the validation set and nothing else. `train_set`, `test_set`
    and `validation_set` name splits to use instead. `to_measure` is as `find_images_to_measure`.

    Raises:
        InputError: `datasets` is not installed, there is no such data set or split, it is not available offline, it has
            no images, no labels or only one class, or an image has no label.
    """
    splits = _loaded(name)
    given = {"train_set": train_set, "validation_set": validation_set, "test_set": test_set}
    _check_given(name, splits, given)
    train, vals, tests = _sets(name, splits, given, to_measure, val_chooses)
    image_column, label_column = _columns(name, splits[train or tests[0]])
    candidates = dict.fromkeys([train, *vals, *tests])
    readable = [split for split in candidates if split and image_column in splits[split].features]
    values = {split: _values(splits[split], label_column) for split in readable}
    labelled = [split for split in values if set(values[split]) - {None}]
    for setting, split in given.items():
        if split is not None and split in (*vals, *tests) and split not in labelled:
            raise InputError(f"{setting} is {shown(split)}, but this split of {quoted(name)} has no labels")
    val, test = (next((split for split in some if split in labelled), None) for some in (vals, tests))
    used = [test] if to_measure and test else [split for split in (train, test, val) if split]
    _check_labels(name, {split: values[split] for split in used})
    features = [splits[split].features[label_column] for split in used]
    classes, numbers = _classes(name, features, [value for split in used for value in values[split]])
    files = [
        ImageFiles(
            HubImages(_undecoded(splits[split], image_column), name, split),
            torch.tensor([numbers[value] for value in values[split]], dtype=torch.int64),
        )
        for split in used
    ]
    notes = [
        f"ignored the split {quoted(split)} ({counted(len(splits[split]), 'image')})"
        + (": it has no labels" if split in (*vals, *tests) and split not in labelled else "")
        for split in splits
        if split not in used
    ]
    if to_measure:
        test_is = f"the split {quoted(test)}" if test else f"all images of {quoted(name)}: it has no test set"
        return ImageFolder(classes, files[0], files[0], test_is, None if test else files[0], tuple(notes))
    counts = {split: f"the split {quoted(split)} ({counted(len(splits[split]), 'image')})" for split in used}
    return _in_sets(classes, dict(zip(used, files, strict=True)), counts, val, test, notes)


def _check_labels(name: str, values: dict[str, list[Any]]) -> None:
    """Make sure that all images of these splits have labels.

    Raises:
        InputError: one has none.
    """
    for split, of_split in values.items():
        if None in of_split:
            row = of_split.index(None)
            raise InputError(f"image {row} of {split!r} of {name} has no label: label it, or leave it out")


def _in_sets(
    classes: tuple[str, ...],
    files: dict[str, ImageFiles],
    named: dict[str, str],
    val: str | None,
    test: str | None,
    notes: list[str],
) -> ImageFolder:
    """The sets of a data set from the files of its splits, the training set first; `named` are these in words."""
    train = next(iter(files))
    validation = files[val] if val else None
    if val:
        notes.insert(0, f"validation set: {named[val]}")
    if test:
        notes.insert(0, f"training set: {named[train]}; test set: {named[test]}")
        test_is = f"the split {quoted(test)}"
        return ImageFolder(classes, files[train], files[test], test_is, notes=tuple(notes), validation=validation)
    found = split_off_test_set(classes, files[train], f"the split {quoted(train)}", notes)
    return replace(found, validation=validation)


def _check_given(name: str, splits: dict[str, Any], given: dict[str, str | None]) -> None:
    """Make sure that the splits that the user has named exist and differ.

    Raises:
        InputError: they do not.
    """
    seen: dict[str, str] = {}
    for setting, split in given.items():
        if split is None:
            continue
        if split not in splits:
            raise InputError(
                f"{setting} is {shown(split)}, but {quoted(name)} has the splits {listed(sorted(splits), 'and')}"
            )
        if (other := seen.setdefault(split, setting)) != setting:
            raise InputError(
                f"{other} and {setting} are both the split {quoted(split)}: a network must be tested on other images "
                "than it was trained on or chosen by"
            )


def _sets(
    name: str, splits: dict[str, Any], given: dict[str, str | None], to_measure: bool, val_chooses: bool
) -> tuple[str | None, list[str], list[str]]:
    """The split to train on, and the candidates for the validation and for the test set, the preferred first."""
    train_set, validation_set, test_set = given.values()
    by_meaning: dict[str | None, list[str]] = {}
    for split in sorted(splits, key=lambda split: (split not in NAMES, split)):
        by_meaning.setdefault(meaning(split), []).append(split)
    of_training = [train_set] if train_set is not None else by_meaning.get("train", [])
    if "train" in of_training:
        of_training = ["train"]
    vals = [validation_set] if validation_set is not None else by_meaning.get("val", []) if val_chooses else []
    by_name = by_meaning.get("test", []) + by_meaning.get("val", [])
    tests = [test_set] if test_set is not None else [split for split in by_name if split not in vals]
    if not of_training and len(splits) == 1:
        of_training = tests = list(splits)
    if len(of_training) != 1 and not (to_measure and tests):
        raise InputError(
            f"data set {quoted(name)} has the splits {listed(sorted(splits), 'and')}, but none called train: say which "
            "it is with --train-set"
        )
    train = of_training[0] if of_training else None
    vals = [split for split in vals if split not in (train, test_set)]
    return train, vals, [split for split in tests if to_measure or split not in of_training]


def _loaded(name: str) -> dict[str, Any]:
    """The splits of a data set, by name."""
    datasets = import_extra("datasets", "hf", "data 'huggingface'")
    folder = Path(os.path.expanduser(name))
    saved = any((folder / file).is_file() for file in ("dataset_dict.json", "state.json"))
    try:
        found = datasets.load_from_disk(str(folder)) if saved else datasets.load_dataset(str(folder))
    except Exception as error:  # unknown name, no network, damaged files: datasets raises errors of many types
        raise InputError(
            f"data set {quoted(name)} cannot be read ({reason(error)}): give the name of one on the Hugging Face hub, "
            "or a folder"
        ) from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def _columns(name: str, dataset: Any) -> tuple[str, str]:
    """The names of the column of images and the column of labels."""
    from datasets import ClassLabel, Image, Value  # type: ignore[import-untyped]

    features = dataset.features
    images = [column for column, feature in features.items() if isinstance(feature, Image)]
    if not images:
        raise InputError(f"data set {quoted(name)} has no column of images, only {listed(sorted(features), 'and')}")
    labelled = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    plain = [
        column
        for column in LABEL_COLUMNS
        if isinstance(kind := features.get(column), Value) and ("int" in kind.dtype or "string" in kind.dtype)
    ]
    labels = [column for column in LABEL_COLUMNS if column in labelled] + labelled + plain
    if not labels:
        raise InputError(
            f"data set {quoted(name)} has no column of classes, only {listed(sorted(features), 'and')}: expected a "
            f"ClassLabel, or texts or numbers called {listed(LABEL_COLUMNS)}"
        )
    return images[0], labels[0]


def _values(dataset: Any, column: str) -> list[Any]:
    """The labels of a split; None for an image without one, which test sets on the Hub mark by -1."""
    from datasets import ClassLabel

    if column not in dataset.features:
        return [None] * len(dataset)
    missing = (None, -1) if isinstance(dataset.features[column], ClassLabel) else (None,)
    return [None if value in missing else value for value in dataset[column]]


def _classes(name: str, features: list[Any], values: list[Any]) -> tuple[tuple[str, ...], dict[Any, int]]:
    """The names of the classes, and the class number of each value in the column of labels."""
    from datasets import ClassLabel

    if any(feature != features[0] for feature in features):
        raise InputError(f"the training and the test set of {quoted(name)} have different classes: both need the same")
    named = isinstance(features[0], ClassLabel)
    present = range(len(features[0].names)) if named else sorted(set(values))
    if len(present) < 2:
        raise InputError(f"data set {quoted(name)} has only one class: a classifier needs two or more")
    classes = tuple(features[0].names) if named else tuple(map(str, present))
    return classes, {value: number for number, value in enumerate(present)}


def _undecoded(dataset: Any, column: str) -> Any:
    """The column of images alone, still encoded: `decode.py` decodes it."""
    from datasets import Image

    return dataset.select_columns([column]).cast_column(column, Image(decode=False))
