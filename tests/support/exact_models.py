"""Models of tables with values that float32 cannot hold: dates, times, long numbers."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from hpo.config.trial import DataConfig, Task
from hpo.models.experiment import Experiment
from tests.support.models import experiment_on

N_ROWS = 400
LABELS: dict[str, tuple[Task, list[Any]]] = {
    "text": ("multiclass", ["low", 'größer, "als"', "high"]),
    "integer": ("multiclass", [10, 20, 300]),
    "number": ("multiclass", [0.5, 1.0, 2.5]),
    "boolean": ("binary", [False, True]),
    "double": ("regression", []),
    "float": ("regression", []),
}
"""The task and the labels of each kind of target."""


def table(kind: str) -> pl.DataFrame:
    """A table of hours, days with gaps, seconds since 1970, booleans and text."""
    generator = np.random.default_rng(1)
    start = datetime(2023, 1, 1, 12)
    hours = generator.integers(0, 24 * 365 * 3, N_ROWS)
    share = hours / hours.max()
    _, labels = LABELS[kind]
    target: Any = [labels[int(each * 0.999 * len(labels))] for each in share] if labels else share
    target = {"double": 1.7e9 + 900 * share, "float": share}.get(kind, target)
    return pl.DataFrame(
        {
            "sold, at": [start + timedelta(hours=int(hour)) for hour in hours],
            "day": [
                None if i % 9 == 4 else start.date() + timedelta(days=int(hour) % 40)
                for i, hour in enumerate(hours)
            ],
            "prediction": 1.7e9 + hours * 0.25,
            "probabilities": [f"{hour % 3}" + "ab"[hour % 2] for hour in hours],
            "prediction_": [bool(hour % 2) for hour in hours],
            "size": [None if i % 7 == 2 else float(hour % 100) / 7 for i, hour in enumerate(hours)],
            "target": target,
        }
    )


def experiment(kind: str) -> Experiment:
    """The table of a kind, split."""
    task, _ = LABELS[kind]
    return experiment_on(table(kind), DataConfig(source="t.csv", target="target", task=task))
