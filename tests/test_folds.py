"""A study with folds, from its file to predictions and a report."""

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import polars
import pytest
import torch

from hpo.config.errors import DataError, DefinitionError
from hpo.launch.refit import refit
from hpo.launch.single import fit, one_thread, train_config
from hpo.lifecycle.creation import create_from_file
from hpo.models.ensemble import Ensemble, FoldEnsemble
from hpo.models.experiment import Experiment, load_experiment
from hpo.models.loading import load_model
from hpo.models.model import Model
from hpo.results.criteria import criteria
from hpo.results.ensemble import choose_ensemble
from hpo.results.export import export
from hpo.results.report.content import gather
from hpo.results.report.page import render
from hpo.results.stored import stored_model
from hpo.study.artifacts import StudyArtifacts
from hpo.study.catalog import bury
from hpo.study.leaderboard import leaderboard, learning_curve
from hpo.training.checkpoint import Checkpoint
from hpo.training.metrics import evaluate
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Run
from tests.support.command_line import hpo
from tests.support.program import PROGRAM
from tests.support.small_study import write_study
from tests.support.training import ANY
from tests.support.workers import make_worker

N_FOLDS, N_ROWS, N_TEST = 3, 160, 40


def with_folds(folder: Path, split: str = "folds = 3, test = 0.25") -> Path:
    path = write_study(folder, n_trials=3, n_rows=N_ROWS)
    path.write_text(path.read_text().replace("val = 0.25, test = 0.25", split))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def artifacts(folder: Path) -> Iterator[StudyArtifacts]:
    """A finished study of three trials."""
    places = f"sqlite:///{folder}/hpo.db", str(folder / "artifacts")
    created = create_from_file(with_folds(folder), *places)
    with closing(created.study.storage):
        worker = make_worker(created.study, created.store, SingleTrainer("cpu"))
        assert worker.work(threading.Event())
        yield StudyArtifacts(study=created.study, store=created.store)


@pytest.fixture(scope="module")
def experiment(artifacts: StudyArtifacts) -> Experiment:
    return load_experiment(artifacts.store, artifacts.study.definition.data)


@pytest.fixture(scope="module")
def exported(artifacts: StudyArtifacts, folder: Path) -> list[Path]:
    """The folders of the best trial and of an ensemble."""
    return export(artifacts, folder / "winners", ensemble=3).folders


def best(artifacts: StudyArtifacts) -> FoldEnsemble:
    model = stored_model(artifacts.store, leaderboard(artifacts.study)[0])
    assert isinstance(model, FoldEnsemble)
    return model


def test_a_trial_counts_by_all_rows_that_its_folds_did_not_see(
    artifacts: StudyArtifacts, experiment: Experiment
) -> None:
    rows = leaderboard(artifacts.study)
    assert len(rows) == artifacts.study.progress().budget.n_trials == 3
    dataset = experiment.dataset
    truth = dataset.part("val").y
    assert (len(truth), len(dataset.rows("train")), len(dataset.rows("test"))) == (120, 120, 40)
    for row in rows:
        model = stored_model(artifacts.store, row)
        logits = []
        for fold, own in zip(dataset.folds, model.folds, strict=True):
            part = fold.part("val")
            logits.append(own.logits(part.x_num, part.x_cat))
        expected = evaluate(ANY, "binary", 2, torch.cat(logits), truth)
        assert row.metrics == model.metrics == pytest.approx(expected)
        assert experiment.validation_metrics(model) == pytest.approx(expected)
        curve = learning_curve(artifacts.study, row.number)
        assert row.value == max(curve.values()) == pytest.approx(row.metrics["accuracy"])
        of_folds = [fold.metrics["accuracy"] for fold in model.folds]
        assert row.fold_metrics["accuracy"] == of_folds
        assert np.mean(of_folds) == pytest.approx(row.value)  # as the folds have equal sizes


def test_some_validation_rows_are_predicted_as_all_are(
    artifacts: StudyArtifacts, experiment: Experiment
) -> None:
    model, picked = best(artifacts), torch.tensor([0, 39, 40, 41, 119])
    whole = experiment.validation_logits(model)
    some = experiment.raw_validation_logits(model, picked)
    assert torch.allclose(some, whole[picked])
    mean = model.logits(*experiment.dataset.part("val")[:2])
    assert not torch.allclose(mean.float(), whole)


