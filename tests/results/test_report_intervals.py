"""Weighted metrics are those of the training's own functions on rows drawn again and again."""

import numpy as np
import pytest
import torch

from hpo.config.trial import METRICS, Task
from hpo.results.report.intervals import interval, resampled, score
from hpo.training import evaluate

N = 60


def outputs_of(task: Task, seed: int = 0) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Targets, what a model says of them, and the logits by which it says so; some tie."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        y = rng.normal(size=N)
        values = y + rng.normal(size=N)
        return y, values, torch.from_numpy(values)[:, None]
    n = 2 if task == "binary" else 4
    y = rng.integers(0, n, N)
    logits = torch.from_numpy(np.round(rng.normal(size=(N, n)) + 1.5 * np.eye(n)[y], 1))
    if task == "binary":
        logits[:, 0] = 0.0
    probabilities = logits.softmax(dim=1).numpy()
    return y, probabilities, logits[:, 1:] if task == "binary" else logits


@pytest.mark.parametrize(
    ("task", "metric"),
    [(task, name) for name, metric in METRICS.items() for task in metric.tasks],
)
def test_a_weight_counts_a_row_as_often(task: Task, metric: str) -> None:
    y, outputs, logits = outputs_of(task)
    rng = np.random.default_rng(1)
    weights = np.stack([np.ones(N), *rng.multinomial(N, [1 / N] * N, size=3)]).astype(float)
    found = score(metric, task, weights, outputs, y)  # type: ignore[arg-type]
    for value, row in zip(found, weights, strict=True):
        rows = torch.from_numpy(np.repeat(np.arange(N), row.astype(int)))
        truth = torch.from_numpy(y)[rows]
        wanted = evaluate(task, outputs.ndim and outputs.shape[-1], logits[rows], truth, 0.0, 1.0)
        assert value == pytest.approx(wanted[metric], abs=1e-9)


def test_rows_that_all_are_of_one_class_rank_nothing() -> None:
    weights, y = np.ones((1, 3)), np.array([1, 1, 1])
    outputs = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    assert np.isnan(score("roc_auc", "binary", weights, outputs, y)).all()
    assert score("balanced_accuracy", "binary", weights, outputs, y) == [pytest.approx(1 / 3)]
    assert score("r2", "regression", weights, np.array([1.0, 1, 1]), y) == [1.0]
    assert score("r2", "regression", weights, np.array([1.0, 1, 2]), y) == [0.0]


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    rng = np.random.default_rng(0)
    y = np.zeros(4000, dtype=int)
    right = rng.random(4000) < 0.8
    outputs = np.stack([right, ~right], axis=1).astype(float)
    found = interval(resampled("accuracy", "binary", y, [outputs])[:, 0])
    error = np.sqrt(right.mean() * (1 - right.mean()) / 4000)
    assert found.low == pytest.approx(right.mean() - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(right.mean() + 1.96 * error, abs=0.3 * error)


def test_draws_on_which_a_metric_has_no_value_are_left_out() -> None:
    found = interval(np.array([np.nan, 0.1, 0.2, 0.3, np.nan]), level=0.5)
    assert (found.low, found.high) == (pytest.approx(0.15), pytest.approx(0.25))
    assert interval(np.array([np.nan, np.nan])) is None


def test_models_are_compared_on_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    y, outputs, _ = outputs_of("regression")
    once = resampled("rmse", "regression", y, [outputs, outputs, outputs * 1.5])
    assert once.shape == (400, 3)
    assert (once[:, 0] == once[:, 1]).all()
    assert (once[:, 0] != once[:, 2]).all()
    assert np.std(once[:, 0]) > 0
    monkeypatch.setattr("hpo.results.report.intervals.CELLS", 7 * N)  # in blocks of seven draws
    blocks = resampled("rmse", "regression", y, [outputs, outputs, outputs * 1.5])
    np.testing.assert_allclose(blocks, once, rtol=1e-12)
