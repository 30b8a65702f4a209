"""What a temperature and a tuned threshold are worth on fresh rows, over several seeds.

Small noisy tables are drawn from known probabilities. Each is searched with and without the key,
and the best trial and the ensemble predict on 20,000 fresh rows.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, log_loss

from hpo.models.model import Predictor
from hpo.results.report.calibration import Reliability
from hpo.sklearn import MLPSearchClassifier

_N_FRESH = 20_000
_N_COLUMNS = 10
_SPACE = {
    "model": {
        "depth": 2,
        "width": {"type": "int", "low": 32, "high": 128},
        "dropout": {"type": "float", "low": 0.0, "high": 0.3},
    },
    "optimizer": {
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True},
    },
}
_LOG_LOSS: dict[str, dict[str, Any]] = {"off": {}, "temperature": {"calibrate": "temperature"}}
_F1: dict[str, dict[str, Any]] = {"off": {}, "tuned": {"threshold": "tuned"}}
_CASES = (
    ("accuracy", 600, 0.0, _LOG_LOSS),
    ("log_loss", 600, 0.0, _LOG_LOSS),
    ("f1", 3000, -4.5, _F1),
)
"""Metric of the search, rows, intercept of the true logits, and the settings to compare."""


def main(arguments: Sequence[str]) -> None:
    """Print a line for each metric, setting and model."""
    parser = argparse.ArgumentParser(prog="scripts/bench calibration", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n-trials", type=int, default=6)
    given = parser.parse_args(arguments)
    print(
        f"{'search by':9}  {'key':11}  {'model':8}  metrics on fresh rows, mean and sd over seeds"
    )
    for metric, n_rows, intercept, settings in _CASES:
        for name, keys in settings.items():
            found: dict[str, list[list[float]]] = {"single": [], "ensemble": []}
            for seed in range(given.seeds):
                search = MLPSearchClassifier(
                    metric=metric,
                    search_space=_SPACE,
                    n_trials=given.n_trials,
                    max_epochs=40,
                    val=0.25,
                    random_state=seed,
                    **keys,
                ).fit(*_draw(n_rows, intercept, seed))
                fresh = _draw(_N_FRESH, intercept, 1000)
                found["single"].append(_measured(search.model_, *fresh))
                found["ensemble"].append(_measured(search.ensemble_ or search.model_, *fresh))
            for model, values in found.items():
                mean, sd = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
                said = ", ".join(
                    f"{measured} {m:.3f} ± {s:.3f}"
                    for measured, m, s in zip(_MEASURED, mean, sd, strict=True)
                )
                print(f"{metric:9}  {name:11}  {model:8}  {said}", flush=True)


_MEASURED = ("log_loss", "ece", "accuracy", "f1", "threshold", "temperature")


def _measured(model: Predictor, X: polars.DataFrame, y: NDArray[Any]) -> list[float]:
    found = model.predict(X)
    predicted = found["prediction"].to_numpy()
    probabilities = found.select("probability_0", "probability_1").to_numpy()
    threshold = model.calibration.threshold
    return [
        log_loss(y, probabilities),
        Reliability.of(probabilities, y).error,
        accuracy_score(y, predicted),
        f1_score(y, predicted),
        0.5 if threshold is None else threshold,
        model.calibration.temperature,
    ]


def _draw(n_rows: int, intercept: float, seed: int) -> tuple[polars.DataFrame, NDArray[Any]]:
    """Rows, and classes with a probability that depends on some columns."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_rows, _N_COLUMNS))
    logits = intercept + 1.2 * X[:, 0] + X[:, 1] * X[:, 2] + np.sin(2 * X[:, 3]) + X[:, 4]
    y = generator.random(n_rows) < 1 / (1 + np.exp(-logits))
    return polars.DataFrame(X, schema=[f"x{at}" for at in range(_N_COLUMNS)]), y.astype(int)
