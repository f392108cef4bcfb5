"""Encoded images and their classes: where they are, and how they are told apart."""

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
"""Formats with 8 bits per value, at least after decoding."""


class ImageFile(Protocol):
    """One encoded image; `str()` gives its name. A `Path` is one."""

    def read_bytes(self) -> bytes: ...


class ImageSources(Protocol):
    """Many encoded images; can be sent to another process."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> ImageFile: ...

    def subset(self, indices: Tensor) -> Self:
        """The images at `indices` `[M]`, in that order."""
        ...

    def names(self) -> list[str]:
        """A name for each image that does not depend on where the data set lies."""
        ...

    def heads(self) -> Iterator[bytes]:
        """The first `HEAD` bytes of each image; empty if it cannot be read or its file name implies 8 bits."""
        ...

    def identities(self) -> Iterator[tuple[str, int]]:
        """Each name with a number that changes with the image, such as its size in bytes."""
        ...


class ImagePaths:
    """Image files below a folder. (Python objects would take ten times the memory for a million of them.)

    Args:
        root: the folder.
        paths: files below it.
    """

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root = root
        prefix = os.path.join(root, "")  # relative_to would double the time of the listing
        self._relative = np.array(
            [os.fsencode(os.fspath(path).removeprefix(prefix)) for path in paths], dtype=np.bytes_
        )

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
    """The first `HEAD` bytes of a file; empty if it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would block
            return b""
        with open(path, "rb", buffering=0) as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""


FileId = tuple[int, int]
"""Device and inode number of a file: unique on a machine, the same through every link."""


def file_ids(sources: ImageSources) -> list[FileId | None]:
    """The id of each image's file; None if the image is not a file of its own, or the file is gone."""
    found: list[FileId | None] = []
    for index in range(len(sources)):
        file = sources[index]
        try:
            status = os.stat(file) if isinstance(file, Path) else None
        except (OSError, ValueError):
            status = None
        found.append(status and (status.st_dev, status.st_ino))
    return found


def add_identities(digest: blake2b, sources: ImageSources) -> None:
    """Add the names and sizes of images to a digest."""
    for name, size in sources.identities():
        digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))


def files_digest(*parts: ImageFiles | None) -> str:
    """A digest of names, sizes and classes, which does not depend on where the files lie."""
    digest = blake2b(digest_size=16)
    for files in filter(None, parts):
        add_identities(digest, files.sources)
        digest.update(files.labels.numpy().tobytes())
    return digest.hexdigest()
