"""Baselines: scikit-learn's gradient boosting and a linear model with their defaults.

They get what the trials get: the same columns, fitted on the training part alone, or in each fold.
They follow the objective, but not how trials learn: they predict its quantile, the exponential of
a mean logarithm where the metric is rmsle, otherwise the mean, whatever the losses and transforms
of the trials. Each has a limit of rows and of seconds; its note says which limit it met.
"""

import time
import warnings
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from hpo.config.trial import ObjectiveConfig
from hpo.data.dataset import Dataset, Part, PartName
from hpo.models.ensemble import as_logits
from hpo.results.report.comparison import ComparedModel
from hpo.training.metrics import evaluate

Floats = NDArray[np.float64]
_MAX_ROWS = 100_000
_MAX_SECONDS = 30.0
_N_TREES, _TREES_A_STEP = 100, 10
_N_DESCENTS, _DESCENTS_A_STEP = 500, 100
_FEW_CELLS = 1_000_000
"""Cells of a training part up to which one thread is as fast as many, and faster on busy cores."""
_MAX_CATEGORIES = 255
"""Categories of a column that the trees tell apart; the rarest share a code."""

_Training = tuple[Floats, NDArray[Any], Floats | None]
"""Rows, targets and weights in the loss."""
_Fitted = tuple[ColumnTransformer, Any, str]
"""A fitted preparation of the columns, a fitted estimator, and a note on how it was fitted."""


def fit_baselines(
    dataset: Dataset,
    objective: ObjectiveConfig,
    *,
    max_rows: int = _MAX_ROWS,
    max_seconds: float = _MAX_SECONDS,
) -> list[ComparedModel]:
    """Fit both baselines on the training part, and measure them on the others.

    Args:
        dataset: the study's.
        objective: the study's.
        max_rows: rows of the training part to use; they are drawn at random.
        max_seconds: for each baseline, checked every few dozen iterations.
    """
    fits = {"gradient boosting": _boosting, "linear model": _linear}
    folds = dataset.folds
    is_log = objective.metric == "rmsle"
    trains = [_training(fold, max_rows, is_log=is_log) for fold in folds]
    n_rows, drawn = len(folds[0].rows("train")), ""
    if n_rows > max_rows:
        drawn = f"{max_rows:,} of the {n_rows:,} training rows; "
    of_each = f" in each of {len(folds)} folds" if len(folds) > 1 else ""
    found = []
    with threadpool_limits(1 if trains[0][0].size <= _FEW_CELLS else None):
        for name, fit in fits.items():
            started = time.perf_counter()
            predicted: dict[PartName, list[Floats]] = {"val": [], "test": []}
            for number, (fold, train) in enumerate(zip(folds, trains, strict=True), 1):
                deadline = started + max_seconds * number / len(folds)
                prepare, model, note = fit(fold, objective.quantile, *train, deadline)
                for part, outputs in predicted.items():
                    if len(x := _matrix(fold.part(part))):
                        own = _outputs(fold, model, prepare.transform(x))
                        outputs.append(np.expm1(own) if is_log else own)
            seconds = time.perf_counter() - started
            together = np.concatenate(predicted["val"])
            metrics = {"validation": _metrics(dataset, objective, together, dataset.part("val"))}
            if predicted["test"]:
                mean = np.mean(predicted["test"], axis=0)
                metrics["test"] = _metrics(dataset, objective, mean, dataset.part("test"))
            note += " for log(1 + y)" if is_log else ""
            note = f"{drawn}{note}{of_each}; fitted in {seconds:.1f} s"
            found.append(ComparedModel(name=name, kind="baseline", note=note, metrics=metrics))
    return found


def _training(dataset: Dataset, max_rows: int, *, is_log: bool) -> _Training:
    """The training part, or so many rows of it, with targets or with log(1 + target)."""
    train, weights = dataset.part("train"), dataset.loss_weights()
    if (n_rows := len(train.y)) > max_rows:
        rows = np.random.default_rng(0).choice(n_rows, max_rows, replace=False)
        picked = torch.from_numpy(np.sort(rows))
        train = train.picked(picked)
        weights = None if weights is None else weights[picked]
    w = None if weights is None else (weights / weights.mean()).numpy()
    y = train.y.numpy()
    return _matrix(train), np.log1p(y) if is_log else y, w


