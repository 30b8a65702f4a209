"""From a table to a model and its metrics: what neither training nor data sees alone."""

import numpy as np
import polars
import pytest
import torch

from hpo.config.trial import (
    DataConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PreprocessingConfig,
    TrainingConfig,
    TrialConfig,
)
from hpo.data.table import Table
from hpo.models.experiment import Experiment
from hpo.models.model import Model
from hpo.training.families.mlp import MLPConfig
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.record import Result
from hpo.training.single import train
from hpo.training.trainer import Run
from tests.support.packs import finish
from tests.support.tables import table

N_ROWS = 1000


def timestamps() -> Table:
    """A target whose digits are beyond float32: all that is to be learnt is in its last five."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, N_ROWS))
    return table({"a": a, "b": b, "y": 1.7e9 + 900 * a + 5 * b}, task="regression")


def configuration(made: Table) -> TrialConfig:
    return TrialConfig(
        data=DataConfig(
            source="t.csv", target="y", task="regression", fingerprint=made.fingerprint()
        ),
        objective=ObjectiveConfig(metric="mae"),
        preprocessing=PreprocessingConfig(numeric="standard"),
        model=MLPConfig(depth=1, width=32),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        training=TrainingConfig(batch_size=64, max_epochs=40, precision="float32"),
    )


def alone(config: TrialConfig, experiment: Experiment) -> Result:
    return train(config, experiment.prepared(PreprocessingConfig(numeric="standard"))[1], "cpu")


def packed(config: TrialConfig, experiment: Experiment) -> Result:
    run = Run(
        key=0, config=config, data=experiment.prepared(PreprocessingConfig(numeric="standard"))[1]
    )
    return finish(PackedTrainer("cpu", 1), [run]).results[0]


def linear_r2(experiment: Experiment) -> float:
    """Of least squares in float64, on the test part."""
    parts = {}
    for name in ("train", "test"):
        rows = experiment.table.frame[experiment.dataset.rows(name).numpy()]
        x = rows.select("a", "b").to_numpy()
        parts[name] = np.column_stack([x, np.ones(len(x))]), rows["y"].to_numpy()
    x, y = parts["train"]
    weights = np.linalg.lstsq(x, y - y.mean(), rcond=None)[0]
    x_test, y_test = parts["test"]
    missed = y_test - (x_test @ weights + y.mean())
    return float(1 - (missed**2).sum() / ((y_test - y_test.mean()) ** 2).sum())


@pytest.mark.parametrize("engine", [alone, packed])
def test_no_digit_of_a_target_is_lost(engine: object) -> None:
    made = timestamps()
    config = configuration(made)
    experiment = Experiment(made, config.data)
    result = engine(config, experiment)  # type: ignore[operator]
    model: Model = experiment.model(config, result, torch.device("cpu"))
    found = experiment.test_metrics(model)
    test = made.frame[experiment.dataset.rows("test").numpy()]
    table = model.predict(test)
    assert table["prediction"].dtype == polars.Float64
    missed = table["prediction"].to_numpy() - test["y"].to_numpy()
    assert found["mae"] == pytest.approx(np.abs(missed).mean(), rel=1e-9)
    assert found["rmse"] == pytest.approx(np.sqrt((missed**2).mean()), rel=1e-9)
    assert found["mae"] < 30
    assert found["r2"] == pytest.approx(linear_r2(experiment), abs=0.01)
    assert result.metrics == pytest.approx(experiment.validation_metrics(model), rel=1e-6)
    assert result.best_value == pytest.approx(result.metrics["mae"], rel=1e-4)
