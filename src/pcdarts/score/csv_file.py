"""A CSV file, plain or compressed, read whole and row by row with the numbers of its lines."""

import bz2
import csv
import gzip
import io
import lzma
import zlib
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from pcdarts.errors import InputError, counted

_MOST_ROWS = 100_000
_MOST_BYTES = 100 * 2**20
"""Decompressed."""
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open, b"BZh": bz2.open}
"""By the first bytes of a file."""

Rows = list[tuple[int, list[str]]]
"""Each row with the number of its last line."""


def content_of(path: Path) -> bytes:
    """The content of the file, decompressed.

    Raises:
        InputError: it cannot be read, is damaged or too large.
    """
    try:
        if not (S_ISREG(mode := path.stat().st_mode) or S_ISDIR(mode)):
            raise InputError(f"cannot read the table {path}: a pipe or a device: give a CSV file, plain or compressed")
        with path.open("rb") as file:
            start = file.read(6)
        opened = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
        with opened(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "damaged"  # an error about a damaged archive has no strerror
        raise InputError(f"cannot read the table {path}: {why}: give a CSV file, plain, .gz, .bz2 or .xz") from None
    except (EOFError, lzma.LZMAError, zlib.error):
        raise InputError(f"cannot read the table {path}: damaged or cut off: make or fetch it again") from None
    if len(content) > _MOST_BYTES:
        raise InputError(
            f"{path} is too large for a table of cells (over {_MOST_BYTES // 2**20} MB): keep a part of it"
        )
    return content


def rows_of(path: Path, content: bytes, expected: str) -> tuple[list[str], Rows]:
    """The header, and all other rows.

    Raises:
        InputError: it is no CSV file, or a row has another number of values than the header; `expected` says in words
            what a table looks like.
    """
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a CSV file: it is not text in UTF-8") from None
    rows: Rows = []
    try:
        for row in filter(None, reader):
            if rows and len(row) != len(rows[0][1]):
                raise InputError(
                    f"{path}, line {reader.line_num}: {counted(len(row), 'value')}, but the header names "
                    f"{counted(len(rows[0][1]), 'column')}"
                )
            rows.append((reader.line_num, row))
            if len(rows) > _MOST_ROWS:
                raise InputError(f"{path} has more than {_MOST_ROWS:,} rows: keep a part of them")
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: line {reader.line_num}: {error}; expected {expected}") from None
    if len(rows) < 2:
        raise InputError(f"{path} lists no cells: expected {expected}")
    (_, header), *rows = rows
    return [name.strip() for name in header], rows
