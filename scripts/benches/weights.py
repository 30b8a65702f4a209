"""Weights of rows and of classes: what they change on new rows.

    scripts/bench weights rows --seeds 5
    scripts/bench weights classes --seeds 5

`rows` measures a rate on 600 objects, each for its own time. The shorter the time, the noisier the
rate. Searches choose by RMSE, and are compared with the true rates of 20,000 new objects.

`classes` draws 1,500 rows, of which one in 13 is positive, with noisy labels. Searches choose by
ROC AUC, and are measured on 20,000 new rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from benches.seeds import Outcome, Scenario, run
from numpy.typing import NDArray
from sklearn import metrics

from hpo.sklearn import MLPSearchClassifier, MLPSearchRegressor

Floats = NDArray[np.float64]
N_OBJECTS, N_ROWS, N_NEW, N_COLUMNS = 600, 1_500, 20_000, 6
SEARCH = {"search_space": "mlp_small", "n_trials": 10, "max_epochs": 60, "val": 0.25}


def main(arguments: Sequence[str]) -> None:
    """Print the means of a scenario over seeds."""
    run("weights", __doc__, SCENARIOS, arguments)


def rows(seed: int) -> Iterator[tuple[str, Outcome]]:
    """RMSE of searches with and without the times as weights."""
    generator = np.random.default_rng(seed)
    x, new = (generator.normal(size=(n, N_COLUMNS)) for n in (N_OBJECTS, N_NEW))
    times = generator.uniform(0.02, 1, N_OBJECTS) ** 2
    measured = _signal(x) + generator.normal(size=N_OBJECTS) * 0.5 / np.sqrt(times)
    for name, weight in (("without weights", None), ("`weight` = time", times)):
        search = MLPSearchRegressor(**SEARCH, metric="rmse", random_state=seed)
        predicted = search.fit(x, measured, weight).predict(new)
        yield name, {"RMSE on new rows": metrics.root_mean_squared_error(_signal(new), predicted)}


def classes(seed: int) -> Iterator[tuple[str, Outcome]]:
    """Metrics of searches with and without balanced classes."""
    generator = np.random.default_rng(seed)
    x, new = (generator.normal(size=(n, N_COLUMNS)) for n in (N_ROWS, N_NEW))
    y, truth = (_signal(each) + generator.normal(size=len(each)) > 2.6 for each in (x, new))
    choices: dict[str, dict[str, Any]] = {
        "without weights": {},
        '`class_weight = "balanced"`': {"class_weight": "balanced"},
    }
    for name, choice in choices.items():
        search = MLPSearchClassifier(**SEARCH, metric="roc_auc", random_state=seed, **choice)
        probability = search.fit(x, y).predict_proba(new)[:, 1]
        predicted = probability > 0.5
        yield (
            name,
            {
                "recall": metrics.recall_score(truth, predicted),
                "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
                "f1": metrics.f1_score(truth, predicted),
                "roc_auc": metrics.roc_auc_score(truth, probability),
                "accuracy": metrics.accuracy_score(truth, predicted),
                "log_loss": metrics.log_loss(truth, probability),
            },
        )


SCENARIOS: dict[str, Scenario] = {"rows": rows, "classes": classes}


def _signal(x: Floats) -> Floats:
    signal: Floats = x[:, 0] + np.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3]
    return signal
