"""The regressor of accuracies: it learns a rule, and its cross-validation says the truth."""

import numpy as np
import pytest

from pcdarts.score.regressor import Regressor, _fit_models, fit

CELLS, NOISE = 300, 0.5


def made_up(cells: int, seed: int):
    """Features and accuracies by a rule with a product in it, and noise."""
    draw = np.random.default_rng(seed)
    features = draw.integers(0, 4, (cells, 6)).astype(float)
    truth = 80 + features[:, 0] - features[:, 1] + features[:, 2] * features[:, 3] / 2
    return features, truth + draw.normal(0, NOISE, cells)


@pytest.fixture(scope="module")
def learnt() -> Regressor:
    features, accuracies = made_up(CELLS, seed=0)
    return fit(features, accuracies, np.ones(CELLS))


def test_cells_that_were_not_fitted_are_predicted_as_well_as_the_cross_validation_says(learnt):
    features, accuracies = made_up(4000, seed=1)
    errors = np.abs(learnt.predict(features) - accuracies)
    assert learnt.quality.cells == CELLS
    assert learnt.quality.mean_error == pytest.approx(errors.mean(), rel=0.2)
    assert NOISE * 0.8 < errors.mean() < NOISE * 1.4  # 0.8 is all that the noise leaves
    assert learnt.quality.rank_correlation > 0.9


def test_the_interval_holds_95_of_100_true_accuracies(learnt):
    features, accuracies = made_up(4000, seed=2)
    within = np.abs(learnt.predict(features) - accuracies) <= learnt.quality.reach
    assert 0.92 < within.mean() < 0.98


def test_where_there_is_nothing_to_learn_the_cross_validation_says_so():
    features, _ = made_up(200, seed=3)
    features = np.hstack(
        [features, np.arange(200.0)[:, None]]
    )  # what would tell cells apart, if any were in both parts
    accuracies = np.random.default_rng(4).normal(90, 1, 200)
    quality = fit(features, accuracies, np.ones(200)).quality
    assert abs(quality.rank_correlation) < 0.25
    assert quality.mean_error > 0.7


def test_cells_of_little_weight_teach_little():
    features, accuracies = made_up(100, seed=5)
    wrong = np.arange(100) % 2 == 1
    accuracies = np.where(wrong, 165 - accuracies, accuracies)
    weights = np.where(wrong, 1e-6, 1.0)
    new, truth = made_up(2000, seed=6)
    scaled = fit(features, accuracies, 1e6 * weights)
    weighted, alike = (  # whose quality, five of six parts of the work, nobody asks for
        Regressor(*_fit_models(features, accuracies, by), scaled.quality)
        for by in (weights / weights.mean(), np.ones(100))
    )
    errors, errors_alike = (np.abs(learnt.predict(new) - truth).mean() for learnt in (weighted, alike))
    assert errors < 0.75 * errors_alike
    assert scaled.predict(new) == pytest.approx(weighted.predict(new), abs=1e-6)  # only compared with others


def test_predictions_are_percentages(learnt):
    """Far from all cells its linear model knows no limits."""
    far = np.outer([-1000.0, 1000.0], np.eye(6)[0])
    assert learnt.linear.predict(far)[0] < -200
    assert learnt.linear.predict(far)[1] > 400
    assert learnt.predict(far).tolist() == [0, 100]
