"""Tables of different kinds, each of at most a few thousand rows.

Every table is a frame whose target column is `TARGET`. All random draws are seeded.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn import datasets

from hpo.data.sources import read_raw

TARGET = "target"
DATA = Path(__file__).parents[2] / "studies" / "data"
_SEED = 0


def load_table(name: str, n_rows: int) -> tuple[pl.DataFrame, str]:
    """A table of at most `n_rows` rows, and its task."""
    task, make = TABLES[name]
    frame = make(n_rows)
    return frame.sample(min(n_rows, frame.height), seed=_SEED, shuffle=True), task


def _bundled(name: str) -> Callable[[int], pl.DataFrame]:
    return lambda n_rows: read_raw(f"sklearn:{name}", Path()).frame


def _shipped(name: str, target: str) -> Callable[[int], pl.DataFrame]:
    def make(n_rows: int) -> pl.DataFrame:
        frame = pl.read_parquet(DATA / f"{name}.parquet").filter(pl.col("split") != "test")
        return frame.drop("split").rename({target: TARGET})

    return make


def _frame(x: NDArray[np.float64], y: NDArray[np.generic]) -> pl.DataFrame:
    columns = {f"x{at}": column for at, column in enumerate(x.T)}
    return pl.DataFrame({**columns, TARGET: y})


def _noise_columns(n_rows: int) -> pl.DataFrame:
    """A class that 5 of 60 columns decide."""
    return _frame(
        *datasets.make_classification(
            n_rows, n_features=60, n_informative=5, n_redundant=0, random_state=_SEED
        )
    )


def _imbalanced(n_rows: int) -> pl.DataFrame:
    """A class that 6 % of the rows have."""
    return _frame(
        *datasets.make_classification(
            n_rows, n_features=12, n_informative=8, weights=[0.94], random_state=_SEED
        )
    )


def _few_rows(n_rows: int) -> pl.DataFrame:
    """150 rows of three overlapping classes."""
    return _frame(
        *datasets.make_classification(
            150, n_features=10, n_informative=6, n_classes=3, class_sep=0.7, random_state=_SEED
        )
    )


def _rings(n_rows: int) -> pl.DataFrame:
    """Classes that are shells around each other."""
    return _frame(
        *datasets.make_gaussian_quantiles(
            n_samples=n_rows, n_features=6, n_classes=4, random_state=_SEED
        )
    )


def _friedman(n_rows: int) -> pl.DataFrame:
    """Friedman's first function: smooth, with an interaction and five noise columns."""
    return _frame(*datasets.make_friedman1(n_rows, n_features=10, noise=1.0, random_state=_SEED))


def _periodic(n_rows: int) -> pl.DataFrame:
    """Waves of several frequencies, with an interaction."""
    random = np.random.default_rng(_SEED)
    x = random.uniform(-1, 1, (n_rows, 5))
    y = np.sin(9 * x[:, 0]) + np.cos(14 * x[:, 1]) * x[:, 2] + 0.5 * np.sin(20 * x[:, 3])
    return _frame(x, y + 0.1 * random.normal(size=n_rows))


def _steps(n_rows: int) -> pl.DataFrame:
    """A target that jumps at thresholds, as a tree predicts it."""
    random = np.random.default_rng(_SEED)
    x = random.normal(size=(n_rows, 8)) ** 3
    y = 2.0 * (x[:, 0] > 0.3) + (x[:, 1] > -0.2) * (x[:, 2] > 0) - 1.5 * (x[:, 3] * x[:, 4] > 0)
    return _frame(x, y + 0.2 * random.normal(size=n_rows))


def _skewed(n_rows: int) -> pl.DataFrame:
    """Features and a target with long tails."""
    random = np.random.default_rng(_SEED)
    x = random.lognormal(sigma=1.2, size=(n_rows, 7))
    y = np.exp(0.6 * np.log(x[:, 0]) - 0.4 * np.log(x[:, 1]) + 0.3 * np.sqrt(x[:, 2] / x[:, 3]))
    return _frame(x, y * random.lognormal(sigma=0.2, size=n_rows))


def _categories(n_rows: int) -> pl.DataFrame:
    """Three columns of 150, 25 and 4 categories, whose effects add up and interact."""
    random = np.random.default_rng(_SEED)
    counts = (150, 25, 4)
    codes = [random.zipf(1.3, n_rows) % count for count in counts]
    effects = [random.normal(size=count)[own] for count, own in zip(counts, codes, strict=True)]
    x = random.normal(size=n_rows)
    y = sum(effects) + effects[1] * effects[2] + x * effects[2]
    names = {f"c{at}": [f"v{code}" for code in own] for at, own in enumerate(codes)}
    return pl.DataFrame({**names, "x": x, TARGET: y + 0.3 * random.normal(size=n_rows)})


TABLES: dict[str, tuple[str, Callable[[int], pl.DataFrame]]] = {
    "digits": ("multiclass", _bundled("digits")),
    "wine": ("multiclass", _bundled("wine")),
    "breast-cancer": ("binary", _bundled("breast_cancer")),
    "diabetes": ("regression", _bundled("diabetes")),
    "adult": ("binary", _shipped("adult", "income")),
    "california": ("regression", _shipped("california_housing", "MedHouseVal")),
    "noise-columns": ("binary", _noise_columns),
    "imbalanced": ("binary", _imbalanced),
    "few-rows": ("multiclass", _few_rows),
    "rings": ("multiclass", _rings),
    "friedman": ("regression", _friedman),
    "periodic": ("regression", _periodic),
    "steps": ("regression", _steps),
    "skewed": ("regression", _skewed),
    "categories": ("regression", _categories),
}
"""The task of each table, and the function that makes it from a number of rows."""
