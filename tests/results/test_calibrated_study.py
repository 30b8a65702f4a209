"""A study that calibrates and tunes: its trials, its ensemble, its refits and what trains again."""

import json
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hpo.api import StudyResults
from hpo.launch.refit import refit
from hpo.launch.single import train_config
from hpo.lifecycle.creation import create_from_file
from hpo.models.experiment import load_experiment
from hpo.models.loading import load_model
from hpo.results.ensemble import compare
from hpo.results.export import export
from hpo.results.stored import stored_model
from hpo.study.leaderboard import leaderboard
from hpo.training.single import SingleTrainer
from tests.support.workers import make_worker

STUDY = """
name = "alarms"
search_space = { model = { width = { type = "int", low = 16, high = 64 } } }
[data]
source = "alarms.csv"
target = "alarm"
split = { val = 0.3, test = 0.3 }
[objective]
metric = "f1"
calibrate = "temperature"
threshold = "tuned"
[training]
max_epochs = 6
[budget]
n_trials = 3
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """A searched study of a rare class."""
    folder = tmp_path_factory.mktemp("alarms")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, 3))
    alarm = x[:, 0] + x[:, 1] + generator.normal(size=400) > 2
    frame = pl.DataFrame(x, schema=["a", "b", "c"]).with_columns(alarm=pl.Series(alarm))
    frame.write_csv(folder / "alarms.csv")
    path = folder / "alarms.toml"
    path.write_text(STUDY)
    created = create_from_file(path, f"sqlite:///{folder}/hpo.db", str(folder / "artifacts"))
    make_worker(created.study, created.store, SingleTrainer("cpu")).work(threading.Event())
    return StudyResults(study=created.study, store=created.store)


def test_the_search_ranks_by_the_metric_at_the_threshold_of_the_model(
    results: StudyResults,
) -> None:
    experiment = load_experiment(results.store, results.study.definition.data)
    rows = leaderboard(results.study)
    assert len(rows) == 3
    for row in rows:
        model = stored_model(results.store, row)
        assert row.user_attrs["calibration"] == model.calibration.to_tree()
        assert model.calibration.temperature != 1
        assert row.value == pytest.approx(row.metrics["f1"], rel=1e-5)
        assert experiment.validation_metrics(model) == pytest.approx(row.metrics)


def test_an_ensemble_is_measured_at_its_own_threshold(results: StudyResults) -> None:
    experiment = load_experiment(results.store, results.study.definition.data)
    compared = compare(results, experiment, 4)
    ensemble = compared.ensemble
    assert ensemble.calibration == experiment.calibration(
        ensemble, results.study.definition.objective
    )
    assert ensemble.metrics == experiment.validation_metrics(ensemble)


def test_exports_and_refits_keep_the_calibration(results: StudyResults, tmp_path: Path) -> None:
    exported = export(results, tmp_path, top=1, ensemble=3)
    searched = load_model(exported.folders[0])
    for folder in exported.folders:
        model = load_model(folder)
        said = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        assert said["calibration"] == model.calibration.to_tree()
        assert said["formats"]["model.safetensors"] == model.format
    folder = refit(results, tmp_path, device="cpu", log=lambda _: None)
    refitted = load_model(folder)
    assert refitted.calibration == searched.calibration
    assert refitted.metrics == {}
    for path, expected in ((folder, refitted), (exported.folders[0], searched)):
        again = train_config(path / "config.toml", seed=None, device="cpu", log=lambda _: None)
        assert again.model.calibration == expected.calibration
        assert again.model.config == expected.parts[0][1].config
        rows = again.experiment.held_rows(60)
        assert again.model.predict(rows).equals(expected.predict(rows))
