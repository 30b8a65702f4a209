"""Intervals by the bootstrap over rows."""

import numpy as np
import pytest
import torch

from hpo.config.trial import ObjectiveConfig
from hpo.results.report.intervals import interval, resampled

N = 60


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    right = torch.rand(4000, generator=torch.Generator().manual_seed(0)) < 0.8
    logits = torch.where(right, -1.0, 1.0)[:, None]
    found = interval(
        resampled(ObjectiveConfig(metric="accuracy"), "binary", 2, [logits], torch.zeros(4000))[
            :, 0
        ]
    )
    share = right.double().mean().item()
    error = np.sqrt(share * (1 - share) / 4000)
    assert found.low == pytest.approx(share - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(share + 1.96 * error, abs=0.3 * error)


def test_draws_on_which_a_metric_has_no_value_are_left_out() -> None:
    found = interval(np.array([np.nan, 0.1, 0.2, 0.3, np.nan]), level=0.5)
    assert (found.low, found.high) == (pytest.approx(0.15), pytest.approx(0.25))
    assert interval(np.array([np.nan, np.nan])) is None


def test_models_are_compared_on_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    y, noise = torch.from_numpy(np.random.default_rng(0).normal(size=(2, N)))
    values = (y + noise)[:, None]
    models = [values, values, values * 1.5]
    once = resampled(ObjectiveConfig(metric="rmse"), "regression", 0, models, y)
    assert once.shape == (400, 3)
    assert (once[:, 0] == once[:, 1]).all()
    assert (once[:, 0] != once[:, 2]).all()
    assert np.std(once[:, 0]) > 0
    monkeypatch.setattr("hpo.results.report.intervals._CELLS", 7 * N)  # in blocks of seven draws
    blocks = resampled(ObjectiveConfig(metric="rmse"), "regression", 0, models, y)
    np.testing.assert_allclose(blocks, once, rtol=1e-12)


def test_a_row_keeps_its_weight_in_every_draw() -> None:
    """A row without weight changes no draw, and a row of weight 2 counts as two rows would."""
    y = torch.arange(float(N), dtype=torch.float64)
    values, weights = (y + y.sin())[:, None], torch.ones(N, dtype=torch.float64)
    weights[:30] = 0.0
    found = resampled(ObjectiveConfig(metric="mae"), "regression", 0, [values], y, weights)
    spoilt = torch.where(weights > 0, y, -y)
    assert (
        found
        == resampled(ObjectiveConfig(metric="mae"), "regression", 0, [values], spoilt, weights)
    ).all()
    assert (
        found == resampled(ObjectiveConfig(metric="mae"), "regression", 0, [values], y, 2 * weights)
    ).all()
    assert (found != resampled(ObjectiveConfig(metric="mae"), "regression", 0, [values], y)).any()
