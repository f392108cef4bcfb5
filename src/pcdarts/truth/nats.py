"""A folder of NATS-Bench (its topology space), read with the benchmark's own package.

Such a folder has `meta.pickle.pbz2` and a file a cell. They are pickles: what they hold is taken apart here, by an
unpickler that knows plain values alone, so that no code of theirs runs; the package gets these values.
"""

import bz2
import csv
import hashlib
import os
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pcdarts.cache import cache_folder, is_private, replace_file
from pcdarts.cell.arch_string import read_string, write_string
from pcdarts.errors import InputError, counted, shown
from pcdarts.extras import import_extra
from pcdarts.truth.columns import Column, column_called

_META = "meta.pickle.pbz2"
_REMEDY = "give the folder of NATS-Bench, such as NATS-tss-v1_0-3ffb9-simple, unpacked and whole"
_METRICS = {
    Column("cifar10_test", "CIFAR-10", "test"): (("cifar10", "ori-test"), ("cifar10-valid", "ori-test")),
    Column("cifar100_test", "CIFAR-100", "test"): (("cifar100", "x-test"),),
    Column("imagenet16_test", "ImageNet16-120", "test"): (("ImageNet16-120", "x-test"),),
    Column("cifar10_valid", "CIFAR-10", "validation"): (("cifar10-valid", "x-valid"),),
    Column("cifar100_valid", "CIFAR-100", "validation"): (("cifar100", "x-valid"),),
    Column("imagenet16_valid", "ImageNet16-120", "validation"): (("ImageNet16-120", "x-valid"),),
}
"""Data set and set of images of the benchmark for each column, the first of several that a cell has."""
_LENGTHS = (200, 12)
"""Epochs for which all networks were trained."""
_MANY = 1000
"""Files that take so long that it is said."""


def check_folder(folder: Path) -> None:
    """Make sure that a folder can be read: the package is there, the list of cells, and the file of the first one.

    Raises:
        InputError: naming what is missing.
    """
    package = _package()
    _read_cell(package, folder, 0, _cells(folder)[0])


def read_folder(folder: Path) -> tuple[tuple[Column, ...], dict[str, list[float]]]:
    """The columns, and the accuracies of each cell in %, means over the seeds.

    A column is there if every cell has it. All cells take a quarter of an hour, so what was read is kept for this user.

    Raises:
        InputError: the package is not installed, or something in the folder is missing or damaged.
    """
    package, cells = _package(), _cells(folder)
    kept = _kept_file(folder)
    with suppress(OSError, ValueError, LookupError):
        if is_private(kept.parent) and is_private(kept):
            names, *rows = csv.reader(kept.read_text("utf-8").splitlines())
            if [row[0] for row in rows] == cells:
                return (*map(column_called, names[1:]),), {row[0]: [*map(float, row[1:])] for row in rows}
    if len(cells) > _MANY:
        print(f"reading the {len(cells):,} files of {folder}, once: a quarter of an hour", file=sys.stderr, flush=True)
    found = {cell: _read_cell(package, folder, index, cell) for index, cell in enumerate(cells)}
    columns = [column for column in next(iter(found.values())) if all(column in known for known in found.values())]
    if not columns:
        raise InputError(f"{folder} has no accuracies that all of its cells have: {_REMEDY}")
    values = {cell: [known[column] for column in columns] for cell, known in found.items()}
    _keep(kept, columns, values)
    return tuple(columns), values


def _kept_file(folder: Path) -> Path:
    """Where what was read is kept: another file where one in the folder has changed."""
    files = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(folder))
    digest = hashlib.sha256(repr((str(folder.resolve()), files)).encode())
    return cache_folder() / f"nats-{digest.hexdigest()[:16]}.csv"


def _keep(file: Path, columns: Sequence[Column], values: Mapping[str, Sequence[float]]) -> None:
    """Keep it, as a table that can be read as one; a folder that cannot be written makes every start read all again."""
    lines = [",".join(["architecture", *(column.name for column in columns)])]
    lines += [",".join([cell, *map(repr, numbers)]) for cell, numbers in values.items()]
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(("\n".join(lines) + "\n").encode(), file)


