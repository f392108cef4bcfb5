"""Image folders: which files belong to which class and set, and notes about everything else in them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from pcdarts.data.disk.decode import SUFFIXES, quoted
from pcdarts.data.disk.image_files import ImageFiles, ImagePaths
from pcdarts.data.disk.listing import Folder, ignored_lines, images_below
from pcdarts.data.disk.set_folders import Sets, check_classes_are_no_sets, find_sets, unwrap
from pcdarts.data.split import stratified_split
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, counted, in_short, listed, shown

TEST_FRACTION = 0.2
"""The share of each class that becomes the test set of a folder without one."""

_UNLABELLED = ": they are not in class folders, so their classes are unknown"

ByClass = dict[str, list[Path]]
"""The images of each class, by its name in sorted order."""


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Encoded images with their classes: a training and a test set, and perhaps a validation set to choose by."""

    classes: tuple[str, ...]
    train: ImageFiles
    test: ImageFiles
    test_is: str = "the test set"
    """Which images `test` are, in words."""
    undivided: ImageFiles | None = None
    """All images, if there is no test set and `test` was taken from them."""
    notes: tuple[str, ...] = ()
    """Lines about what was found, used and ignored."""
    validation: ImageFiles | None = None


def find_images(
    root: Path,
    train_set: str | None = None,
    test_set: str | None = None,
    validation_set: str | None = None,
    val_chooses: bool = False,
) -> ImageFolder:
    """List the images of a folder in one of these layouts, without opening them.

    * `root/CLASS/...`, or only `root/train/CLASS/...`: a fifth of each class becomes the test set. Which images these
      are depends on the folder alone, not on the seed of a run: no run trains on test images of another one.
    * `root/train/CLASS/...` and `root/test/CLASS/...`.
    * `root/train` and `root/val`: `val` is the test set.
    * `root/train`, `root/val` and `root/test`: `val` is added to the training set (the search splits that itself).

    Sets may have other usual names (`set_folders.py`), or are given by `train_set`, `test_set` and `validation_set`,
    paths below the root. A `test` without class folders is ignored. With `val_chooses`, or with a `validation_set`,
    `val` is the validation set and nothing else; then the first rule holds for `root/train` and `root/val` too.

    Raises:
        InputError: a folder that cannot be listed or has fewer than two classes, a class without images, sets with
            different classes, or folders of which it is not clear whether they are sets or classes.
    """
    return _find(find_sets(root, train_set, test_set, validation_set, val_chooses), training_only=False)


def find_training_images(
    root: Path, train_set: str | None = None, validation_set: str | None = None, val_chooses: bool = False
) -> ImageFolder:
    """As `find_images`, for jobs that need the training set only: a faulty test set does not matter."""
    return _find(find_sets(root, train_set, None, validation_set, val_chooses), training_only=True)


def find_images_to_measure(root: Path, test_set: str | None = None) -> ImageFolder:
    """The images on which a network trained elsewhere is measured: the test set, or all images if there is none.

    `train` and `test` are both these images. A folder with only a test or a validation set is enough.

    Raises:
        InputError: as in `find_images`.
    """
    sets = find_sets(root, None, test_set)
    notes = _Notes.around(sets)
    classes = {inner.name for inner in unwrap(sets.train).full} if sets.train else ()
    folder, test_is = None, f"all images of {quoted(root.name or root)}: it has no test set"
    for which, one in (("test", sets.test), ("validation", sets.val)):
        if one and folder is None and ("test" in sets.chosen or not _is_unlabelled(one, classes)):
            folder, test_is = one, _test_is(which, one, sets)
        elif one:
            notes.add_unused(sets, one, _UNLABELLED if _is_unlabelled(one, classes) else "")
    whole = folder or sets.train
    if whole is None:
        raise InputError(
            f"image folder {quoted(root)} has no class folders: expected {quoted(root / 'CLASS' / 'IMAGE')}"
        )
    files = _labelled(root, by_class := _images_by_class(whole, sets, notes))
    return ImageFolder(tuple(by_class), files, files, test_is, None if folder else files, notes.lines())


