"""Exported folders: whole or not at all, whoever else writes there, and good without a study."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpo.config.errors import InputError
from hpo.config.trial import (
    DataConfig,
    ObjectiveConfig,
    PreprocessingConfig,
    TrainingConfig,
    TrialConfig,
)
from hpo.data.sources import as_frame
from hpo.files.durable import drafting
from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create_from_file
from hpo.models.ensemble import Ensemble
from hpo.models.folder import write_model
from hpo.models.loading import load_model
from hpo.models.model import Model
from hpo.results.export import export
from hpo.results.report.content import gather
from hpo.results.report.page import render
from hpo.results.stored import stored_model
from hpo.storage.attributes import SHA256, write_trials
from hpo.storage.schema import TRIAL_USER_ATTRS
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import distinct, leaderboard, row
from hpo.training.families.mlp import MLPConfig
from hpo.training.single import SingleTrainer, train
from tests.support.command_line import hpo, run_process
from tests.support.models import experiment_on
from tests.support.small_study import write_study
from tests.support.waiting import wait_until
from tests.support.workers import make_worker

METRICS = {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5}}
FILES = ["README.md", "config.toml", "metrics.json", "model.onnx", "model.safetensors"]
FILES += ["schema.json"]
ROWS = {
    "größe": [None if i % 9 == 0 else i * 0.5 for i in range(60)],
    "colour | shade\nof it": ["red", "blue", None] * 20,
    "sold": ["nein", "größtenteils"] * 30,
}


@pytest.fixture(scope="module")
def model() -> Model:
    """A small model of two classes."""
    data = DataConfig(source="t.csv", target="sold", task="binary")
    experiment = experiment_on(as_frame(ROWS), data)
    config = TrialConfig(
        data=replace(data, fingerprint=experiment.table.fingerprint()),
        objective=ObjectiveConfig(metric="accuracy"),
        model=MLPConfig(depth=1, width=8),
        training=TrainingConfig(max_epochs=2),
    )
    result = train(config, experiment.prepared(PreprocessingConfig(numeric="quantile"))[1], "cpu")
    return experiment.model(config, result, torch.device("cpu"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: Path, model: Model) -> None:
    write_model(folder, model, METRICS, "Title", "A note.", held=as_frame(ROWS))


def test_a_card_has_a_dash_for_a_metric_that_has_no_value(tmp_path: Path, model: Model) -> None:
    metrics = {"validation": {"accuracy": 0.75, "f1": 0.5}, "test": {"accuracy": 0.5, "roc_auc": 1}}
    write_model(tmp_path / "model", model, metrics, "Title", "A note.", held=as_frame(ROWS))
    card = (tmp_path / "model/README.md").read_text(encoding="utf-8")
    for cells in ("0.75 | 0.5 |", "0.5 | \u2013 |", "\u2013 | 1 |"):
        assert f"better{', chosen by' if '0.75' in cells else ''}) | {cells}\n" in card


def test_a_folder_stands_alone(tmp_path: Path, model: Model) -> None:
    write(tmp_path / "new" / "model", model)
    assert names(tmp_path / "new") == ["model"]
    assert names(tmp_path / "new/model") == FILES
    again = load_model(tmp_path / "new/model")
    assert again.config == model.config
    assert again.predict(ROWS).equals(model.predict(ROWS))
    assert json.loads((tmp_path / "new/model/metrics.json").read_text()) == METRICS


def test_the_card_says_what_the_model_is(tmp_path: Path, model: Model) -> None:
    write(tmp_path / "model", model)
    card = (tmp_path / "model/README.md").read_text(encoding="utf-8")
    for words in (
        "# Title\n\nA note.",
        "predicts `sold`, a binary task. Network: MLP of 1 hidden layer of 8 units (relu).",
        "Classes: größtenteils, nein.",
        "| accuracy (higher is better, chosen by) | 0.75 | 0.5 |",
        "| `größe` | number |",
        "| `colour \\| shade of it` | 3 categories |",
        "hpo predict model rows.csv",
        model.config.data.fingerprint,
    ):
        assert words in card


def test_the_card_says_how_features_enter(tmp_path: Path) -> None:
    experiment = experiment_on(
        as_frame(ROWS), DataConfig(source="t.csv", target="sold", task="binary")
    )
    config = TrialConfig(
        data=DataConfig(source="t.csv", target="sold", task="binary"),
        objective=ObjectiveConfig(metric="accuracy"),
        preprocessing=PreprocessingConfig(max_one_hot=2),
        model=MLPConfig(depth=1, width=8, embedding="periodic", n_frequencies=3, scale=True),
        training=TrainingConfig(max_epochs=1),
    )
    result = train(config, experiment.prepared(config.preprocessing)[1], "cpu")
    write(tmp_path / "model", experiment.model(config, result, torch.device("cpu")))
    card = " ".join((tmp_path / "model/README.md").read_text(encoding="utf-8").split())
    assert (
        "(relu), with periodic embeddings of 3 frequencies and size 8 for numbers and a learned "
        "scale for each input of its first layer." in card
    )
    assert "1 columns of more than 2 categories embedded, seed 0;" in card


@pytest.mark.slow
def test_many_exports_at_once_leave_one_whole_folder(tmp_path: Path, model: Model) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(write, tmp_path / "model", model) for _ in range(60)]
    assert [future.result() for future in done] == [None] * 60
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == FILES


@pytest.mark.slow
def test_what_a_killed_export_leaves_the_next_one_deletes(tmp_path: Path) -> None:
    path, places = write_study(tmp_path, n_trials=1), ("sqlite:///hpo.db", "artifacts")
    options = ["--storage", places[0], "--artifacts", places[1]]
    assert run_process("run", path, *options, "--workers", 1, cwd=tmp_path).returncode == 0
    out = tmp_path / "exports"
    command = [sys.executable, "-m", "hpo", "export", "small", "--out", out, *options]
    with subprocess.Popen(command, cwd=tmp_path) as killed, drafting(out) as in_use:
        (in_use / "model.safetensors").touch()
        wait_until(lambda: len(list(out.glob(".*/model.safetensors"))) == 2)
        killed.kill()
        killed.wait()
        assert len(names(out)) == 2
        subprocess.run(command, cwd=tmp_path, check=True)
        assert names(out) == [in_use.name, "leaderboard.csv", "trial-00000"]
    assert names(out) == ["leaderboard.csv", "trial-00000"]


def test_only_models_are_replaced(tmp_path: Path, model: Model) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", model)
    write(tmp_path / "empty", model)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").touch()
    with pytest.raises(InputError, match=r"mine: exists and is no exported model"):
        write(tmp_path / "mine", model)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: cannot be written \(Not a directory\)"):
        write(tmp_path / "file", model)
    assert names(tmp_path) == ["empty", "file", "mine"]


def test_a_place_that_cannot_be_written_is_said_so(model: Model) -> None:
    with pytest.raises(InputError, match=r"^/proc/model: cannot be written \("):
        write(Path("/proc/model"), model)


def test_another_store_than_the_studys_is_refused(tmp_path: Path) -> None:
    study = create_from_file(
        write_study(tmp_path), f"sqlite:///{tmp_path}/hpo.db", str(tmp_path / "artifacts")
    ).study
    other = ArtifactStore(str(tmp_path / "other"))
    with pytest.raises(InputError, match="study small keeps its artifacts in another store: name"):
        export(StudyArtifacts(study=study, store=other), tmp_path / "winners")
    study.storage.close()


def test_the_best_are_different_configurations(tmp_path: Path) -> None:
    path = write_study(tmp_path, n_trials=4)
    text = path.read_text()
    seed = 'seed = { type = "int", low = 0, high = 1 }\n'
    path.write_text(text.replace("[data]", f"[search_space.training]\n{seed}[data]"))
    store = ArtifactStore(str(tmp_path / "artifacts"))
    study = create_from_file(path, f"sqlite:///{tmp_path}/hpo.db", store.url).study
    params = {"model.depth": 2, "optimizer.learning_rate": 0.05}
    study.enqueue({**params, "training.seed": 1})
    study.enqueue({**params, "training.seed": 0})
    make_worker(study, store, SingleTrainer("cpu")).work(threading.Event())
    ranked = leaderboard(study)
    assert len(ranked) == 4
    best = distinct(ranked, study.definition.space)
    (worse,) = set(range(4)) - {row.number for row in best}
    assert worse == next(row.number for row in reversed(ranked) if row.number in (1, 2))

    artifacts = StudyArtifacts(study=study, store=store)
    folders = export(artifacts, tmp_path / "out", top=4, ensemble=8).folders
    assert [folder.name for folder in folders] == [
        *(f"trial-{row.number:05d}" for row in best),
        "ensemble",
    ]
    made = load_model(folders[-1])
    assert isinstance(made, Ensemble)
    assert worse not in {member.number for member in made.members}
    assert len((tmp_path / "out" / "leaderboard.csv").read_text().splitlines()) == 5


def test_trials_of_different_schemas_form_no_ensemble(tmp_path: Path) -> None:
    path = write_study(tmp_path, n_trials=2)
    created = create_from_file(path, f"sqlite:///{tmp_path}/hpo.db", str(tmp_path / "artifacts"))
    study, store = created.study, created.store
    make_worker(study, store, SingleTrainer("cpu")).work(threading.Event())
    trial = study.trials()[1]
    model = stored_model(store, row(trial))
    other = replace(model, schema=replace(model.schema, target="bought"))
    digest = store.put(trial.user_attrs["artifact"], other.to_bytes())
    attrs = {trial._trial_id: {SHA256: digest}}
    study.storage.write(lambda c: write_trials(c, TRIAL_USER_ATTRS, attrs))

    places = ["--storage", f"sqlite:///{tmp_path}/hpo.db", "--artifacts", store.url]
    done = hpo("export", "small", "--ensemble", 2, "--out", tmp_path / "winners", *places)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "were trained with different table schemas" in done.err
    assert hpo("export", "small", "--out", tmp_path / "winners", *places).code == 0
    study.storage.close()


def test_a_study_without_a_test_part_says_so(tmp_path: Path) -> None:
    path = write_study(tmp_path, n_trials=2)
    path.write_text(path.read_text().replace("test = 0.25", "test = 0"))
    created = create_from_file(path, f"sqlite:///{tmp_path}/hpo.db", str(tmp_path / "artifacts"))
    study, store = created.study, created.store
    make_worker(study, store, SingleTrainer("cpu")).work(threading.Event())
    (folder,) = export(StudyArtifacts(study=study, store=store), tmp_path / "winners").folders
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["test"], "accuracy" in metrics["validation"]) == ({}, True)
    card = (folder / "README.md").read_text()
    assert "| metric | validation |\n" in card
    assert (
        "There was no test part. The choice of the model makes validation metrics optimistic."
        in card
    )
    content = gather(StudyArtifacts(study=study, store=store), top=2)
    assert {part for each in content.compared for part in each.metrics} == {"validation"}
    page = render(content)
    assert "accuracy on validation; the study has no test part" in page
    assert "The winner on the test part" not in page
    study.storage.close()
