"""The reliability of probabilities in bins."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from hpo.results.report.calibration import N_BINS, Reliability, reliability_figure


def test_bins_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random(500)
    y = (generator.random(500) < positive**2).astype(int)
    found = Reliability.of(np.stack([1 - positive, positive], axis=1), y)
    observed, predicted = calibration_curve(y, positive, n_bins=N_BINS)
    assert found.predicted == pytest.approx(predicted)
    assert found.observed == pytest.approx(observed)
    assert found.counts.sum() == 500
    expected = (np.abs(predicted - observed) * found.counts).sum() / 500
    assert found.error == pytest.approx(expected)
    assert expected > 0.1


def test_a_weight_counts_a_row_as_often_and_ends_are_in_the_outer_bins() -> None:
    positive = np.array([0.0, 0.05, 0.5, 1.0, 1.0])
    y, weights = np.array([0, 1, 1, 1, 0]), np.array([1, 2, 1, 3, 1])
    both = np.stack([1 - positive, positive], axis=1)
    found = Reliability.of(both, y, weights)
    repeated = Reliability.of(both.repeat(weights, axis=0), y.repeat(weights))
    assert found.error == pytest.approx(repeated.error)
    assert found.observed == pytest.approx([2 / 3, 1, 3 / 4])
    assert found.counts.tolist() == [2, 1, 2]


def test_of_several_classes_the_likeliest_is_judged() -> None:
    outputs = np.array([[0.7, 0.2, 0.1], [0.1, 0.72, 0.18], [0.2, 0.1, 0.7], [0.25, 0.35, 0.4]])
    found = Reliability.of(outputs, np.array([0, 1, 0, 2]))
    assert found.predicted == pytest.approx([0.4, 2.12 / 3])
    assert found.observed == pytest.approx([1, 2 / 3])
    assert found.error == pytest.approx((0.6 + 3 * (2.12 / 3 - 2 / 3)) / 4)
    drawn = reliability_figure({"as trained": found}, "of the likeliest class")
    assert drawn.data[0].customdata.tolist() == drawn.data[1].y.tolist() == [1, 3]
