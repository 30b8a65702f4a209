"""Scikit-learn's gradient boosting and a linear model, by their defaults on the study's own split.

They see what the trials see: the same columns, fitted on the training part alone. Each has a limit
of rows and of seconds; what came of it is said.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from hpo.data.dataset import Dataset, Part
from hpo.training.metrics import evaluate

Floats = NDArray[np.float64]
MAX_ROWS = 100_000
MAX_SECONDS = 30.0
N_TREES, TREES_A_STEP = 100, 10
N_DESCENTS, DESCENTS_A_STEP = 500, 100
FEW_CELLS = 1_000_000
"""Cells of a training part up to which one thread is as fast as many, and faster on busy cores."""
N_NATIVE = 254
"""Categories that scikit-learn's trees tell apart in a column; rarer ones count as missing."""
SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A fitted baseline.

    Attributes:
        note: how it was fitted, and which limit it met.
        metrics: `validation` and `test`, each by metric; without those that have no value there.
    """

    name: str
    note: str
    seconds: float
    metrics: dict[str, dict[str, float]]


def fit_baselines(
    dataset: Dataset, *, max_rows: int = MAX_ROWS, max_seconds: float = MAX_SECONDS
) -> list[Baseline]:
    """Fit both on the training part.

    Args:
        dataset: the study's.
        max_rows: of the training part; of more, so many are drawn.
        max_seconds: for each, looked at between a few dozen iterations.
    """
    train, n_rows = dataset.part("train"), len(dataset.split.train)
    drawn = ""
    if n_rows > max_rows:
        rows = np.random.default_rng(0).choice(n_rows, max_rows, replace=False)
        train = Part(*(tensor[torch.from_numpy(np.sort(rows))] for tensor in train))
        drawn = f"{max_rows:,} of the {n_rows:,} training rows; "
    x, y = _matrix(train), train.y.numpy()
    with threadpool_limits(1 if x.size <= FEW_CELLS else None):
        return [
            _fitted(dataset, x, y, name, fit, drawn, max_seconds)
            for name, fit in (("gradient boosting", _boosting), ("linear model", _linear))
        ]


Fitted = tuple[Callable[[Floats], Floats], str]
"""What predicts (rows,) values or (rows, n_classes) probabilities, and how it was fitted."""
Fit = Callable[[Dataset, Floats, NDArray[Any], float], Fitted]


def _fitted(
    dataset: Dataset,
    x: Floats,
    y: NDArray[Any],
    name: str,
    fit: Fit,
    drawn: str,
    max_seconds: float,
) -> Baseline:
    began = time.perf_counter()
    predict, note = fit(dataset, x, y, began + max_seconds)
    seconds = time.perf_counter() - began
    parts = {"validation": dataset.part("val"), "test": dataset.part("test")}
    metrics = {
        said: _evaluate(dataset, predict, part) for said, part in parts.items() if len(part.y)
    }
    return Baseline(name=name, note=drawn + note, seconds=seconds, metrics=metrics)


def _boosting(dataset: Dataset, x: Floats, y: NDArray[Any], deadline: float) -> Fitted:
    n_numeric = len(dataset.schema.numbers)
    known = [_frequent(column) for column in x[:, n_numeric:].T]
    empty = np.flatnonzero(np.isnan(x).all(axis=0))  # which the trees would stumble over
    kind = _kind(dataset, HistGradientBoostingRegressor, HistGradientBoostingClassifier)
    trees = kind(
        max_iter=0,
        early_stopping=False,
        warm_start=True,
        random_state=0,
        categorical_features=list(range(n_numeric, x.shape[1])),
    )

    def renumbered(rows: Floats) -> Floats:
        """Categories by their rank in training; NaN where the trees do not know them."""
        rows = rows.copy()
        rows[:, empty] = 0.0
        for at, values in enumerate(known, start=n_numeric):
            place = np.searchsorted(values, rows[:, at]).clip(max=len(values) - 1)
            rows[:, at] = np.where(values[place] == rows[:, at], place, np.nan)
        return rows

    ready = renumbered(x)
    while trees.max_iter < N_TREES and (trees.max_iter == 0 or time.perf_counter() < deadline):
        trees.set_params(max_iter=trees.max_iter + TREES_A_STEP)
        trees.fit(ready, y)
    limit = "" if trees.max_iter == N_TREES else ", when its time was up"
    note = f"{kind.__name__}, {trees.max_iter} iterations{limit}"
    return lambda rows: _outputs(trees, renumbered(rows), dataset), note


def _linear(dataset: Dataset, x: Floats, y: NDArray[Any], deadline: float) -> Fitted:
    prepare = _prepared(dataset)
    ready = prepare.fit_transform(x)
    if dataset.schema.task == "regression":
        ridge = Ridge().fit(ready, y)
        return lambda rows: _outputs(ridge, prepare.transform(rows), dataset), "Ridge, alpha = 1"
    model = LogisticRegression(max_iter=DESCENTS_A_STEP, warm_start=True)
    n_done, limit = 0, ", not converged"
    while n_done < N_DESCENTS and (n_done == 0 or time.perf_counter() < deadline):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(ready, y)
        n_done += int(model.n_iter_.max())
        if model.n_iter_.max() < DESCENTS_A_STEP:
            limit = ""
            break
    note = f"LogisticRegression, C = 1, {n_done} iterations{limit}"
    return lambda rows: _outputs(model, prepare.transform(rows), dataset), note


def _prepared(dataset: Dataset) -> ColumnTransformer:
    """Numbers scaled, their gaps filled by the median and marked; categories one-hot."""
    n_numeric, n_text = len(dataset.schema.numbers), len(dataset.schema.categorical)
    numbers: Pipeline = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    places = np.arange(n_numeric + n_text)
    return ColumnTransformer(
        [
            ("numbers", numbers, places[:n_numeric]),
            ("categories", OneHotEncoder(handle_unknown="ignore"), places[n_numeric:]),
        ]
    )


def _matrix(part: Part) -> Floats:
    return np.concatenate([part.x_num.numpy(), part.x_cat.numpy()], axis=1).astype(float)


def _frequent(column: Floats) -> Floats:
    """The most frequent values of a column, ascending."""
    values, counts = np.unique(column, return_counts=True)
    return np.sort(values[np.argsort(-counts, kind="stable")[:N_NATIVE]])


def _kind(dataset: Dataset, regressor: Any, classifier: Any) -> Any:
    return regressor if dataset.schema.task == "regression" else classifier


def _outputs(model: Any, rows: Any, dataset: Dataset) -> Floats:
    if dataset.schema.task == "regression":
        return np.asarray(model.predict(rows), dtype=float)
    outputs = np.zeros((rows.shape[0], len(dataset.schema.classes)))
    outputs[:, model.classes_.astype(int)] = model.predict_proba(rows)
    return outputs


def _evaluate(
    dataset: Dataset, predict: Callable[[Floats], Floats], part: Part
) -> dict[str, float]:
    """Every metric that has a value on the part, by the functions that measure the trials."""
    outputs = torch.from_numpy(predict(_matrix(part)))
    schema = dataset.schema
    if schema.task == "regression":
        return evaluate(schema.task, 0, outputs[:, None], part.y, 0.0, 1.0)
    logits = outputs.clip(min=SMALLEST).log()
    if schema.task == "binary":
        logits = logits[:, 1:] - logits[:, :1]
    return evaluate(schema.task, len(schema.classes), logits, part.y, 0.0, 1.0)
