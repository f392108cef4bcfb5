"""Image folders: which files are which class and which set."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from pcdarts.data.decode import SUFFIXES, quoted
from pcdarts.data.files import ImageFiles, ImagePaths
from pcdarts.data.split import stratified_split
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, listed, shown

TEST_FRACTION = 0.2
"""The share of each class that becomes the test set of a folder without one."""

_SET_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """A folder of class folders, by class name in sorted order."""

    classes: tuple[str, ...]
    train: ImageFiles
    test: ImageFiles


def find_images(root: Path) -> ImageFolder:
    """List the images of a folder in one of these layouts, without opening them.

    * `root/CLASS/...`, or `root/train/CLASS/...` alone: a fifth of each class becomes the test set. Which images are
      drawn depends on the folder alone, never on a run's seed: no run trains on what another one was tested on.
    * `root/train/CLASS/...` and `root/test/CLASS/...`.
    * `root/train` and `root/val`: `val` is the test set.
    * `root/train`, `root/val` and `root/test`: `val` joins the training set (the search splits that itself).

    Raises:
        InputError: a folder that cannot be listed, holds no or only one class, has a class without images, or whose
            sets have different classes or the same meaning.
    """
    folders, _ = _contents(root)
    of_sets = [folder for folder in folders if folder.name.lower() in _SET_OF]
    sets = {_SET_OF[folder.name.lower()]: folder for folder in of_sets}
    if "train" in sets and len(sets) < len(of_sets):
        names = listed([repr(folder.name) for folder in of_sets], "and")
        raise InputError(f"image folder {quoted(root)} has {names}, two of which mean the same set: keep one of them")
    if sets and len(sets) == len(folders) and "train" not in sets:
        raise InputError(f"image folder {quoted(root)} has {' and '.join(sorted(sets))} but no folder train: add one")
    if "train" not in sets or len(sets) == 1 < len(folders):
        return _split_by_class(root, _images_by_class(root))
    train = _images_by_class(sets["train"])
    if len(sets) == 1:
        return _split_by_class(root, train)
    others = {name: _images_by_class(sets[name]) for name in ("val", "test") if name in sets}
    for name, by_class in others.items():
        _check_same_classes(train, by_class, sets[name])
    if len(others) == 2:
        val = others.pop("val")
        train = {name: paths + val[name] for name, paths in train.items()}
    (test,) = others.values()
    return ImageFolder(tuple(train), _labelled(root, train), _labelled(root, test))


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The visible sub-folders of a folder and its image files, by name; links are followed."""
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    folders.append(Path(entry.path))
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    images.append(Path(entry.path))
    except FileNotFoundError:
        raise InputError(f"image folder {quoted(folder)} does not exist: check --data-root") from None
    except NotADirectoryError:
        raise InputError(f"{quoted(folder)} is a file, but an image folder is expected: check --data-root") from None
    except OSError as error:
        raise InputError(f"image folder {quoted(folder)} cannot be read: {error.strerror}") from error
    except ValueError:  # a null byte, for instance
        raise InputError(f"{quoted(folder)} is no path that a folder can have: check --data-root") from None
    return sorted(folders), sorted(images)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself leads nowhere, as one to a file that is gone
            return False
        raise


def _images_by_class(root: Path) -> dict[str, list[Path]]:
    """The images of each class folder of `root`, also of folders nested in it, by class name in sorted order."""
    folders, _ = _contents(root)
    if not folders:
        raise InputError(
            f"image folder {quoted(root)} has no class folders: expected {quoted(root / 'CLASS' / 'IMAGE')}"
        )
    if len(folders) == 1:
        raise InputError(
            f"image folder {quoted(root)} has only one class, {quoted(folders[0].name)}: a classifier needs two or more"
        )
    by_class = {folder.name: images_under(folder, {os.path.realpath(root)}) for folder in folders}
    for folder in folders:
        if not by_class[folder.name]:
            raise InputError(
                f"class folder {quoted(folder)} has no images ({', '.join(sorted(SUFFIXES))}): add some or remove it"
            )
    return by_class


def images_under(folder: Path, visited: set[str]) -> list[Path]:
    """All images below `folder`; `visited` folders are not entered (again), so that links in a circle end."""
    found: list[Path] = []
    pending = [folder]
    while pending:
        current = pending.pop()
        real = os.path.realpath(current)
        if real not in visited:
            visited.add(real)
            folders, images = _contents(current)
            found += images
            pending += folders
    return sorted(found)


def _check_same_classes(train: dict[str, list[Path]], other: dict[str, list[Path]], folder: Path) -> None:
    problems = [
        f"{what} {_some(sorted(names))}"
        for what, names in (("lacks", train.keys() - other.keys()), ("adds", other.keys() - train.keys()))
        if names
    ]
    if problems:
        raise InputError(
            f"{quoted(folder)} has not the classes of the training set: it {' and '.join(problems)}; "
            "both need the same class folders"
        )


def _some(names: list[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(shown(repr(name)) for name in names[:5]) + more


def _labelled(root: Path, by_class: dict[str, list[Path]]) -> ImageFiles:
    sizes = torch.tensor([len(paths) for paths in by_class.values()])
    labels = torch.arange(len(by_class)).repeat_interleave(sizes)
    return ImageFiles(ImagePaths(root, [path for paths in by_class.values() for path in paths]), labels)


def _split_by_class(root: Path, by_class: dict[str, list[Path]]) -> ImageFolder:
    for name, paths in by_class.items():
        if len(paths) == 1:
            raise InputError(
                f"class {quoted(name)} has only one image, {quoted(paths[0])}: it takes one to train and one to test, "
                "or folders train and test"
            )
    files = _labelled(root, by_class)
    train, test = stratified_split(files.labels, TEST_FRACTION, generator(0, "test set of an image folder"))
    return ImageFolder(tuple(by_class), files.subset(train), files.subset(test))
