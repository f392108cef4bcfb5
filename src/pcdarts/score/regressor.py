"""A regressor that predicts the accuracy of a cell from its features: fitted on a table and cross-validated."""

import math
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from pcdarts.extras import import_extra
from pcdarts.score.arrays import Array, Linear, Trees

_FOLDS = 5
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Quality:
    """The quality of predictions for cells outside the training data, by five-fold cross-validation on the table."""

    cells: int
    rank_correlation: float
    """Spearman's, of predicted and true accuracies."""
    mean_error: float
    """Mean absolute error, in points of accuracy."""
    reach: float
    """Half the width of the interval around a prediction that contains 95 % of the true accuracies."""


@dataclass(frozen=True, eq=False)
class Regressor:
    """The mean of boosted trees and a linear model."""

    trees: Trees
    linear: Linear
    quality: Quality

    def predict(self, features: Array) -> Array:
        """Accuracies in %, `[cells]`, from features `[cells, features]`."""
        return _predict(self.trees, self.linear, features)


def fit(features: Array, accuracies: Array, weights: Array) -> Regressor:
    """Fit the regressor; its quality is that of predicting each fifth of the cells from all others.

    Args:
        features: `[cells, features]`.
        accuracies: `[cells]`, in %.
        weights: `[cells]`, relative.

    Raises:
        InputError: scikit-learn is not installed.
    """
    selection = import_extra("sklearn.model_selection", "score", "scoring cells")
    from scipy.stats import spearmanr

    weights = weights / weights.mean()  # because the linear model's penalty has a fixed scale
    predicted = np.empty_like(accuracies)
    for others, fold in selection.KFold(_FOLDS, shuffle=True, random_state=0).split(features):
        predicted[fold] = _predict(*_fit_models(features[others], accuracies[others], weights[others]), features[fold])
    errors = np.abs(predicted - accuracies)
    count = len(errors)
    constant = np.ptp(predicted) == 0 or np.ptp(accuracies) == 0
    quality = Quality(
        cells=count,
        rank_correlation=0.0 if constant else float(spearmanr(predicted, accuracies).statistic),
        mean_error=float(errors.mean()),
        reach=float(np.sort(errors)[min(count, math.ceil(_CONFIDENCE * (count + 1))) - 1]),
    )
    return Regressor(*_fit_models(features, accuracies, weights), quality)


def _predict(trees: Trees, linear: Linear, features: Array) -> Array:
    return np.clip((trees.predict(features) + linear.predict(features)) / 2, 0.0, 100.0)


def _fit_models(features: Array, accuracies: Array, weights: Array) -> tuple[Trees, Linear]:
    ensemble, linear_model, preprocessing = (
        import_module(f"sklearn.{name}") for name in ("ensemble", "linear_model", "preprocessing")
    )
    trees = ensemble.GradientBoostingRegressor(
        n_estimators=500, learning_rate=0.05, max_depth=4, subsample=0.5, max_features=0.3, random_state=0
    )
    scaler = preprocessing.StandardScaler()
    linear = linear_model.RidgeCV(np.logspace(0, 4, 9))
    trees.fit(features, accuracies, sample_weight=weights)
    linear.fit(scaler.fit_transform(features), accuracies, sample_weight=weights)
    return Trees.of(trees), Linear.of(scaler, linear)