def _package() -> Any:
    return import_extra("nats_bench", "nats", "reading a folder of NATS-Bench")


def _cells(folder: Path) -> list[str]:
    """All cells of the benchmark, in the order of its files."""
    if not (folder / _META).is_file():
        raise InputError(f"{folder} has no {_META}: {_REMEDY}")
    known = _plain(folder / _META)
    names = known.get("meta_archs") if isinstance(known, dict) else None
    if not isinstance(names, list | tuple) or not names:
        raise InputError(f"{folder / _META} lists no cells: {_REMEDY}")
    cells = []
    for number, name in enumerate(names):
        try:
            cells.append(str(write_string(read_string(str(name)))))
        except InputError as error:
            raise InputError(f"{folder / _META}, cell {number}: {error}") from None
    if len(set(cells)) < len(cells):
        raise InputError(f"{folder / _META} lists {counted(len(cells) - len(set(cells)), 'cell')} twice: {_REMEDY}")
    return cells


def _read_cell(package: Any, folder: Path, index: int, cell: str) -> dict[Column, float]:
    """The accuracies of one cell, by what the benchmark's package makes of its file."""
    file = folder / f"{index:06d}.pickle.pbz2"
    known = _plain(file)
    try:
        found = {}
        for epochs in _LENGTHS:
            if str(epochs) not in known:
                continue
            results = package.ArchResults.create_from_state_dict(known[str(epochs)])
            if str(results.arch_str) != cell:
                raise InputError(f"{file} is of {shown(results.arch_str, 120)}, not of {cell}: {_REMEDY}")
            for column, sources in _METRICS.items():
                accuracy = _accuracy(results, sources)
                if accuracy is not None:
                    found[Column(f"{column.name}_{epochs}", column.data_set, column.split, epochs)] = accuracy
    except InputError:
        raise
    except Exception as error:  # whatever the package makes of damaged values
        raise InputError(
            f"{file} is no file of a cell ({type(error).__name__}: {shown(error, 200)}): {_REMEDY}"
        ) from None
    if not found:
        raise InputError(f"{file} has no accuracy: {_REMEDY}")
    for column, accuracy in found.items():
        if not 0 <= accuracy <= 100:
            raise InputError(f"{file}: {column.name} is {accuracy:g}, but an accuracy is from 0 to 100")
    return found


def _accuracy(results: Any, sources: tuple[tuple[str, str], ...]) -> float | None:
    for data_set, images in sources:
        if data_set in results.get_dataset_names():
            trials = results.query(data_set).values()
            if all(images in trial.get_eval_set() for trial in trials):
                return float(results.get_metrics(data_set, images, is_random=False)["accuracy"])
    return None


class _NumberKind:
    """What stands for `numpy.dtype` in a pickle: one of its kinds of numbers."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch("[fiub][1248]", str(code)):
            raise pickle.UnpicklingError(f"it holds values of kind {shown(code)}, which are no numbers")
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = "<" if state[1] == "<" else ">" if state[1] == ">" else "="


def _number(kind: _NumberKind, data: bytes) -> float:
    """What stands for a scalar of NumPy in a pickle."""
    return float(np.frombuffer(data, np.dtype(kind.order + kind.code))[0])


class _PlainValues(pickle.Unpickler):
    """Reads numbers, texts and containers of them; refuses every other class and function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset"):
            return {"set": set, "frozenset": frozenset}[name]
        if (module, name) == ("numpy", "dtype"):
            return _NumberKind
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _number
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no plain value")


def _plain(file: Path) -> Any:
    try:
        with bz2.open(file, "rb") as opened:
            return _PlainValues(opened).load()
    except FileNotFoundError:
        raise InputError(f"{file} is missing: {_REMEDY}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"cannot read {file} ({shown(error, 200) or type(error).__name__}): {_REMEDY}") from None
