"""Scenarios of `scripts/bench validation` in which rows of one table depend on each other.

`groups`: 100 patients with 8 rows each. The rows of a patient have similar features and the same
label, which is random: nothing can be learned about other patients. New rows are those of 100 other
patients.

`time`: a number a day for 1,500 days. It depends on three columns and on a level that drifts up and
down within some 100 days. New rows are the 500 days that follow.

Each scenario searches once by shares of the rows, and once by groups or time.
"""

import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tomli_w
from benches.seeds import Outcome

from hpo.api import StudyResults
from hpo.lifecycle.creation import create_from_file
from hpo.training.single import SingleTrainer
from tests.support.workers import make_worker

N_PATIENTS, N_VISITS, N_FEATURES = 100, 8, 10
N_DAYS, N_LATER = 1_500, 500
N_KEPT = 100
"""Days in which the level forgets most of its past."""

STUDY = {
    "name": "s",
    "search_space": "mlp_small",
    "training": {"max_epochs": 60, "batch_size": 32},
    "budget": {"n_trials": 10},
}


def groups(seed: int) -> Iterator[tuple[str, Outcome]]:
    """Accuracy of a search by shares of the rows, and by groups."""
    generator = np.random.default_rng(seed)
    known, new = (_visits(generator) for _ in range(2))
    shares = {"val": 0.2, "test": 0.2, "seed": seed}
    for name, data in {
        "shares of the rows": {"split": shares, "drop": ["patient"]},
        '`groups = "patient"`': {"split": {**shares, "groups": "patient"}},
    }.items():
        yield name, searched(known, new, data, "accuracy")


def time(seed: int) -> Iterator[tuple[str, Outcome]]:
    """RMSE of a search by shares of the rows, and by time."""
    series = _series(np.random.default_rng(seed))
    shares = {"val": 0.2, "test": 0.2}
    for name, data in {
        "shares of the rows": {"split": {**shares, "seed": seed}},
        '`time = "day"`': {"split": {**shares, "time": "day"}},
    }.items():
        yield name, searched(series[:N_DAYS], series[N_DAYS:], data, "rmse")


def searched(
    known: pl.DataFrame, new: pl.DataFrame, data: Mapping[str, Any], metric: str
) -> Outcome:
    """Search on a table, and measure the winner.

    Args:
        known: the table, with the target `y`.
        new: further rows.
        data: keys of `[data]`.
        metric: accuracy or rmse.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known.write_parquet(folder / "t.parquet")
        table = {"source": "t.parquet", "target": "y", **data}
        tree = {**STUDY, "data": table, "objective": {"metric": metric}}
        (folder / "s.toml").write_text(tomli_w.dumps(tree))
        created = create_from_file(folder / "s.toml", f"sqlite:///{folder}/hpo.db", f"{folder}/a")
        worker = make_worker(created.study, created.store, SingleTrainer("cpu"), slots=1)
        worker.work(threading.Event())
        model = StudyResults(study=created.study, store=created.store).best_model()
        test = created.experiment.test_metrics(model)[metric]
        predicted = model.predict(new)["prediction"].to_numpy()
        created.study.storage.close()
    truth = new["y"].to_numpy()
    if metric == "accuracy":
        value = float(np.mean(predicted == truth))
    else:
        value = float(np.sqrt(np.mean((predicted - truth) ** 2)))
    return {"validation part": model.metrics[metric], "test part": test, "new rows": value}


def _visits(generator: np.random.Generator) -> pl.DataFrame:
    patients = np.arange(N_PATIENTS).repeat(N_VISITS)
    means = generator.normal(size=(N_PATIENTS, N_FEATURES))
    x = means[patients] + 0.3 * generator.normal(size=(len(patients), N_FEATURES))
    labels = np.array(["ill", "well"])[generator.permutation(N_PATIENTS) % 2]
    columns = {f"x{place}": column for place, column in enumerate(x.T)}
    return pl.DataFrame({"patient": patients, **columns, "y": labels[patients]})


def _series(generator: np.random.Generator) -> pl.DataFrame:
    n = N_DAYS + N_LATER
    x = generator.normal(size=(n, 3))
    level, keeps = np.zeros(n), 1 - 1 / N_KEPT
    for day, shock in enumerate(generator.normal(size=n) * np.sqrt(1 - keeps**2)):
        level[day] = keeps * level[day - 1] + shock
    y = level + x[:, 0] + x[:, 1] * x[:, 2] / 2 + 0.3 * generator.normal(size=n)
    columns = {f"x{place}": column for place, column in enumerate(x.T)}
    return pl.DataFrame({"day": np.arange(n), **columns, "y": y})
