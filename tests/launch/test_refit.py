"""Refits: what they train on, that they repeat to the bit, what their folders say."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from math import sin
from pathlib import Path

import pytest
import torch

from hpo.api import StudyResults
from hpo.config.errors import DataError, InputError
from hpo.launch.refit import refit, refit_trial
from hpo.launch.single import train_config
from hpo.lifecycle.creation import create_from_file
from hpo.models.ensemble import Ensemble
from hpo.models.experiment import load_experiment
from hpo.models.loading import load_model
from hpo.models.model import Model, Predictor
from hpo.results.ensemble import choose_ensemble
from hpo.storage.attributes import BEST_EPOCH, write_trials
from hpo.storage.schema import TRIAL_USER_ATTRS
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import best_epoch, find_row, leaderboard, learning_curve
from hpo.training.single import SingleTrainer
from tests.support.command_line import hpo
from tests.support.workers import make_worker

STUDY = """
name = "tides"
[search_space.model]
depth = 2
width = { type = "int", low = 8, high = 64 }
[search_space.optimizer]
learning_rate = { type = "float", low = 0.02, high = 0.05, log = true }
[search_space.training]
schedule = { type = "categorical", choices = ["cosine", "constant"] }
[data]
source = "tides.csv"
target = "height"
split = { column = "part" }
[objective]
metric = "rmse"
[training]
max_epochs = 12
patience = 3
batch_size = 32
[sampler]
name = "random"
seed = 5
[budget]
n_trials = 4
"""
PARTS = ["train", "train", "train", "val", "test"]


def write(folder: Path, changes: dict[int, str] | None = None, **replaced: str) -> Path:
    """The study file and its table, some of whose targets are changed by row."""
    rows = ["hour,port,height,part"]
    for row in range(150):
        part = PARTS[row % 5]
        port = "Brest" if part == "val" and row > 75 else ("Cork", "Hull", "")[row % 3]
        height = (changes or {}).get(row, f"{4 * sin(row * 29 % 24 / 4) + row * 37 % 100 / 10:.3f}")
        rows.append(f"{row * 29 % 24}.5,{port},{height},{part}")
    (folder / "tides.csv").write_text("\n".join(rows) + "\n")
    text = STUDY
    for old, new in replaced.items():
        line = next(each for each in text.splitlines() if each.startswith(f"{old} ="))
        text = text.replace(line, new)
    path = folder / "tides.toml"
    path.write_text(text)
    return path


def search(folder: Path, *, n_trials: int | None = None, **replaced: str) -> StudyResults:
    """A searched study."""
    path = write(folder, **replaced)
    created = create_from_file(
        path, f"sqlite:///{folder}/hpo.db", str(folder / "artifacts"), n_trials=n_trials
    )
    make_worker(created.study, created.store, SingleTrainer("cpu")).work(threading.Event())
    return StudyResults(study=created.study, store=created.store)


def record_best_epoch(study: StudyArtifacts, number: int, epoch: int) -> None:
    """Let the storage say that a trial's best epoch was another one."""
    own = study.study.trials()[number]._trial_id
    study.study.storage.write(
        lambda connection: write_trials(connection, TRIAL_USER_ATTRS, {own: {BEST_EPOCH: epoch}})
    )
    study.study.storage.reader.forget(study.study.id)


def quiet(line: str) -> None:
    """Take a line of the log."""