def test_preprocessing_is_fitted_in_each_fold_to_one_schema(
    artifacts: StudyArtifacts, experiment: Experiment
) -> None:
    model = best(artifacts)
    knots = [fold.preprocessor.knots for fold in model.folds]
    assert not torch.equal(knots[0], knots[1])
    assert all(fold.schema == model.schema for fold in model.folds)
    assert model.schema.n_train == N_ROWS - N_TEST
    test = experiment.dataset.part("test")
    outputs = [fold.outputs(test.x_num, test.x_cat) for fold in model.folds]
    mean = torch.stack(outputs).mean(dim=0)
    assert torch.allclose(model.outputs(test.x_num, test.x_cat), mean, atol=1e-6)


def test_an_export_holds_every_fold(
    artifacts: StudyArtifacts, experiment: Experiment, exported: list[Path]
) -> None:
    trial, ensemble = (load_model(each) for each in exported)
    model = best(artifacts)
    frame = experiment.table.frame
    assert isinstance(trial, FoldEnsemble)
    assert trial.predict(frame).equals(model.predict(frame))
    metrics = json.loads((exported[0] / "metrics.json").read_text())
    assert metrics["validation"] == model.metrics
    assert metrics["test"] == pytest.approx(experiment.test_metrics(model))
    card = (exported[0] / "README.md").read_text()
    assert "3 networks, one a fold, predict together: MLP of" in card
    for number, fold in enumerate(model.folds, 1):
        assert f"| {number} | {fold.metrics['accuracy']:.6g} |\n" in card
    assert f"| all | {model.metrics['accuracy']:.6g} |\n" in card
    assert "on rows that training did not see" in card  # those of the test part

    assert isinstance(ensemble, Ensemble)
    chosen = choose_ensemble(artifacts, experiment, 3)
    assert ensemble.predict(frame).equals(chosen.predict(frame))
    assert {type(member.model) for member in ensemble.members} == {FoldEnsemble}
    assert len(ensemble.parts) == N_FOLDS * len(ensemble.members)
    assert sum(weight for weight, _ in ensemble.parts) == pytest.approx(1)
    assert chosen.metrics == experiment.validation_metrics(ensemble)