@dataclass(frozen=True)
class _Notes:
    """Notes for the user, and a count of ignored files by extension."""

    said: list[str]
    ignored: Counter[str]

    @classmethod
    def around(cls, sets: Sets) -> Self:
        """The notes about what lies around the sets."""
        notes = cls([*sets.notes], Counter())
        for folder in sets.passed:
            notes.add_beside(sets, folder)
        return notes

    def add_beside(self, sets: Sets, folder: Folder) -> None:
        """Add what lies beside the sets or classes in a folder."""
        self.ignored.update(folder.ignored)
        if folder.images:
            count = counted(len(folder.images), "image")
            self.said.append(f"ignored {count} in {sets.called(folder)} itself, beside its folders")

    def add_unused(self, sets: Sets, folder: Folder, why: str = "") -> None:
        """Add that a set is not used."""
        count = counted(len(images_below(folder, Counter())), "image")
        self.said.append(f"ignored {sets.called(folder)} ({count}){why}")

    def lines(self) -> tuple[str, ...]:
        return (*self.said, *ignored_lines(self.ignored))


def _find(sets: Sets, training_only: bool) -> ImageFolder:
    """The images of these sets; with `training_only`, `test` is not meaningful."""
    root, notes = sets.root, _Notes.around(sets)
    if sets.train is None:
        others = [sets.called(folder) for folder in (sets.test, sets.val) if folder]
        raise InputError(
            f"image folder {quoted(root)} has {listed(others, 'and')} but no folder train: add one, or say which it is "
            "with --train-set"
        )
    train = _images_by_class(sets.train, sets, notes)
    used = f"{sets.called(sets.train)} ({_counted(train)})"
    val, test = _other_sets(sets, train, training_only, notes)
    validation = None
    if val and sets.val_chooses:
        of_validation = _images_by_class(val, sets, notes, train)
        notes.said.insert(0, f"validation set: {sets.called(val)} ({_counted(of_validation)})")
        validation, val = _labelled(root, of_validation), None
    if val and test:
        joining = _images_by_class(val, sets, notes, train)
        used += f" and {sets.called(val)} ({_counted(joining)})"
        train = {name: paths + joining[name] for name, paths in train.items()}
    files, tested = _labelled(root, train), test or val
    if tested is None:
        found = split_off_test_set(tuple(train), files, sets.called(sets.train), notes.lines())
        return replace(found, validation=validation)
    if training_only:
        notes.said.insert(0, f"training set: {used}")
        return ImageFolder(tuple(train), files, files, notes=notes.lines(), validation=validation)
    of_test = _images_by_class(tested, sets, notes, train)
    notes.said.insert(0, f"training set: {used}; test set: {sets.called(tested)} ({_counted(of_test)})")
    test_is = _test_is("test" if test else "validation", tested, sets)
    tests = _labelled(root, of_test)
    return ImageFolder(tuple(train), files, tests, test_is, notes=notes.lines(), validation=validation)


def _test_is(which: str, folder: Folder, sets: Sets) -> str:
    return f"the folder {sets.called(folder)}" if "test" in sets.chosen else f"the {which} set {sets.called(folder)}"


def _other_sets(sets: Sets, train: ByClass, training_only: bool, notes: _Notes) -> tuple[Folder | None, Folder | None]:
    """The validation and the test set, each None if its images are not in class folders.

    Raises:
        InputError: no test set would be left.
    """
    val, test = sets.val, sets.test
    if test and "test" not in sets.chosen and _is_unlabelled(test, train):
        notes.add_unused(sets, test, _UNLABELLED)
        test = None
    if val and "val" not in sets.chosen and _is_unlabelled(val, train):
        if not (test or training_only or sets.val_chooses or "train" in sets.chosen):
            train_set = sets.train.path.relative_to(sets.root).as_posix() if sets.train else "."
            raise InputError(
                f"{sets.called(val)} in {quoted(sets.root)} would be the test set, but its images are not in class "
                f"folders: sort them, or leave it out with --train-set {shown(train_set)}"
            )
        notes.add_unused(sets, val, _UNLABELLED)
        val = None
    return val, test


