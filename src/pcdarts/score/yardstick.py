"""How good is this cell? What a table says of it, or a regressor that was fitted on the table."""

import hashlib
import io
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import pcdarts
from pcdarts.cache import cache_folder, is_private, one_at_a_time, replace_file
from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.extras import import_extra
from pcdarts.score.features import features
from pcdarts.score.regressor import Array, Quality, Regressor, fit
from pcdarts.score.table import CellTable, check_searched, read_table

RANDOM_CELLS = 1000
"""Cells drawn without looking at data, among which a cell has its percentile."""
_POOR = 0.5


@dataclass(frozen=True)
class Score:
    """What is known of one cell."""

    accuracy: float
    """In %, on the table's scale: as listed, or predicted."""
    interval: tuple[float, float] | None
    """Where the true accuracy of 95 % of the cells is that are predicted so; None where it is listed."""
    percentile: float
    """How many of 1,000 random cells of the space have a lower accuracy, by the same yardstick, in %; 50 is chance."""
    listed: str | None
    """None where it is predicted; else the kind of rows that list it, empty in a table without kinds."""


@dataclass(frozen=True)
class Yardstick:
    """Scores cells of one space."""

    table: CellTable
    regressor: Regressor
    costs: NetworkCosts
    random: Array
    """Predicted accuracies of the random cells, in rising order."""

    @property
    def quality(self) -> Quality:
        """How well the regressor predicts."""
        return self.regressor.quality

    def scores(self, genotypes: Sequence[Genotype]) -> list[Score]:
        """The scores of genotypes, in their order.

        Accuracies of other kinds than the fitted one are on another scale, so those cells are predicted.

        Raises:
            InputError: a genotype is not of the table's space.
        """
        for genotype in genotypes:
            self._check(genotype)
        if not genotypes:
            return []
        return [
            self._score(genotype, predicted)
            for genotype, predicted in zip(
                genotypes, self.regressor.predict(features(genotypes, self.costs)).tolist(), strict=True
            )
        ]

    def _score(self, genotype: Genotype, predicted: float) -> Score:
        known = self.table.listed(genotype)
        if known is not None and known.kind == self.table.kind:
            return Score(known.accuracy, None, self._percentile(known.accuracy), known.kind)
        reach = self.quality.reach
        interval = (max(0.0, predicted - reach), min(100.0, predicted + reach))
        return Score(predicted, interval, self._percentile(predicted), None)

    def _percentile(self, accuracy: float) -> float:
        """Those that are lower, and half of those that are equal."""
        lower, not_higher = (np.searchsorted(self.random, accuracy, side=side) for side in ("left", "right"))
        return float(100 * (lower + not_higher) / 2 / len(self.random))

    def _check(self, genotype: Genotype) -> None:
        check_searched(genotype)
        nodes, wanted = genotype.num_nodes("normal"), self.table.space.num_nodes
        if nodes != wanted:
            raise InputError(f"it has {nodes} nodes, but the cells of {self.table.path} have {wanted}")

    def words(self) -> list[str]:
        """What is to be said of the yardstick before any of its scores."""
        quality = self.quality
        lines = [
            *self.table.notes,
            f"regressor: Spearman's rank correlation {quality.rank_correlation:.3f}, mean absolute error "
            f"{quality.mean_error:.2f} points; 95 % of the predictions are within {quality.reach:.2f} points "
            f"(five-fold cross-validation on {quality.cells:,} cells)",
        ]
        if quality.rank_correlation < _POOR:
            lines.append("this regressor ranks cells poorly: do not trust its predictions on their own")
        return lines


def make_yardstick(
    path: Path, kind: str | None = None, column: str | None = None, say: Callable[[str], None] = print
) -> Yardstick:
    """The yardstick that a table makes (see `read_table`): fitted now, or as it was kept on this machine.

    Raises:
        InputError: scikit-learn is not installed, or the table cannot be used.
    """
    import_extra("sklearn", "score", "scoring cells")
    table = read_table(path, kind, column)
    file = cache_folder() / f"yardstick-{_fingerprint(table)}.joblib"
    if (kept := _kept(file)) is None:
        with one_at_a_time(file.parent):
            if (kept := _kept(file)) is None:
                say(f"fitting a regressor on {len(table.fitted):,} cells: once for this table, about half a minute")
                kept = _fitted(table)
                _keep(kept, file)
    return Yardstick(table, *kept)


_Kept = tuple[Regressor, NetworkCosts, Array]


def _fitted(table: CellTable) -> _Kept:
    costs = _costs(table.space)
    accuracies = np.array([cell.accuracy for cell in table.fitted])
    weights = np.array([cell.weight for cell in table.fitted])
    regressor = fit(features([cell.genotype for cell in table.fitted], costs), accuracies, weights)
    drawn = [random_genotype(table.space, seed) for seed in range(RANDOM_CELLS)]
    return regressor, costs, np.sort(regressor.predict(features(drawn, costs)))


def _costs(space: CellSpace) -> NetworkCosts:
    """Those of the paper's CIFAR-10 network."""
    from pcdarts.network.costs import network_costs  # PyTorch, which a report does without where this was kept

    return network_costs(
        space, kind="cifar", channels=36, num_cells=20, num_classes=10, image_channels=3, image_size=32
    )


def _fingerprint(table: CellTable) -> str:
    """Changes with the table, what was read from it, this code, and the libraries that read what is kept."""
    sklearn = import_extra("sklearn", "score", "scoring cells")
    versions = f"{pcdarts.__version__} {sklearn.__version__} {np.__version__} {platform.python_version()}"
    digest = hashlib.sha256(f"{table.checksum} {versions}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _kept(file: Path) -> _Kept | None:
    """None when there is no such file, a damaged one, or one that somebody else may have put there."""
    with suppress(Exception):  # reading a damaged one may fail in any way
        if is_private(file.parent) and file.stat().st_uid == file.parent.stat().st_uid:
            found: Any = import_module("joblib").load(file)
            if isinstance(found, tuple) and len(found) == 3 and isinstance(found[0], Regressor):
                return found
    return None


def _keep(kept: _Kept, file: Path) -> None:
    content = io.BytesIO()
    import_module("joblib").dump(kept, content)
    with suppress(OSError):  # the next start fits it again
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(content.getvalue(), file)
