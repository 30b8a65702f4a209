"""CatBoost and LightGBM on the split of a study, to compare a search with.

Both have their default settings, seed 0, and the columns and rows that the trials get. Categories
are given as such. Training stops after 50 iterations without a better validation loss, which each
library chooses for the task: squared error or cross-entropy. The model keeps the best iteration.
"""

import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas

from hpo.config.trial import ObjectiveConfig
from hpo.data.dataset import Dataset, Part
from hpo.results.report.baselines import evaluate_estimator

PATIENCE = 50


class Measured(NamedTuple):
    """A model's name, its metrics by part, and the seconds that it took; None if unknown."""

    name: str
    metrics: dict[str, dict[str, float]]
    seconds: float | None


def fit_boosting(
    dataset: Dataset, objective: ObjectiveConfig, trees: int | None
) -> Iterator[Measured]:
    """Fit CatBoost and LightGBM on all cores of this process, and measure them.

    Args:
        dataset: the study's.
        objective: has the parameters of metrics.
        trees: the maximum number of iterations of both, instead of their defaults.
    """
    parts = {name: dataset.part(name) for name in ("train", "val", "test")}
    x = {name: to_frame(part) for name, part in parts.items()}
    kind = "float64" if dataset.schema.task == "regression" else "int64"
    y = {name: part.y.numpy().astype(kind) for name, part in parts.items()}
    for name, fit in (("CatBoost", fit_catboost), ("LightGBM", fit_lightgbm)):
        start = time.perf_counter()
        model, best, limit = fit(dataset, x, y, trees)
        seconds = time.perf_counter() - start
        metrics = {
            title: evaluate_estimator(dataset, objective, model, x[part], parts[part])
            for title, part in (("validation", "val"), ("test", "test"))
            if len(y[part])
        }
        yield Measured(f"{name}, iteration {best:,} of {limit:,}", metrics, seconds)


def to_frame(part: Part) -> pandas.DataFrame:
    """Numbers as floats, NaN where missing, and categories as their codes in integer columns."""
    numbers = {f"x{place}": column.numpy() for place, column in enumerate(part.x_num.T)}
    codes = {f"c{place}": column.numpy() for place, column in enumerate(part.x_cat.T)}
    return pandas.DataFrame({**numbers, **codes})


def fit_catboost(
    dataset: Dataset, x: dict[str, Any], y: dict[str, Any], trees: int | None
) -> tuple[Any, int, int]:
    """A fitted model, its best iteration from 1, and the maximum."""
    from catboost import CatBoostClassifier, CatBoostRegressor  # the tests run without it

    kind = CatBoostRegressor if dataset.schema.task == "regression" else CatBoostClassifier
    model = kind(
        iterations=trees,
        cat_features=categories(x["train"]),
        random_seed=0,
        thread_count=len(os.sched_getaffinity(0)),
        allow_writing_files=False,
        logging_level="Silent",
    )
    model.fit(x["train"], y["train"], eval_set=(x["val"], y["val"]), early_stopping_rounds=PATIENCE)
    return model, model.tree_count_, model.get_all_params()["iterations"]


def fit_lightgbm(
    dataset: Dataset, x: dict[str, Any], y: dict[str, Any], trees: int | None
) -> tuple[Any, int, int]:
    """A fitted model, its best iteration from 1, and the maximum."""
    import lightgbm  # the tests run without it

    is_regression = dataset.schema.task == "regression"
    kind = lightgbm.LGBMRegressor if is_regression else lightgbm.LGBMClassifier
    model = kind(random_state=0, n_jobs=len(os.sched_getaffinity(0)), verbosity=-1)
    if trees is not None:
        model.set_params(n_estimators=trees)
    model.fit(
        x["train"],
        y["train"],
        eval_X=x["val"],
        eval_y=y["val"],
        categorical_feature=categories(x["train"]),
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return model, model.best_iteration_, model.n_estimators


def categories(frame: pandas.DataFrame) -> list[str]:
    """The names of the columns of codes."""
    return [name for name in frame.columns if name.startswith("c")]
