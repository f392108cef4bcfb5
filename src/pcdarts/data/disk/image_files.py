"""Images that are not decoded yet, and their classes."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from pcdarts.data.disk.depth import HEAD

_EIGHT_BITS = {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".webp"}
"""Formats whose images have 8 bits for each value, or become such when they are decoded."""


class ImageFile(Protocol):
    """An encoded image somewhere; `str()` of it is its name. A `Path` is one."""

    def read_bytes(self) -> bytes: ...


class ImageSources(Protocol):
    """Many encoded images, which can be sent to another process."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> ImageFile: ...

    def subset(self, indices: Tensor) -> Self:
        """Those at `indices` `[M]`, in that order."""
        ...

    def names(self) -> list[str]:
        """Of each image a name that holds wherever the data lies."""
        ...

    def heads(self) -> Iterator[bytes]:
        """The first `HEAD` bytes of each; nothing of those that cannot be read, or whose names say 8 bits."""
        ...

    def identities(self) -> Iterator[tuple[str, int]]:
        """The names, each with a number that changes when the image does, such as its size in bytes."""
        ...


class ImagePaths:
    """Image files below a folder: of a million of them, Python objects would need ten times the memory.

    Args:
        root: the folder.
        paths: files below it.
    """

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root = root
        above = os.path.join(root, "")  # relative_to takes as long as all the rest of the listing
        self._relative = np.array([os.fsencode(os.fspath(path).removeprefix(above)) for path in paths], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self._relative)

    def __getitem__(self, index: int) -> Path:
        return self.root / os.fsdecode(self._relative[index].tobytes().rstrip(b"\0"))

    def __iter__(self) -> Iterator[Path]:
        return map(self.__getitem__, range(len(self)))

    def subset(self, indices: Tensor) -> "ImagePaths":
        chosen = ImagePaths(self.root, [])
        chosen._relative = self._relative[indices.numpy()]
        return chosen

    def names(self) -> list[str]:
        """The paths below the root, with slashes."""
        return [os.fsdecode(name).replace(os.sep, "/") for name in self._relative.tolist()]

    def heads(self) -> Iterator[bytes]:
        for path in self:
            yield b"" if path.suffix.lower() in _EIGHT_BITS else head_of(path)

    def identities(self) -> Iterator[tuple[str, int]]:
        for name in self.names():
            try:
                yield name, os.stat(os.path.join(self.root, name)).st_size
            except OSError:
                yield name, -1


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Encoded images and their classes: `labels`, int64 `[N]`, index the classes of the data set."""

    sources: ImageSources
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "ImageFiles":
        """The images at `indices` `[M]`, in that order."""
        return ImageFiles(self.sources.subset(indices), self.labels[indices])


def head_of(path: Path) -> bytes:
    """The first `HEAD` bytes of a file; none if it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
            return b""
        with open(path, "rb", buffering=0) as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""


FileId = tuple[int, int]
"""What tells a file from all others on this machine, wherever links lead to it: its device and number there."""


def file_ids(sources: ImageSources) -> list[FileId | None]:
    """Which file each image is; None of those that are no files of their own, or are gone."""
    found: list[FileId | None] = []
    for index in range(len(sources)):
        file = sources[index]
        try:
            status = os.stat(file) if isinstance(file, Path) else None
        except (OSError, ValueError):
            status = None
        found.append(status and (status.st_dev, status.st_ino))
    return found


def add_identities(found: blake2b, sources: ImageSources) -> None:
    """Add names and sizes of images to a fingerprint."""
    for name, size in sources.identities():
        found.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))


def files_digest(*parts: ImageFiles) -> str:
    """A fingerprint of the names, sizes and classes of files, which knows them wherever they are."""
    found = blake2b(digest_size=16)
    for files in parts:
        add_identities(found, files.sources)
        found.update(files.labels.numpy().tobytes())
    return found.hexdigest()