def tensors(model: Predictor) -> dict[str, bytes]:
    """All learned tensors, as bytes."""
    return {
        f"{index}.{name}": tensor.numpy().tobytes()
        for index, (_, part) in enumerate(model.parts)
        for name, tensor in part.tensors().items()
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_metrics(folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((folder / "metrics.json").read_text())
    return found


@pytest.fixture
def sigterm() -> Iterator[None]:
    """The handler of SIGTERM, which the command replaces, as before."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyResults]:
    found = search(tmp_path_factory.mktemp("study"))
    with closing(found.study.storage):
        yield found


@pytest.fixture(scope="module")
def folder(results: StudyResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The refit of the best trial, by the API."""
    return results.refit(tmp_path_factory.mktemp("winners"), device="cpu")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    loaded = load_model(folder)
    assert isinstance(loaded, Model)
    return loaded


def test_it_has_the_trials_configuration_and_best_epoch(
    results: StudyResults, folder: Path, model: Model
) -> None:
    row = leaderboard(results.study)[0]
    assert folder.name == f"trial-{row.number:05d}-refit"
    assert model.config.refit is not None
    assert replace(model.config, refit=None) == results.best_model().config
    curve = learning_curve(results.study, row.number)
    assert curve[model.config.refit.n_epochs] == min(curve.values()) == row.value


def test_every_trial_records_its_best_epoch(results: StudyResults) -> None:
    for row in leaderboard(results.study):
        assert learning_curve(results.study, row.number)[best_epoch(results.study, row)] == (
            row.value
        )
        foreign = replace(row, user_attrs={})  # a trial of an earlier version
        assert best_epoch(results.study, foreign) == row.user_attrs["best_epoch"]


def test_its_metrics_say_what_is_known(results: StudyResults, folder: Path, model: Model) -> None:
    before = results.best_model()
    metrics = read_metrics(folder)
    assert list(metrics) == ["validation_before_refit", "test"]
    assert metrics["validation_before_refit"] == before.metrics
    experiment = load_experiment(results.store, results.study.definition.data).for_refit()
    assert metrics["test"] == experiment.test_metrics(model)
    assert model.metrics == {}
    card = (folder / "README.md").read_text()
    assert "| metric | validation before the refit | test |" in card
    assert "This model was trained on them, too" in card
    assert "Refitted on the training and validation rows together." in card
    n_epochs = model.config.refit.n_epochs if model.config.refit else 0
    assert f"{n_epochs} of 12 planned epochs on the training and validation rows together" in card


def test_preprocessing_is_fitted_on_validation_rows_too(
    results: StudyResults, model: Model
) -> None:
    before = results.best_model().schema
    assert (before.n_train, model.schema.n_train) == (90, 120)
    assert (before.categorical[0].values, model.schema.categorical[0].values) == (
        ("", "Cork", "Hull"),
        ("", "Brest", "Cork", "Hull"),
    )


def test_hpo_train_repeats_it_to_the_bit(folder: Path, model: Model) -> None:
    lines: list[str] = []
    done = train_config(folder / "config.toml", seed=None, device="cpu", log=lines.append)
    assert tensors(done.model) == tensors(model)
    assert done.model.config == model.config
    assert done.metrics == {"test": read_metrics(folder)["test"]}
    assert lines[0].startswith("epoch 1: rmse ")
    assert lines[0].endswith(" on the training rows")


def test_all_but_test_rows_train(folder: Path, tmp_path: Path) -> None:
    text = (folder / "config.toml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("fingerprint", "source"))]
    text = "\n".join(kept).replace("[data]", '[data]\nsource = "tides.csv"')
    (tmp_path / "config.toml").write_text(text)

    def trained(changes: dict[int, str]) -> dict[str, bytes]:
        write(tmp_path, changes)
        path = tmp_path / "config.toml"
        return tensors(train_config(path, seed=None, device="cpu", log=quiet).model)

    same = trained({})
    rows = {part: PARTS.index(part) for part in PARTS}
    assert trained({rows["train"]: "9.25"}) != same
    assert trained({rows["val"]: "9.25"}) != same
    assert trained({rows["test"]: "9.25"}) == same


def test_another_trial_may_be_refitted(results: StudyResults, tmp_path: Path) -> None:
    last = leaderboard(results.study)[-1]
    lines: list[str] = []
    found = refit(results, tmp_path, trial=last.number, device="cpu", log=lines.append)
    assert found == tmp_path / f"trial-{last.number:05d}-refit"
    n_epochs = last.user_attrs["best_epoch"]
    assert lines[0] == f"trial {last.number}: {n_epochs} epochs of 120 training and validation rows"
    assert len(lines) == 1 + n_epochs


def test_an_ensemble_is_refitted_member_by_member(results: StudyResults, tmp_path: Path) -> None:
    experiment = load_experiment(results.store, results.study.definition.data)
    before = choose_ensemble(results, experiment, 4)
    assert len(before.members) > 1
    found = refit(results, tmp_path, ensemble=4, device="cpu", log=quiet)
    assert found == tmp_path / "ensemble-refit"
    made = load_model(found)
    assert isinstance(made, Ensemble)
    again = experiment.for_refit()
    for member, old in zip(made.members, before.members, strict=True):
        assert (member.number, member.weight) == (old.number, old.weight)
        row = find_row(results.study, member.number)
        alone = refit_trial(results.study, again, row, torch.device("cpu"), quiet)
        assert tensors(member.model) == tensors(alone)
    metrics = read_metrics(found)
    assert metrics["validation_before_refit"] == before.metrics
    assert metrics["test"] == again.test_metrics(made)
    card = (found / "README.md").read_text()
    assert "| trial | weight | epochs | network | numbers |" in card
    first = experiment.validation_metrics(before.members[0].model)["rmse"]
    assert f"{before.metrics['rmse']:.6g} | {metrics['test']['rmse']:.6g} | {first:.6g} |" in card


@pytest.mark.slow
def test_without_a_test_part_nothing_is_called_held_out(tmp_path: Path) -> None:
    study = search(tmp_path, n_trials=1, split="split = { val = 0.2, test = 0 }")
    with closing(study.study.storage):
        found = study.refit(tmp_path / "winners", device="cpu")
    assert read_metrics(found)["test"] == {}
    card = (found / "README.md").read_text()
    assert "| metric | validation before the refit |\n" in card
    assert "differences, on training rows and on awkward variants of them:" in card
    out = hpo("train", found / "config.toml", "--device", "cpu", "--out", tmp_path / "again")
    assert (out.code, out.document) == (0, {"test": {}})
    card = (tmp_path / "again" / "README.md").read_text()
    assert "There are none: training saw every row of the table." in card


def test_an_interrupted_export_leaves_the_earlier_folder(
    results: StudyResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = refit(results, tmp_path, device="cpu", log=quiet)
    before = (first / "model.safetensors").read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpo.models.folder.prove", interrupt)
    with pytest.raises(KeyboardInterrupt):
        refit(results, tmp_path, device="cpu", log=quiet)
    assert names(tmp_path) == [first.name]
    assert (first / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_killed_refit_leaves_nothing_and_may_run_again(tmp_path: Path) -> None:
    replaced = {"max_epochs": "max_epochs = 100_000", "schedule": 'schedule = "constant"'}
    study = search(tmp_path, n_trials=1, **replaced)
    with closing(study.study.storage):
        n_epochs = best_epoch(study.study, find_row(study.study, 0))
        record_best_epoch(study, 0, 100_000)
        command = [sys.executable, "-m", "hpo", "refit", "tides", "--storage"]
        command += [study.study.storage.safe_url, "--artifacts", study.store.safe_url]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any(line.startswith("epoch ") for line in process.stderr)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert names(tmp_path / "winners" / "tides") == []
        record_best_epoch(study, 0, n_epochs)
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == f"{Path('winners/tides/trial-00000-refit')}\n"
    assert os.access(tmp_path / done.stdout.strip() / "model.onnx", os.R_OK)


@pytest.mark.usefixtures("sigterm")
def test_bad_options_are_said_in_a_sentence(results: StudyResults, tmp_path: Path) -> None:
    places = "--storage", results.study.storage.safe_url, "--artifacts", results.store.safe_url
    study = results.study
    (tmp_path / "file").touch()
    mine = tmp_path / f"trial-{leaderboard(study)[0].number:05d}-refit"
    mine.mkdir()
    (mine / "notes.txt").touch()
    for arguments, complaint in (
        (("tide",), "no study tide"),
        (("tides", "--trial", 9), "study tides has trials 0 to 3, but got 9"),
        (("tides", "--ensemble", 0), "ensemble must be at least 1, but got 0"),
        (("tides", "--trial", 1, "--ensemble", 2), "a trial or an ensemble to refit, but not both"),
        (("tides", "--device", "abacus"), "device must be auto, cpu or a GPU of this machine"),
        (("tides", "--out", tmp_path / "file"), "file"),
        (("tides", "--out", "/proc/here"), "/proc/here: cannot be written ("),
        (("tides", "--out", "/proc"), "/proc: cannot be written ("),  # before the training
        (("tides", "--out", tmp_path), "exists and is no exported model"),
    ):
        done = hpo("refit", *arguments, *places)
        assert done.code == 2, (arguments, done.err)
        assert complaint in done.err
        assert done.err.startswith("hpo: ")
        assert done.err.count("\n") == 1
    assert names(tmp_path) == ["file", mine.name]


def test_trials_and_tables_that_cannot_be_refitted_are_said_so(tmp_path: Path) -> None:
    uncopied = 'source = "tides.csv"\ncopy = false'
    path = write(tmp_path, source=uncopied)
    url, artifacts = f"sqlite:///{tmp_path}/hpo.db", str(tmp_path / "artifacts")
    created = create_from_file(path, url, artifacts, n_trials=2)
    study = created.study
    with closing(study.storage):
        number = study.enqueue({"model.width": 8})
        with pytest.raises(InputError, match="study tides has no COMPLETE trial yet"):
            refit(created, tmp_path / "out", log=quiet)
        with pytest.raises(InputError, match="trial 1 of study tides is WAITING: only COMPLETE"):
            refit(created, tmp_path / "out", trial=number, log=quiet)
        make_worker(study, created.store, SingleTrainer("cpu")).work(threading.Event())
        write(tmp_path, {0: "9.25"}, source=uncopied)
        with pytest.raises(DataError, match=r"tides\.csv: the table's content has changed since"):
            refit(created, tmp_path / "out", log=quiet)
    assert not (tmp_path / "out").exists()


def test_a_refit_that_diverges_is_said_so(tmp_path: Path) -> None:
    wild = 'learning_rate = 1.5\nname = "sgd"'
    clip = "patience = 1\ngradient_clip = 0.0"
    study = search(tmp_path, n_trials=1, learning_rate=wild, patience=clip)
    with closing(study.study.storage):
        record_best_epoch(study, 0, 12)
        match = "trial 0 of study tides: training diverged: outputs .* are not finite after epoch"
        with pytest.raises(InputError, match=match):
            study.refit(tmp_path / "out", device="cpu")
    assert names(tmp_path / "out") == []