def _is_unlabelled(folder: Folder, classes: Container[str] = ()) -> bool:
    """Whether a set has no class folders, or a single one that is not among the known `classes`."""
    full = unwrap(folder).full
    return not full or (len(full) == 1 and bool(classes) and full[0].name not in classes)


def _images_by_class(folder: Folder, sets: Sets, notes: _Notes, like: ByClass | None = None) -> ByClass:
    """The images in each class folder of a set, at any depth; its classes must be those of `like`, if given."""
    holds_known = like is not None and any(inner.name in like for inner in folder.folders)
    if not holds_known and (inner := unwrap(folder)) is not folder:
        notes.add_beside(sets, folder)
        folder = inner
    folders = folder.folders
    if not folders:
        raise InputError(
            f"image folder {quoted(folder.path)} has no class folders: expected "
            f"{quoted(folder.path / 'CLASS' / 'IMAGE')}"
        )
    if like is None and len(folders) == 1:
        raise InputError(
            f"image folder {quoted(folder.path)} has only one class, {quoted(folders[0].name)}: a classifier needs two "
            "or more"
        )
    if like is None and "train" not in sets.chosen:
        check_classes_are_no_sets(folder, sets.root)
    notes.add_beside(sets, folder)
    by_class = {inner.name: images_below(inner, notes.ignored, {os.path.realpath(folder.path)}) for inner in folders}
    if like is not None:
        _check_same_classes(like, by_class, folder.path)
    for inner in folders:
        if not by_class[inner.name]:
            suffixes = ", ".join(sorted(SUFFIXES))
            raise InputError(f"class folder {quoted(inner.path)} has no images ({suffixes}): add some or remove it")
    return by_class


def list_images(folder: Path, ignored: Counter[str]) -> list[Path]:
    """All images below a folder, by path; counts other files in `ignored`, for `ignored_lines`.

    Raises:
        InputError: a folder cannot be listed.
    """
    return images_below(Folder(folder), ignored)


def _check_same_classes(train: ByClass, other: ByClass, folder: Path) -> None:
    lacking, added = train.keys() - other.keys(), other.keys() - train.keys()
    problems = [
        f"{what} {in_short([shown(repr(name)) for name in sorted(names)])}"
        for what, names in (("lacks", lacking), ("adds", added))
        if names
    ]
    if problems:
        alike = set(map(_normalise, lacking)) & set(map(_normalise, added))
        hint = " (some differ only in capitals or in the encoding of accents)" if alike else ""
        raise InputError(
            f"{quoted(folder)} does not have the classes of the training set: it {' and '.join(problems)}{hint}; "
            "both need the same class folders"
        )


def _normalise(name: str) -> str:
    """The name in lower case and in one form of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()


def _counted(by_class: ByClass) -> str:
    return counted(sum(map(len, by_class.values())), "image")


def _labelled(root: Path, by_class: ByClass) -> ImageFiles:
    sizes = torch.tensor([len(paths) for paths in by_class.values()])
    labels = torch.arange(len(by_class)).repeat_interleave(sizes)
    return ImageFiles(ImagePaths(root, [path for paths in by_class.values() for path in paths]), labels)


def split_off_test_set(classes: tuple[str, ...], files: ImageFiles, place: str, notes: Sequence[str]) -> ImageFolder:
    """Make a fifth of each class the test set, the same for every seed; `place` names where the files lie.

    Raises:
        InputError: a class has a single image.
    """
    sizes = files.labels.bincount().tolist()
    if 1 in sizes:
        index = sizes.index(1)
        of_class = int((files.labels == index).nonzero())
        raise InputError(
            f"class {quoted(classes[index])} has only one image, {quoted(files.sources[of_class])}: add a second one, "
            "so that one is for training and one for testing, or add a test set"
        )
    train, test = stratified_split(files.labels, TEST_FRACTION, generator(0, "test set of an image folder"))
    note = (
        f"training set: {len(train):,} of the {len(files):,} images in {place}; test set: the other {len(test):,}, "
        "a fifth of each class (one image at least), because there is no labelled test set"
    )
    test_is = "a fifth of each class, kept for this because there is no test set"
    return ImageFolder(classes, files.subset(train), files.subset(test), test_is, files, (note, *notes))
