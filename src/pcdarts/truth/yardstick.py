"""Scores of cells of NAS-Bench-201 by what a table says of them, in the words of `score/yardstick.py`; which it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import InputError
from pcdarts.score.table import CellTable, read_table
from pcdarts.score.yardstick import Score, Yardstick, yardstick_of
from pcdarts.truth.columns import Column, main_columns
from pcdarts.truth.table import TruthTable, is_truth, read_truth
from pcdarts.truth.verdict import Standing, Verdict, verdict


@dataclass(frozen=True)
class TruthYardstick:
    """Looks cells up where a `Yardstick` predicts, and has no regressor whose quality could be told."""

    table: TruthTable

    quality = None
    explanation = (
        "percentile: how many of the cells of the table are worse, in % (and half of those with the same accuracy); 50 "
        "is a random cell"
    )

    @property
    def columns(self) -> list[Column]:
        """Of each data set the column that counts; the first one gives the scores."""
        return main_columns(self.table.columns)

    def knows(self, genotype: Genotype) -> bool:
        """Whether the table lists a cell.

        Raises:
            InputError: it is not of the table's space.
        """
        return self.table.place(genotype) is not None

    def scores(self, genotypes: Sequence[Genotype]) -> list[Score]:
        """The scores of genotypes, in their order, by the first of `columns`.

        Raises:
            InputError: the table does not list one of them.
        """
        return [self._score(verdict(self.table, genotype)) for genotype in genotypes]

    def standings(self, genotypes: Sequence[Genotype], column: Column) -> list[Standing]:
        """Where genotypes stand in one column.

        Raises:
            InputError: the table does not list one of them.
        """
        return [verdict(self.table, genotype).of(column) for genotype in genotypes]

    def _score(self, found: Verdict) -> Score:
        standing = found.of(self.columns[0])
        return Score(standing.accuracy, None, standing.percentile, listed=True)

    def words(self) -> list[str]:
        """Lines about the table, to be printed before any score."""
        return [*self.table.notes, f"scores are by {self.columns[0].in_words} (column {self.columns[0].name})"]


Judge = Yardstick | TruthYardstick
"""What scores the cells of one space."""


def read_known(path: Path, kind: str | None = None, column: str | None = None) -> CellTable | TruthTable:
    """The table in a file or folder: its cells decide which it is.

    Raises:
        InputError: the table cannot be used, or what it needs is not installed.
    """
    path = path.expanduser()
    if not is_truth(path):
        return read_table(path, kind, column)
    if kind is not None:
        raise InputError(f"{path} is a table of NAS-Bench-201, which has no kinds of rows: leave kind out")
    return read_truth(path, column)


def judge_of(table: CellTable | TruthTable, say: Callable[[str], None] = print) -> Judge:
    """What scores cells by a table: it looks them up, or fits a regressor, which takes minutes the first time.

    Raises:
        InputError: scikit-learn is needed to fit it but not installed.
    """
    return TruthYardstick(table) if isinstance(table, TruthTable) else yardstick_of(table, say)


def make_judge(
    path: Path, kind: str | None = None, column: str | None = None, say: Callable[[str], None] = print
) -> Judge:
    """Both in one.

    Raises:
        InputError: as in these.
    """
    return judge_of(read_known(path, kind, column), say)
