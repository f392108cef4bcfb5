"""Folders on the disk: their sub-folders and image files, and a count of what is ignored."""

import errno
import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pcdarts.data.disk.decode import SUFFIXES, quoted
from pcdarts.errors import InputError, counted, listed, shown

_HIDDEN = "hidden"
_MADE_BY_SYSTEMS = frozenset({"__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "lost+found"})
"""Folders that archivers and file systems create."""

_REMEDIES = dict.fromkeys((".heic", ".heif"), "Pillow alone cannot read HEIC: convert them to JPEG") | dict.fromkeys(
    (".avif", ".j2k", ".jp2", ".webp"), "this build of Pillow cannot read them: convert them to JPEG"
)
MOST_LINES = 10
"""The most lines about ignored files, and about ignored folders."""


class Folder:
    """A folder, listed when its contents are first needed; links are followed.

    Args:
        without: the real paths of sub-folders to leave out.

    Raises:
        InputError: on first use, if the folder cannot be listed.
    """

    def __init__(self, path: Path, without: frozenset[str] = frozenset()) -> None:
        self.path = path
        self._without = without

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def folders(self) -> list["Folder"]:
        """The visible sub-folders, by name."""
        return self._contents[0]

    @property
    def images(self) -> list[Path]:
        """The image files in the folder itself, by name."""
        return self._contents[1]

    @property
    def ignored(self) -> Counter[str]:
        """How many other files there are in the folder itself, by extension, and how many hidden entries."""
        return self._contents[2]

    @cached_property
    def holds_images(self) -> bool:
        """Whether there is an image at any depth."""
        return any(folder.images for folder in self.walk())

    @property
    def full(self) -> list["Folder"]:
        """The sub-folders that hold images."""
        return [folder for folder in self.folders if folder.holds_images]

    def walk(self, visited: set[str] | None = None) -> Iterator["Folder"]:
        """This folder and all folders below it, each once. Skips `visited` real paths, so circular links end."""
        visited = set() if visited is None else visited
        pending = [self]
        while pending:
            folder = pending.pop()
            real = os.path.realpath(folder.path)
            if real not in visited:
                visited.add(real)
                yield folder
                pending += folder.folders

    @cached_property
    def _contents(self) -> tuple[list["Folder"], list[Path], Counter[str]]:
        folders, images, ignored = [], [], Counter[str]()
        for name, path, is_folder in _entries(self.path):
            if name.startswith("."):
                ignored[_HIDDEN] += 1
            elif is_folder and name in _MADE_BY_SYSTEMS:
                ignored[f"/{name}"] += 1
            elif is_folder:
                if not (self._without and os.path.realpath(path) in self._without):
                    folders.append(Folder(path))
            elif (suffix := os.path.splitext(name)[1].lower()) in SUFFIXES:
                images.append(path)
            else:
                ignored[suffix] += 1
        return sorted(folders, key=lambda folder: folder.path), sorted(images), ignored


def images_below(folder: Folder, ignored: Counter[str], visited: set[str] | None = None) -> list[Path]:
    """All image files below `folder`, by path; counts other files in `ignored`."""
    found: list[Path] = []
    for inner in folder.walk(visited):
        found += inner.images
        ignored.update(inner.ignored)
    return sorted(found)


def ignored_lines(ignored: Counter[str]) -> list[str]:
    """What was ignored: a line per extension, the most frequent first, then a line about the rest."""
    lines = []
    extensions = sorted((-count, key) for key, count in ignored.items() if key != _HIDDEN and not key.startswith("/"))
    for count, suffix in extensions[:MOST_LINES]:
        what = f"with the extension {shown(suffix, 20)}" if suffix else "without an extension"
        remedy = f" ({_REMEDIES[suffix]})" if suffix in _REMEDIES else ""
        lines.append(f"ignored {counted(-count, 'file')} {what}{remedy}")
    if rest := extensions[MOST_LINES:]:
        lines.append(f"ignored {counted(-sum(count for count, _ in rest), 'file')} with {len(rest)} other extensions")
    folders = [f"{counted(count, 'folder')} {key[1:]}" for key, count in sorted(ignored.items()) if key[:1] == "/"]
    if hidden := ignored.get(_HIDDEN, 0):
        folders.append(counted(hidden, "hidden file or folder", "hidden files and folders"))
    return [*lines, *([f"ignored {listed(folders, 'and')}"] if folders else [])]


def _entries(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """Name and path of each entry, and whether it is a folder."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name, Path(entry.path), _is_folder(entry)
    except FileNotFoundError:
        raise InputError(f"image folder {quoted(folder)} does not exist: check its path") from None
    except NotADirectoryError:
        raise InputError(f"{quoted(folder)} is a file, but an image folder is expected: check its path") from None
    except OSError as error:
        raise InputError(f"image folder {quoted(folder)} cannot be read: {error.strerror}") from error
    except ValueError:  # a null byte, for instance
        raise InputError(f"{quoted(folder)} is not a valid path: check it") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself is treated like a broken link
            return False
        raise
