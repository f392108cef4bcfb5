"""Score cells: by their accuracy in a table, or by a regressor that was fitted on the table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcdarts.cache import one_at_a_time
from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import counted
from pcdarts.extras import import_extra
from pcdarts.score.arrays import Array
from pcdarts.score.features import features
from pcdarts.score.kept import Fitted, keep, kept_file, read_kept
from pcdarts.score.regressor import Quality, Regressor, fit
from pcdarts.score.table import CellTable, read_table

RANDOM_CELLS = 1000
"""The number of randomly drawn cells among which a cell has its percentile."""
PERCENTILE = (
    f"percentile: how many of {RANDOM_CELLS:,} random cells have a lower predicted accuracy, in %; 50 is chance"
)
"""The explanation of the percentile of a `Score`, for its readers."""
_POOR = 0.5


@dataclass(frozen=True)
class Score:
    """The score of one cell."""

    accuracy: float
    """In %, on the table's scale: listed or predicted."""
    interval: tuple[float, float] | None
    """The 95 % interval of a predicted accuracy; None if it is listed."""
    percentile: float
    """How many of 1,000 random cells of the space have a lower predicted accuracy, in %; 50 is chance."""
    listed: bool
    """Whether the accuracy is from the table (rows of the fitted kind) rather than predicted."""


@dataclass(frozen=True)
class Yardstick:
    """Scores cells of one space."""

    table: CellTable
    regressor: Regressor
    costs: NetworkCosts
    random: Array
    """`[RANDOM_CELLS]`: the predicted accuracies of random cells, ascending."""

    explanation = PERCENTILE

    @property
    def quality(self) -> Quality:
        """The quality of the regressor's predictions."""
        return self.regressor.quality

    def knows(self, genotype: Genotype) -> bool:
        """Whether it has a score for a cell: for each of the table's space.

        Raises:
            InputError: it is not of that space.
        """
        self.table.check(genotype)
        return True

    def scores(self, genotypes: Sequence[Genotype]) -> list[Score]:
        """The scores of genotypes, in their order.

        Cells that are listed only with kinds other than the fitted one are predicted, since scales may differ.

        Raises:
            InputError: a genotype is not in the table's space.
        """
        for genotype in genotypes:
            self.table.check(genotype)
        if not genotypes:
            return []
        predicted = self.regressor.predict(features(genotypes, self.costs)).tolist()
        return list(map(self._score, genotypes, predicted))

    def _score(self, genotype: Genotype, predicted: float) -> Score:
        known = self.table.listed(genotype)
        if known is not None and known.kind == self.table.kind:
            return Score(known.accuracy, None, self._percentile(known.accuracy), listed=True)
        reach = self.quality.reach
        interval = (max(0.0, predicted - reach), min(100.0, predicted + reach))
        return Score(predicted, interval, self._percentile(predicted), listed=False)

    def _percentile(self, accuracy: float) -> float:
        """The share of random cells with a lower accuracy, plus half of those with an equal one."""
        lower, not_higher = (np.searchsorted(self.random, accuracy, side=side) for side in ("left", "right"))
        return float(100 * (lower + not_higher) / 2 / len(self.random))

    def words(self) -> list[str]:
        """Lines about the table and the quality of predictions, to be printed before any score."""
        quality = self.quality
        lines = [
            *self.table.notes,
            f"five-fold cross-validation on {counted(quality.cells, 'cell')}: rank correlation "
            f"{quality.rank_correlation:.3f} (Spearman), mean absolute error {quality.mean_error:.2f} points",
        ]
        if quality.rank_correlation < _POOR:
            lines.append("that is poor: on this table alone, do not trust predictions and percentiles")
        return lines


def make_yardstick(
    path: Path, kind: str | None = None, column: str | None = None, say: Callable[[str], None] = print
) -> Yardstick:
    """The yardstick of a table (see `read_table`): fitted now, or read from this machine's cache.

    Raises:
        InputError: scikit-learn is needed to fit it but not installed, or the table cannot be used.
    """
    return yardstick_of(read_table(path, kind, column), say)


def yardstick_of(table: CellTable, say: Callable[[str], None] = print) -> Yardstick:
    """The same for a table that has been read.

    Raises:
        InputError: scikit-learn is needed to fit it but not installed.
    """
    file = kept_file(table)
    if (fitted := read_kept(file, table.space)) is None:
        import_extra("sklearn", "score", "scoring cells")
        with one_at_a_time(file.parent):
            if (fitted := read_kept(file, table.space)) is None:
                say(f"fitting a regressor on {len(table.fitted):,} cells, six times for the cross-validation")
                fitted = _fit(table)
                if why := keep(fitted, file):
                    say(f"cannot keep it in {file.parent} ({why}), so that every start fits it again")
    return Yardstick(table, fitted.regressor, fitted.costs, fitted.random)


def _fit(table: CellTable) -> Fitted:
    costs = _costs(table.space)
    accuracies = np.array([cell.accuracy for cell in table.fitted])
    weights = np.array([cell.weight for cell in table.fitted])
    regressor = fit(features([cell.genotype for cell in table.fitted], costs), accuracies, weights)
    drawn = [random_genotype(table.space, seed) for seed in range(RANDOM_CELLS)]
    return Fitted(regressor, costs, np.sort(regressor.predict(features(drawn, costs))))


def _costs(space: CellSpace) -> NetworkCosts:
    """The costs of the paper's CIFAR-10 network."""
    from pcdarts.network.costs import network_costs  # imports PyTorch, which a report with kept models does not need

    return network_costs(
        space, kind="cifar", channels=36, num_cells=20, num_classes=10, image_channels=3, image_size=32
    )
