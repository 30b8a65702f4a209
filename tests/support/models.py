"""Small models of every kind, with random weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars

from hpo.config.trial import (
    Activation,
    DataConfig,
    Environment,
    Numeric,
    ObjectiveConfig,
    PreprocessingConfig,
    Task,
    TrialConfig,
)
from hpo.data.sources import RawTable, as_frame
from hpo.data.table import Table, typed_table
from hpo.models.ensemble import Ensemble, EnsembleMember
from hpo.models.experiment import Experiment
from hpo.models.model import Model
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP

N_ROWS = 300


def table(task: Task) -> polars.DataFrame:
    """A table with missing values, long tails, constants, odd names and codes in text."""
    generator = np.random.default_rng(0)
    area = generator.normal(size=N_ROWS) * 3 + 7
    colours = np.array(["red", "blue", None, "3", "true", "größe"], dtype=object)
    colour = colours[generator.integers(0, len(colours), N_ROWS)]
    target = area + (colour == "red") * 4
    targets = {
        "regression": target * 1000,
        "binary": np.where(target > np.median(target), "jä", "nein"),
        "multiclass": np.digitize(target, np.quantile(target, [0.3, 0.6])),
    }
    return as_frame(
        {
            "a column": [None if i % 7 == 0 else value for i, value in enumerate(area.tolist())],
            "price, €": np.exp(generator.normal(size=N_ROWS) * 3).tolist(),
            "year": generator.integers(1990, 2020, N_ROWS).tolist(),
            "prediction": [5.0] * N_ROWS,
            ".dotted": colour.tolist(),
            "always": ["so"] * N_ROWS,
            "target": targets[task].tolist(),
        }
    )


def experiment(task: Task) -> Experiment:
    """The table of a task, split."""
    return experiment_on(table(task), DataConfig(source="t.csv", target="target", task=task))


def typed(frame: polars.DataFrame, data: DataConfig) -> Table:
    """A typed table from a frame."""
    return typed_table(RawTable(frame=frame, is_text=False, where=data.source), data)


def experiment_on(frame: polars.DataFrame, data: DataConfig) -> Experiment:
    """A frame as a typed table, split."""
    made = typed(frame, data)
    return Experiment(made, replace(data, fingerprint=made.fingerprint()))


def model(
    made: Experiment,
    numeric: Numeric = "quantile",
    activation: Activation = "relu",
    depth: int = 2,
    seed: int = 0,
    max_one_hot: int = 65536,
    **layers: Any,
) -> Model:
    """A model for an experiment's table. Further keywords are leaves of the network."""
    schema = made.dataset.schema
    metric = "rmse" if schema.task == "regression" else "accuracy"
    data = DataConfig(source="t.csv", target="target", task=schema.task)
    config = TrialConfig(
        data=data,
        objective=ObjectiveConfig(metric=metric),
        preprocessing=PreprocessingConfig(numeric=numeric, max_one_hot=max_one_hot),
        model=MLPConfig(depth=depth, width=16, activation=activation, **layers),
    )
    (preprocessor,), prepared = made.prepared(config.preprocessing)
    return Model(
        config=config,
        schema=schema,
        preprocessor=preprocessor,
        network=MLP(prepared.inputs, prepared.n_outputs, config.model, seed=seed),
        scale=prepared.scale(),
        metrics={metric: 0.5},
        environment=Environment(device="cpu", n_threads=1, precision="float32", torch="2"),
    )


def ensemble(made: Experiment) -> Ensemble:
    """An ensemble whose members differ in preprocessing, depth and weight."""
    return Ensemble(
        schema=made.dataset.schema,
        metrics={"accuracy": 0.75},
        members=(
            EnsembleMember(number=4, weight=0.5, model=model(made, "quantile", "silu", seed=1)),
            EnsembleMember(number=0, weight=0.25, model=model(made, "robust", "tanh", depth=1)),
            EnsembleMember(number=7, weight=0.25, model=model(made, "quantile", "gelu", seed=2)),
        ),
    )