def evaluate_estimator(
    dataset: Dataset, objective: ObjectiveConfig, model: Any, x: Any, part: Part
) -> dict[str, float]:
    """Every metric that has a value on some rows, by the functions that measure the trials.

    Args:
        dataset: the study's.
        objective: has the parameters of metrics.
        model: a fitted regressor or classifier with scikit-learn's methods.
        x: the rows, as the model takes them.
        part: the same rows.
    """
    return _metrics(dataset, objective, _outputs(dataset, model, x), part)


def _outputs(dataset: Dataset, model: Any, x: Any) -> Floats:
    """Predicted values, or a probability for each of the study's classes."""
    if dataset.schema.task == "regression":
        values: Floats = model.predict(x)
        return values
    outputs = np.zeros((x.shape[0], len(dataset.schema.classes)))
    outputs[:, model.classes_.astype(int)] = model.predict_proba(x)
    return outputs


def _metrics(
    dataset: Dataset, objective: ObjectiveConfig, outputs: Floats, part: Part
) -> dict[str, float]:
    task, n_classes = dataset.schema.task, len(dataset.schema.classes)
    logits = as_logits(task, torch.from_numpy(outputs))
    return evaluate(objective, task, n_classes, logits, part.y, part.weights)


def _boosting(
    dataset: Dataset,
    quantile: float | None,
    x: Floats,
    y: NDArray[Any],
    w: Floats | None,
    deadline: float,
) -> _Fitted:
    numbers, categories = _places(dataset)
    is_empty = np.isnan(x[:, numbers]).all(axis=0)  # the trees cannot bin such a column
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=_MAX_CATEGORIES
    )
    zeros = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
    prepare = ColumnTransformer(
        [
            ("categories", encoder, categories),
            ("numbers", "passthrough", numbers[~is_empty]),
            ("empty", zeros, numbers[is_empty]),
        ]
    )
    is_regression = dataset.schema.task == "regression"
    kind = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    by_quantile = {"loss": "quantile", "quantile": quantile} if quantile is not None else {}
    trees = kind(
        **by_quantile,
        max_iter=0,
        early_stopping=False,
        warm_start=True,
        random_state=0,
        categorical_features=list(range(len(categories))),
    )
    ready = prepare.fit_transform(x)
    while trees.max_iter < _N_TREES and (trees.max_iter == 0 or time.perf_counter() < deadline):
        trees.set_params(max_iter=trees.max_iter + _TREES_A_STEP)
        trees.fit(ready, y, sample_weight=w)
    limit = "" if trees.max_iter == _N_TREES else ", stopped by the time limit"
    return prepare, trees, f"{kind.__name__}, {trees.max_iter} iterations{limit}"


class _ShiftedRidge(Ridge):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression, shifted by a quantile of its errors on the training rows."""

    def __init__(self, quantile: float) -> None:
        super().__init__()
        self.quantile = quantile

    def fit(self, X: Any, y: Floats, sample_weight: Floats | None = None) -> Self:
        super().fit(X, y, sample_weight)
        errors, weights = y - self.predict(X), sample_weight
        self.intercept_ += np.quantile(
            errors, self.quantile, weights=weights, method="inverted_cdf"
        )
        return self


def _linear(
    dataset: Dataset,
    quantile: float | None,
    x: Floats,
    y: NDArray[Any],
    w: Floats | None,
    deadline: float,
) -> _Fitted:
    numbers, categories = _places(dataset)
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(imputer, StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), categories),
        ]
    )
    ready = prepare.fit_transform(x)
    if quantile is not None:
        note = f"Ridge, alpha = 1, plus the {quantile:g} quantile of its errors"
        return prepare, _ShiftedRidge(quantile).fit(ready, y, w), note
    if dataset.schema.task == "regression":
        return prepare, Ridge().fit(ready, y, sample_weight=w), "Ridge, alpha = 1"
    model = LogisticRegression(max_iter=_DESCENTS_A_STEP, warm_start=True)
    n_done, limit = 0, ", not converged"
    while n_done < _N_DESCENTS and (n_done == 0 or time.perf_counter() < deadline):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(ready, y, sample_weight=w)
        n_done += int(model.n_iter_.max())
        if model.n_iter_.max() < _DESCENTS_A_STEP:
            limit = ""
            break
    return prepare, model, f"LogisticRegression, C = 1, {n_done} iterations{limit}"


def _places(dataset: Dataset) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Columns of numbers and of categories in a matrix."""
    n_numbers, n_texts = len(dataset.schema.numbers), len(dataset.schema.categorical)
    return np.arange(n_numbers), np.arange(n_numbers, n_numbers + n_texts)


def _matrix(part: Part) -> Floats:
    return np.concatenate([part.x_num.numpy(), part.x_cat.numpy()], axis=1).astype(float)
