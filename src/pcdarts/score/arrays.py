"""Fitted models as plain arrays, which predict what scikit-learn's own objects predict, without scikit-learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CELLS_AT_ONCE = 1000
"""Predictions of so many cells and 500 trees take a few MB."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Regression trees of one depth whose answers are added to a constant.

    The children of a tree's node i are its nodes 2 i + 1 and 2 i + 2, as in a heap. A branch that ends early goes on
    to the left down to the last level.
    """

    start: Array
    """`[]`: the constant."""
    features: npt.NDArray[np.int64]
    """`[trees, 2^depth - 1]`: which feature a node asks for."""
    thresholds: Array
    """`[trees, 2^depth - 1]`: a larger value goes to the right."""
    values: Array
    """`[trees, 2^depth]`: the answers at the last level."""

    @classmethod
    def of(cls, model: Any) -> "Trees":
        """The arrays of a fitted `GradientBoostingRegressor` (squared error, features without NaN)."""
        trees = [tree.tree_ for [tree] in model.estimators_]
        depth = max(1, *(tree.max_depth for tree in trees))
        features, thresholds, values = (
            np.stack(arrays) for arrays in zip(*(_levels(tree, depth) for tree in trees), strict=True)
        )
        [start] = model.init_.predict(np.zeros((1, model.n_features_in_)))
        return cls(np.array(start), features, thresholds, model.learning_rate * values)

    def predict(self, features: Array) -> Array:
        """Predictions `[cells]` from features `[cells, features]`."""
        blocks = -(-len(features) // _CELLS_AT_ONCE)
        return np.concatenate([self._predict(block) for block in np.array_split(features, max(1, blocks))])

    def _predict(self, features: Array) -> Array:
        asked = features.astype(np.float32)  # scikit-learn's trees compare in this precision
        cells, trees = np.arange(len(asked))[:, np.newaxis], np.arange(len(self.values))
        node = np.zeros((len(cells), len(trees)), dtype=np.intp)
        for _ in range(self.values.shape[1].bit_length() - 1):
            right = asked[cells, self.features[trees, node]] > self.thresholds[trees, node]
            node = 2 * node + 1 + right
        answers = self.values[trees, node - self.features.shape[1]]
        answers = np.hstack([np.full((len(cells), 1), self.start), answers])
        return np.add.accumulate(answers, axis=1)[:, -1]  # one by one, as scikit-learn adds them: `sum` has other bits


def _levels(tree: Any, depth: int) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Features, thresholds and values of one tree as in `Trees`."""
    nodes = np.zeros(1, dtype=np.int64)
    features, thresholds = [], []
    for _ in range(depth):
        ends = tree.children_left[nodes] < 0
        features.append(np.where(ends, 0, tree.feature[nodes]))
        thresholds.append(np.where(ends, np.inf, tree.threshold[nodes]))
        children = (np.where(ends, nodes, side[nodes]) for side in (tree.children_left, tree.children_right))
        nodes = np.stack(list(children), axis=1).ravel()
    return np.concatenate(features), np.concatenate(thresholds), tree.value[nodes, 0, 0]


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear model of standardised features."""

    mean: Array
    """`[features]`."""
    scale: Array
    """`[features]`."""
    coefficients: Array
    """`[features]`."""
    intercept: Array
    """`[]`."""

    @classmethod
    def of(cls, scaler: Any, model: Any) -> "Linear":
        """The arrays of a fitted `StandardScaler` and a fitted linear model of what it returns."""
        return cls(scaler.mean_, scaler.scale_, model.coef_, np.array(model.intercept_))

    def predict(self, features: Array) -> Array:
        """Predictions `[cells]` from features `[cells, features]`."""
        return np.asarray((features - self.mean) / self.scale @ self.coefficients + self.intercept)
