"""What a temperature and a tuned threshold are worth on new rows.

    scripts/bench calibration temperature --seeds 5
    scripts/bench calibration threshold --seeds 5

`temperature` draws 600 rows of two noisy classes for each seed, and searches by accuracy and by log
loss. `threshold` draws 3,000 rows, of which 5 % are of the positive class, and searches by F1. The
winner and the ensemble predict on 20,000 new rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars
from benches.seeds import Outcome, Scenario, run
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, log_loss

from hpo.models.model import Predictor
from hpo.results.report.calibration import N_BINS, Reliability
from hpo.sklearn import MLPSearchClassifier

_N_NEW = 20_000
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


def main(arguments: Sequence[str]) -> None:
    """Print the means of a scenario over seeds."""
    run("calibration", __doc__, SCENARIOS, arguments)


def temperature(seed: int) -> Iterator[tuple[str, Outcome]]:
    """Searches by accuracy and by log loss, without and with a temperature."""
    for metric in ("accuracy", "log_loss"):
        for name, keys in (("", {}), (", calibrated", {"calibrate": "temperature"})):
            for which, model in _searched(metric, 600, 0.0, seed, keys):
                yield f"{metric}, {which}{name}", _measured(model, 0.0)


def threshold(seed: int) -> Iterator[tuple[str, Outcome]]:
    """Searches by F1, without and with a tuned threshold."""
    for name, keys in (("", {}), (", tuned", {"threshold": "tuned"})):
        for which, model in _searched("f1", 3000, -4.5, seed, keys):
            yield f"{which}{name}", _measured(model, -4.5)


SCENARIOS: dict[str, Scenario] = {"temperature": temperature, "threshold": threshold}


def _searched(
    metric: Any, n_rows: int, intercept: float, seed: int, keys: dict[str, Any]
) -> Iterator[tuple[str, Predictor]]:
    """The winner of a search, and its ensemble if that is better on validation."""
    search = MLPSearchClassifier(
        metric=metric,
        search_space=_SPACE,
        n_trials=6,
        max_epochs=40,
        val=0.25,
        random_state=seed,
        **keys,
    ).fit(*_draw(n_rows, intercept, seed))
    yield "winner", search.model_
    yield "ensemble", search.ensemble_ or search.model_


def _measured(model: Predictor, intercept: float) -> Outcome:
    X, y = _draw(_N_NEW, intercept, 1000)
    found, limit = model.predict(X), model.calibration.threshold
    probabilities = found.select("probability_0", "probability_1").to_numpy()
    return {
        "log loss": log_loss(y, probabilities),
        f"calibration error, {N_BINS} bins": Reliability.of(probabilities, y).error,
        "accuracy": accuracy_score(y, found["prediction"]),
        "F1": f1_score(y, found["prediction"]),
        "threshold": 0.5 if limit is None else limit,
        "temperature": model.calibration.temperature,
    }


def _draw(n_rows: int, intercept: float, seed: int) -> tuple[polars.DataFrame, NDArray[Any]]:
    """Rows, and classes with a probability that depends on five of the columns."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_rows, _N_COLUMNS))
    logits = intercept + 1.2 * X[:, 0] + X[:, 1] * X[:, 2] + np.sin(2 * X[:, 3]) + X[:, 4]
    y = generator.random(n_rows) < 1 / (1 + np.exp(-logits))
    return polars.DataFrame(X, schema=[f"x{at}" for at in range(_N_COLUMNS)]), y.astype(int)
