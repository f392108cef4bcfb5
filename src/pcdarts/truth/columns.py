"""Which columns of a table of NAS-Bench-201 hold accuracies, and of what: found by name, else by value."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pcdarts.cell.arch_string import STRING
from pcdarts.errors import InputError, did_you_mean, in_short, shown
from pcdarts.score.csv_file import Rows

EXPECTED = "a header such as architecture,cifar10_test_200, and rows such as |op~0|+|op~0|op~1|+|op~0|op~1|op~2|,93.4"
DATA_SETS = ("CIFAR-10", "CIFAR-100", "ImageNet16-120")
"""Those on which the benchmark's networks were trained."""

Split = Literal["test", "validation", "training"]

_SPLITS: dict[str, Split] = {
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "train": "training",
    "training": "training",
}
_ACCURACY = {"acc", "accs", "accuracy", "accuracies", "top"}
_OTHERS = re.compile(
    "lat|latency|latencies|ms|s|secs?|seconds?|times?|hours?|flops?|macs?|mults?|adds?|params?|parameters?|size|memory|"
    "energy|loss|losses|errs?|errors?|ranks?|index|idx|id|number|std|sd|var|variance|seeds?|scores?"
)
"""A word in the name of a column that holds something else."""


@dataclass(frozen=True)
class Column:
    """A column of accuracies: its name, and what the name says of them."""

    name: str
    data_set: str | None = None
    """One of `DATA_SETS`."""
    split: Split | None = None
    epochs: int | None = None
    """For how many epochs the networks were trained."""

    @property
    def short(self) -> str:
        """The data set, or the name where it says nothing of the data."""
        return self.data_set or self.name

    @property
    def in_words(self) -> str:
        """`CIFAR-10, test, 200 epochs`, or the name where it says nothing of the data."""
        if self.data_set is None:
            return self.name
        epochs = None if self.epochs is None else f"{self.epochs} epochs"
        return ", ".join(filter(None, (self.data_set, self.split, epochs)))


def column_called(name: str) -> Column:
    """What a name such as `c10_test_200`, `CIFAR-100 200-epoch test accuracy` or `ImageNet16-120-valid` says."""
    words = _words(name)
    data_set = None
    for place, (word, number) in enumerate(pairwise(words)):
        if word in ("c", "cifar") and number in ("10", "100"):
            data_set = f"CIFAR-{number}"
        elif word in ("in", "imagenet", "img") and number == "16":
            data_set = DATA_SETS[2]
        else:
            continue
        words = words[:place] + words[place + (3 if words[place + 2 : place + 3] == ["120"] else 2) :]
        break
    numbers = [int(word) for word in words if word.isdecimal() and len(word) < 6 and int(word) > 5]
    splits = [_SPLITS[word] for word in words if word in _SPLITS]
    return Column(name, data_set, splits[-1] if splits else None, numbers[0] if len(numbers) == 1 else None)


def main_columns(columns: Sequence[Column]) -> list[Column]:
    """Of each data set the test accuracy of the longest training; of columns that say less, all."""
    tests = [column for column in columns if column.split == "test"] or list(columns)
    best: dict[str, Column] = {}
    for column in tests:
        of = column.data_set or column.name
        if of not in best or _length(column) > _length(best[of]):
            best[of] = column
    return list(best.values())


def _length(column: Column) -> float:
    return math.inf if column.epochs is None else column.epochs


def cell_column(path: Path, header: Sequence[str], rows: Rows) -> int:
    """Where the cells are: the first column whose first values look like one, else one called so.

    Raises:
        InputError: there is none.
    """
    for _, row in rows[:20]:
        for index, value in enumerate(row):
            if STRING.search(value):
                return index
    for index, name in enumerate(header):
        if name.lower() in ("architecture", "arch", "arch_str", "architecturestring", "cell"):
            return index  # so that the first row's fault is told with its line
    remedy = ""
    if any("Genotype(" in value for value in rows[0][1]):
        remedy = " (it is one of the DARTS papers' cells: `pcdarts score CELL --table` takes it)"
    raise InputError(
        f"{path} is no table of NAS-Bench-201: none of its columns ({in_short(list(header))}) holds its cells{remedy}; "
        f"expected {EXPECTED}"
    )


def accuracy_columns(
    path: Path, header: Sequence[str], rows: Rows, cells_at: int, wanted: str | None
) -> tuple[dict[int, Column], str]:
    """The columns of accuracies by their index, and how they were found, in words.

    Raises:
        InputError: there is none, two have one name, or there is none that is called `wanted`.
    """
    others = {index: name for index, name in enumerate(header) if index != cells_at}
    if wanted is not None:
        found = {index: name for index, name in others.items() if name == wanted}
        how = "as named"
        if not found:
            raise InputError(f"{path} has no column {shown(wanted)}: {did_you_mean(wanted, others.values())}")
    else:
        found = {index: name for index, name in others.items() if _is_called_accuracy(name)}
        how = "by their names"
    if not found:
        found = {
            index: name for index, name in others.items() if _holds_accuracies(name, [row[index] for _, row in rows])
        }
        how = "by their values, as no name says so"
    if not found:
        raise InputError(
            f"{path} has no column of accuracies besides its cells ({in_short([*others.values()]) or 'no column'}): "
            "call one accuracy, or after its data and epochs, such as cifar10_test_200"
        )
    for name in found.values():
        if [*found.values()].count(name) > 1:
            raise InputError(f"{path}: {[*found.values()].count(name)} columns are called {shown(name)}: keep one")
    return {index: column_called(name) for index, name in found.items()}, how


def _words(name: str) -> list[str]:
    """The words and numbers in a name, in small letters."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+|[0-9]+", apart.lower().replace("image net", "imagenet"))


def _is_called_accuracy(name: str) -> bool:
    words = set(_words(name))
    if any(map(_OTHERS.fullmatch, words)):
        return False
    return bool(words & (_ACCURACY | _SPLITS.keys())) or column_called(name).data_set is not None


def _holds_accuracies(name: str, values: Sequence[str]) -> bool:
    """Whether all are numbers from 0 to 100, and not all whole ones, as the numbers of rows are."""
    if any(map(_OTHERS.fullmatch, _words(name))):
        return False
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return False
    return all(0 <= number <= 100 for number in numbers) and not all(number.is_integer() for number in numbers)
