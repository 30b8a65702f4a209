"""Baselines learn a planted signal on the study's split, and their notes name a limit."""

import numpy as np
import polars as pl
import pytest

from hpo.config.trial import DataConfig, ObjectiveConfig
from hpo.data.dataset import Dataset, load_dataset
from hpo.results.report import baselines
from hpo.results.report.baselines import fit_baselines
from tests.support.models import typed
from tests.support.training import ANY


def planted(task: str, n: int = 600) -> Dataset:
    """Numbers, some of them missing, and texts, which decide the target together."""
    rng = np.random.default_rng(0)
    x, kind = rng.normal(size=n), rng.integers(0, 300, n)
    signal = 3 * x + 5 * (kind % 2)
    target = signal if task == "regression" else np.where(signal > 2.5, "yes", "no")
    if task == "multiclass":
        target = np.array(["low", "middle", "high"])[np.digitize(signal, [0.0, 5.0])]
    frame = pl.DataFrame(
        {
            "x": pl.Series(x),
            "gappy": pl.Series(np.where(kind % 3 == 0, None, 1.0).tolist(), dtype=pl.Float64),
            "empty": pl.Series([None] * n, dtype=pl.Float64),
            "kind": pl.Series([f"{value % 2}-{value // 100}" for value in kind]),
            "name": pl.Series([f"name {value}" for value in kind]),
            "y": pl.Series(target),
        }
    )
    data = DataConfig(source="t", target="y", task=task)  # type: ignore[arg-type]
    return load_dataset(typed(frame, data), data)


@pytest.mark.parametrize(
    ("task", "metric", "least"),
    [("regression", "r2", 0.9), ("binary", "accuracy", 0.85), ("multiclass", "accuracy", 0.8)],
)
def test_both_find_what_was_planted(task: str, metric: str, least: float) -> None:
    boosting, linear = fit_baselines(planted(task), ANY)
    for found in (boosting, linear):
        assert found.metrics["validation"][metric] > least, found
        assert found.metrics["test"][metric] > least, found
        assert found.metrics["validation"] != found.metrics["test"]
    assert ", 100 iterations; fitted in " in boosting.note
    assert linear.note.startswith("Ridge" if task == "regression" else "LogisticRegression")


def test_limits_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_DESCENTS_A_STEP", 2)
    boosting, linear = fit_baselines(planted("binary"), ANY, max_rows=100, max_seconds=0.0)
    assert boosting.note.startswith(
        "100 of the 420 training rows; HistGradientBoostingClassifier, 10 iterations, "
        "stopped by the time limit; fitted in "
    )
    assert linear.note.startswith(
        "100 of the 420 training rows; LogisticRegression, C = 1, 2 iterations, not converged; "
    )


def test_a_quantile_is_that_of_the_objective() -> None:
    dataset = planted("regression")
    objective = ObjectiveConfig(metric="pinball", quantile=0.9)
    of_mean = fit_baselines(dataset, ObjectiveConfig(metric="rmse"))
    for found, other in zip(fit_baselines(dataset, objective), of_mean, strict=True):
        errors = found.metrics["validation"]
        assert "pinball" in errors
        assert errors["rmse"] > other.metrics["validation"]["rmse"]


def test_for_rmsle_they_learn_logarithms() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(3, 1500)), rng.normal(size=1500)
    y = np.exp(1 + x[0] + 0.5 * x[1] * x[2] + 0.8 * noise)
    data = DataConfig(source="t", target="y")
    frame = pl.DataFrame({"a": x[0], "b": x[1], "c": x[2], "y": y})
    dataset = load_dataset(typed(frame, data), data)
    of_mean = fit_baselines(dataset, ObjectiveConfig(metric="rmse"))
    of_log = fit_baselines(dataset, ObjectiveConfig(metric="rmsle"))
    for found, other in zip(of_log, of_mean, strict=True):
        for part in ("validation", "test"):
            assert found.metrics[part]["rmsle"] < 0.95 * other.metrics[part]["rmsle"]
        assert " for log(1 + y); fitted in " in found.note


def test_weights_are_those_of_the_trials() -> None:
    """A tenth of the rows has nearly all of the weight, and there the label is the other one."""
    rng = np.random.default_rng(0)
    x, is_heavy = rng.normal(size=600), np.arange(600) % 10 == 0
    columns = {
        "x": x,
        "y": np.where((x > 0) ^ is_heavy, "yes", "no"),
        "w": np.where(is_heavy, 100.0, 0.01),
    }
    data = DataConfig(source="t", target="y", weight="w")
    dataset = load_dataset(typed(pl.DataFrame(columns), data), data)
    for found in fit_baselines(dataset, ANY):
        assert found.metrics["validation"]["accuracy"] > 0.9, found
        assert found.metrics["test"]["accuracy"] > 0.9, found
