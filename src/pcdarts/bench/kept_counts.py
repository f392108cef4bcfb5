"""Counts of the tables' networks, kept in the user's cache until the code that counts, or a library, is another."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from pcdarts.bench.published import Row
from pcdarts.cache import cache_folder, is_private, one_at_a_time, replace_file
from pcdarts.cell.space import NetworkKind

_PACKAGE = Path(__file__).parent.parent
_FOLDERS = ("bench", "cell", "detect", "network", "ops")
"""Where the code is that a count depends on."""
_FILES = ("jobs/outcome/evaluation.py",)
_LIBRARIES = ("torch", "torchvision", "timm")
_LARGEST_FILE = 1_000_000
_FIGURES = {"params": False, "mult_adds": False, "mult_adds_with_norms": True}
"""What is kept of a network, and whether it may be None."""

Count = dict[str, int | None]


class Counts:
    """What networks count: kept ones, and new ones, which are kept when the block ends.

    Where nothing can be kept, or others could have written it, everything is counted.
    """

    def __init__(self, file: Path | None = None, code: str | None = None) -> None:
        """Use another file than that of the user's cache, or another version of the code than this one."""
        self._file = cache_folder() / "table-counts.json" if file is None else file
        self._code = code_version() if code is None else code
        self._new: dict[str, Count] = {}

    def __enter__(self) -> Self:
        self._kept = _read(self._file, self._code)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not self._new:
            return
        with suppress(OSError), one_at_a_time(self._file.parent):
            counts = _read(self._file, self._code) | self._new  # another process may have counted meanwhile
            replace_file(json.dumps({"code": self._code, "counts": counts}, indent=1).encode(), self._file)

    def of(self, row: Row, kind: NetworkKind) -> Count:
        """What `count` of `bench/counting.py` says of a row that has a cell or a model.

        Raises:
            InputError: as `count`.
        """
        name = f"{row.cell} {kind}" if row.cell is not None else f"{row.model}"
        for known in (self._kept, self._new):
            if name in known:
                return known[name]
        from pcdarts.bench.counting import count  # torch takes longer than all that is kept

        self._new[name] = count(row, kind)
        return self._new[name]


def code_version(files: Iterable[Path] | None = None, libraries: Iterable[str] = _LIBRARIES) -> str:
    """A checksum of the code that counts, this package's by default, with the versions of libraries."""
    if files is None:
        files = [file for folder in _FOLDERS for file in (_PACKAGE / folder).rglob("*.py")]
        files += [_PACKAGE / file for file in _FILES]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    for library in libraries:
        with suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)};".encode())
    return digest.hexdigest()


def _read(file: Path, code: str) -> dict[str, Count]:
    """Empty when the file does not exist, is damaged or of other code, or may have been written by another user."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        if is_private(file.parent) and is_private(file) and file.stat().st_size <= _LARGEST_FILE:
            content = json.loads(file.read_bytes())
            if content["code"] == code:
                return {str(name): _checked(figures) for name, figures in content["counts"].items()}
    return {}


def _checked(figures: Any) -> Count:
    found = {name: figures[name] for name in _FIGURES}
    for name, figure in found.items():
        if not (type(figure) is int and figure > 0) and not (figure is None and _FIGURES[name]):
            raise ValueError("a count is a positive whole number")
    return found
