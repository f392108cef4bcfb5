"""The arrays of fitted models predict what scikit-learn's own objects predict."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pcdarts.score.arrays import Linear, Trees


def drawn(cells: int, seed: int) -> np.ndarray:
    """Counts, large numbers close together as mult-adds are, small fractions, and a column of one value."""
    draw = np.random.default_rng(seed)
    large = 500_000_000 + draw.integers(0, 200, cells)  # in single precision many of them are equal
    return np.stack([*draw.integers(0, 4, (3, cells)), large, draw.normal(0, 1e-3, cells), np.full(cells, 7)], axis=1)


def accuracies_of(features: np.ndarray) -> np.ndarray:
    return 80 + features[:, 0] * features[:, 1] - features[:, 2] + (features[:, 3] - 5e8) / 100 + 500 * features[:, 4]


@pytest.mark.parametrize(
    ("cells", "settings"),
    [
        (400, {"max_depth": 4, "subsample": 0.5, "max_features": 0.5, "n_estimators": 100}),
        (6, {"max_depth": 4, "n_estimators": 20}),  # branches end before the last level
        (50, {"max_depth": 1, "n_estimators": 20}),
    ],
)
def test_trees_predict_what_those_of_scikit_learn_do(cells, settings):
    features, new = drawn(cells, seed=0), drawn(2500, seed=1)  # more than are predicted at once
    model = GradientBoostingRegressor(learning_rate=0.05, random_state=0, **settings)
    model.fit(features, accuracies_of(features), sample_weight=np.linspace(1, 2, cells))
    trees = Trees.of(model)
    found = trees.predict(new)
    assert found == pytest.approx(model.predict(new), rel=0, abs=1e-10)
    assert np.ptp(found) > 1
    assert np.concatenate([trees.predict(row[np.newaxis]) for row in new[:50]]).tolist() == found[:50].tolist()


def test_trees_that_found_nothing_to_learn_predict_the_mean():
    model = GradientBoostingRegressor(max_depth=4, n_estimators=3).fit(drawn(20, seed=0), np.full(20, 91.5))
    assert {tree.tree_.node_count for [tree] in model.estimators_} == {1}
    assert Trees.of(model).predict(drawn(5, seed=1)).tolist() == [91.5] * 5


def test_the_linear_model_predicts_what_that_of_scikit_learn_does():
    features, new = drawn(100, seed=0), drawn(2500, seed=1)
    pipeline = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
    pipeline.fit(features, accuracies_of(features), ridgecv__sample_weight=np.linspace(1, 2, 100))
    found = Linear.of(*pipeline).predict(new)
    assert found == pytest.approx(pipeline.predict(new), rel=0, abs=1e-10)
    assert np.ptp(found) > 1


def test_no_cells_have_no_predictions():
    model = GradientBoostingRegressor(max_depth=2, n_estimators=3).fit(drawn(20, seed=0), np.arange(20.0))
    assert Trees.of(model).predict(drawn(0, seed=1)).shape == (0,)