def test_an_ensemble_is_selected_by_networks_that_did_not_see_the_rows(
    artifacts: StudyArtifacts, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def watched(task, metric, outputs, *others):  # type: ignore[no-untyped-def]
        seen.extend(outputs)
        return criteria(task, metric, outputs, *others)

    monkeypatch.setattr("hpo.results.ensemble.criteria", watched)
    choose_ensemble(artifacts, experiment, 3)
    assert len(seen) == 3
    logits = experiment.validation_logits(best(artifacts)).double()
    assert np.allclose(seen[0][:, 1], logits[:, 0].sigmoid())


def test_the_configuration_trains_again_with_folds(
    artifacts: StudyArtifacts, exported: list[Path]
) -> None:
    trained = train_config(
        exported[0] / "config.toml", seed=None, device="cpu", log=lambda line: None
    )
    model = best(artifacts)
    assert isinstance(trained.model, FoldEnsemble)
    assert trained.model.metrics == model.metrics
    for own, again in zip(model.folds, trained.model.folds, strict=True):
        weights = again.network.state_dict()
        assert all(torch.equal(weights[k], w) for k, w in own.network.state_dict().items())


def test_a_refit_is_one_network_of_all_rows_but_test(
    artifacts: StudyArtifacts, folder: Path
) -> None:
    lines: list[str] = []
    found = load_model(refit(artifacts, folder / "refits", device="cpu", log=lines.append))
    assert isinstance(found, Model)
    row = leaderboard(artifacts.study)[0]
    n_epochs = row.user_attrs["best_epoch"]
    assert lines[0] == (
        f"trial {row.number}: {n_epochs} epochs of 120 training and validation rows"
    )
    assert (found.config.refit.n_epochs, found.config.data.split.folds) == (n_epochs, N_FOLDS)


def test_the_report_shows_the_folds(artifacts: StudyArtifacts) -> None:
    content = gather(artifacts, top=3)
    page = render(content)
    assert "120 in 3 folds" in page
    assert "resamples of the 120 validation rows" in page
    assert '<th class="n">fold 3</th>' in page
    baselines = [each for each in content.compared if each.kind == "baseline"]
    assert all("in each of 3 folds; fitted in" in each.note for each in baselines)
    assert all({*each.metrics} == {"validation", "test"} for each in baselines)
    winner = content.leaders[0]
    assert winner.interval.low < winner.metric < winner.interval.high


@pytest.mark.slow
def test_commands_know_folds(artifacts: StudyArtifacts, folder: Path) -> None:
    places = ["--storage", artifacts.study.storage.url, "--artifacts", artifacts.store.url]
    row = leaderboard(artifacts.study)[0]
    shown = hpo("trial", "small", row.number, *places[:2])
    first = f"{row.fold_metrics['accuracy'][0]:.5g}"
    assert re.search(rf"^accuracy by fold +{first} ", shown.out, re.MULTILINE)
    out = folder / "predictions.csv"
    done = hpo("predict", "small", folder / "houses.csv", "--out", out, *places)
    assert done.code == 0, done.err
    assert polars.read_csv(out).height == N_ROWS


KILLED = """
import os, sys, threading
import torch
from hpo.files.store import ArtifactStore, checkpoints_path
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import open_study
from hpo.training.single import SingleTrainer
from hpo.worker.loop import Worker
from hpo.worker.timing import Timing
from hpo.worker.quota import Quota

torch.set_num_threads(1)
study = open_study(open_storage(sys.argv[1]), "small")
store = ArtifactStore(sys.argv[2])

class Dying(SingleTrainer):
    def advance(self, max_seconds):
        if any("/000000000022-" in path for path in store.list(checkpoints_path(study.uuid, 0))):
            os.kill(os.getpid(), 9)
        return super().advance(0.0)  # a step

Worker(
    studies=lambda: [study],
    storage=study.storage,
    store=store,
    trainer=Dying("cpu"),
    identity=WorkerId(host="dead", pid=1, device="cpu"),
    quota=Quota(),
    timing=Timing(checkpoint=0.0),
).work(threading.Event())
"""


@pytest.mark.slow
def test_a_trial_of_a_killed_worker_goes_on_in_its_fold(tmp_path: Path) -> None:
    path = with_folds(tmp_path)
    text = path.read_text().replace("n_trials = 3", "n_trials = 1")
    path.write_text(text.replace("max_epochs = 4", "max_epochs = 4\nbatch_size = 16"))
    created = create_from_file(path, f"sqlite:///{tmp_path}/hpo.db", str(tmp_path / "artifacts"))
    study, store = created.study, created.store
    # 80 training rows a fold: step 22 is the second of the second fold in the second epoch.
    done = subprocess.run([*PROGRAM, KILLED, study.storage.url, store.url], timeout=240)
    assert done.returncode == -signal.SIGKILL
    bury(study.storage, "dead:1", "killed by SIGKILL")
    steps = list[int]()

    class Watched(SingleTrainer):
        def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
            steps.append(checkpoint.n_steps if checkpoint else 0)
            return super().admit(run, checkpoint)

    with one_thread(), closing(study.storage):
        assert make_worker(study, store, Watched("cpu")).work(threading.Event())
        (row,) = leaderboard(study)
        expected = fit(
            study.definition.trial_config(row.params),
            created.experiment,
            torch.device("cpu"),
            log=lambda line: None,
        )
    assert (steps, row.user_attrs["attempt"], row.user_attrs["n_steps"]) == ([22], 2, 60)
    found = stored_model(store, row)
    assert found.metrics == expected.metrics
    for own, whole in zip(found.folds, expected.folds, strict=True):
        weights = own.network.state_dict()
        assert all(torch.equal(weights[k], w) for k, w in whole.network.state_dict().items())


@pytest.mark.parametrize(
    ("split", "error", "sentence"),
    [
        ("folds = 3, val = 0.2", DefinitionError, "data.split: folds excludes val"),
        ("folds = 1", DefinitionError, "data.split.folds: must be at least 2, but got 1"),
        ("folds = 90", DataError, '90 folds need at least 90 rows of the class "no"'),
    ],
)
def test_folds_that_cannot_be_are_refused(
    tmp_path: Path, split: str, error: type[Exception], sentence: str
) -> None:
    path = with_folds(tmp_path, split)
    with pytest.raises(error, match=sentence):
        create_from_file(path, f"sqlite:///{tmp_path}/hpo.db", str(tmp_path / "artifacts"))
    assert not (tmp_path / "hpo.db").exists()
