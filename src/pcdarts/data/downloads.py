"""Data sets that torchvision downloads: completely or not at all, and never over a user's files."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from pcdarts.data.disk.decode import quoted, reason
from pcdarts.data.images import Images
from pcdarts.errors import InputError

TITLES = {"fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
"""The supported data sets of torchvision, with their usual names."""

_CLASSES = {"fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
_FILES = {
    "fashion-mnist": "FashionMNIST/raw/train-images-idx3-ubyte and the three other unpacked files",
    "cifar10": "cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python.tar.gz",
}


def read_torchvision(name: str, folder: Path) -> tuple[tuple[str, ...], Images, Images]:
    """Classes, training and test images of the data set `name` below `folder`; downloaded if none of its files exists.

    Raises:
        InputError: the download failed, or there are damaged, incomplete or other files, which are left unchanged.
    """
    from torchvision import datasets  # type: ignore[import-untyped]  # slow to import, and only needed here

    source = getattr(datasets, _CLASSES[name])
    try:
        if not _is_there(source, folder):
            _check_nothing_is_in_the_way(name, source, folder)
            _fetch(name, source, folder)
        sets = [source(folder, train=is_train) for is_train in (True, False)]
        train, test = (
            Images(_channels_first(torch.as_tensor(part.data)), torch.as_tensor(part.targets).long()) for part in sets
        )
        return tuple(sets[0].classes), train, test
    except InputError:
        raise
    except Exception as error:  # a failed download, a damaged file, a full disk: errors of many types
        raise InputError(
            f"data {name!r} could not be read from or downloaded to {quoted(folder)} ({reason(error)}): put "
            f"{_FILES[name]} there, or give another --data-root"
        ) from error


def _files_of(source: Any) -> tuple[dict[str, str | None], dict[str, str]]:
    """The unpacked files and the archives of a data set: paths below the root with MD5 sums, None if unknown."""
    if hasattr(source, "base_folder"):  # the CIFARs
        known = [*source.train_list, *source.test_list, [source.meta["filename"], source.meta["md5"]]]
        return {f"{source.base_folder}/{file}": md5 for file, md5 in known}, {source.filename: source.tgz_md5}
    archives = {f"{source.__name__}/raw/{file}": md5 for file, md5 in source.resources}
    return {file.removesuffix(".gz"): None for file in archives}, archives


def _is_there(source: Any, folder: Path) -> bool:
    """Whether the data set is complete, so that torchvision can read it."""
    from torchvision.datasets.utils import check_integrity  # type: ignore[import-untyped]

    unpacked, _ = _files_of(source)
    if all(check_integrity(folder / file, md5) for file, md5 in unpacked.items()):
        return True
    old_format = folder / source.__name__ / "processed"  # of MNIST and similar sets
    return all(os.path.isfile(old_format / file) for file in ("training.pt", "test.pt"))


def _check_nothing_is_in_the_way(name: str, source: Any, folder: Path) -> None:
    """Refuse a download that would overwrite files or complete a damaged data set."""
    from torchvision.datasets.utils import check_integrity

    unpacked, archives = _files_of(source)
    there = [file for file in unpacked if os.path.lexists(folder / file)]
    wrong = [file for file in there if not check_integrity(folder / file, unpacked[file])]
    wrong += [top for top in {file.split("/")[0] for file in unpacked} if os.path.isfile(folder / top)]
    wrong += [
        file
        for file, md5 in archives.items()
        if os.path.lexists(folder / file) and not check_integrity(folder / file, md5)
    ]
    if wrong:
        problem = f"{quoted(folder / wrong[0])} is another file, or not the whole one"
    elif there:
        missing = next(file for file in unpacked if file not in there)
        problem = f"{quoted(folder / there[0])} is there, but not {quoted(folder / missing)}"
    else:
        return
    raise InputError(
        f"these are not the files of {TITLES[name]}: {problem}; nothing was changed and nothing downloaded: move them "
        "elsewhere or give another --data-root (images of your own are read from class folders, with --data folder)"
    )


def _fetch(name: str, source: Any, folder: Path) -> None:
    """Download and unpack into a temporary folder, and move the files into place when all are there.

    Archives that are in `folder` already are not downloaded again.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            for archive in _files_of(source)[1]:
                if os.path.lexists(folder / archive):
                    (Path(scratch) / archive).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / archive, Path(scratch) / archive)
            source(scratch, download=True)  # also checks the files
            _move(Path(scratch), folder)
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()  # only if it is empty, because the download failed
    if not _is_there(source, folder):
        _check_nothing_is_in_the_way(name, source, folder)


def _move(source: Path, target: Path) -> None:
    """Move the contents of the folder `source` into the folder `target`, without replacing anything there."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if not os.path.lexists(place):
            entry.rename(place)
        elif entry.is_dir() and place.is_dir():
            _move(entry, place)


def _channels_first(pixels: Tensor) -> Tensor:
    """uint8 `[N, H, W]` or `[N, H, W, C]` as `[N, C, H, W]`."""
    if pixels.dtype != torch.uint8:
        raise ValueError(f"pixels are {pixels.dtype}, not bytes")
    return pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
