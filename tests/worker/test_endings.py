"""What becomes of trials when the study's time is up, with real workers and real engines."""

import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from hpo.config.errors import HpoError
from hpo.files.store import ArtifactStore
from hpo.launch.single import train_config
from hpo.lifecycle.creation import create_from_file
from hpo.models.loading import load_model
from hpo.results.export import export
from hpo.results.stored import stored_model
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.artifacts import StudyArtifacts
from hpo.study.budget import BudgetChange
from hpo.study.catalog import open_study
from hpo.study.leaderboard import leaderboard, why_empty
from hpo.study.steering import extend
from hpo.study.study import Study
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Event, Trainer
from hpo.worker import loop
from hpo.worker.timing import Timing
from tests.support.clock import let_pass
from tests.support.workers import make_worker

STUDY = """
name = "small"
[search_space.model]
width = {{ type = "int", low = 8, high = 16 }}
depth = 1
dropout = 0.1
[search_space.optimizer]
learning_rate = {{ type = "float", low = 1e-3, high = 1e-2, log = true }}
[data]
source = "table.csv"
target = "y"
[objective]
metric = "rmse"
[training]
max_epochs = {max_epochs}
patience = 100000
[budget]
n_trials = {n_trials}
{limit}
"""
LONG = 100_000
"""Epochs that no test waits for."""
TIMING = Timing(lease=600)  # leases outlast the time that tests let pass

Make = Callable[..., Study]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often whether the time is up."""
    monkeypatch.setattr(loop, "ORDERS_SECONDS", 0.1)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def make_study(tmp_path: Path, store: ArtifactStore) -> Make:
    def make(
        n_trials: int = 3,
        max_epochs: int = LONG,
        limit: str = 'timeout = "100s"',
        name: str = "hpo",
    ) -> Study:
        path = write_study(tmp_path, n_trials, max_epochs, limit)
        study = create_from_file(path, f"sqlite:///{tmp_path}/{name}.db", store.url).study
        return study

    return make


def write_study(folder: Path, n_trials: int, max_epochs: int, limit: str) -> Path:
    rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
    (folder / "table.csv").write_text("\n".join(["a,b,y", *rows]))
    path = folder / "small.toml"
    path.write_text(STUDY.format(n_trials=n_trials, max_epochs=max_epochs, limit=limit))
    return path


def end_time(study: Study, n_trials: int = 1) -> None:
    """Use up the study's time as soon as this many trials have reported an epoch."""

    def wait() -> None:
        with closing(open_storage(study.storage.url)) as storage:
            own = open_study(storage, "small")
            while sum(bool(trial.intermediate_values) for trial in own.trials()) < n_trials:
                time.sleep(0.05)
            let_pass(storage, 100)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.slow
@pytest.mark.parametrize("limit", ['timeout = "100s"', 'device_time = "100s"'])
def test_time_that_ends_within_the_first_trial_leaves_its_best_epoch(
    limit: str, make_study: Make, store: ArtifactStore, tmp_path: Path
) -> None:
    study = make_study(limit=limit)
    end_time(study)
    worker = make_worker(study, store, SingleTrainer("cpu"), timing=TIMING)
    assert worker.work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 1}
    (trial,) = study.trials()
    n_epochs = len(trial.intermediate_values)
    note = f"time was up after epoch {n_epochs} of {LONG}: the best of them counts"
    assert trial.user_attrs["reason"] == note
    assert trial.value == min(trial.intermediate_values.values())

    (folder,) = export(StudyArtifacts(study=study, store=store), tmp_path / "out", top=3).folders
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["training"]["max_epochs"] == n_epochs
    assert f"Time was up after epoch {n_epochs} of {LONG}" in (folder / "README.md").read_text()
    model = load_model(folder)
    again = train_config(folder / "config.toml", seed=None, device="cpu", log=lambda line: None)
    weights, trained = model.network.state_dict(), again.model.network.state_dict()
    assert all(torch.equal(weights[name], trained[name]) for name in weights)
    assert again.model.metrics == model.metrics


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 3])
def test_every_trial_that_is_running_counts_then(
    slots: int, make_study: Make, store: ArtifactStore
) -> None:
    study = make_study(n_trials=2 * slots)

    def work(name: str) -> None:
        trainer: Trainer = SingleTrainer("cpu") if slots == 1 else PackedTrainer("cpu", slots)
        identity = WorkerId(host=name, pid=1, device="cpu")
        with closing(open_storage(study.storage.url)) as storage:
            own = open_study(storage, "small")
            about = {"slots": slots, "identity": identity, "timing": TIMING}
            worker = make_worker(own, store, trainer, **about)
            worker.work(threading.Event())

    threads = [threading.Thread(target=work, args=[name]) for name in ("one", "two")]
    end_time(study, 2 * slots)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert study.progress().counts == {"COMPLETE": 2 * slots}
    values = [row.value for row in leaderboard(study)]
    assert values == sorted(values)
    for row in leaderboard(study):
        assert row.early.startswith("time was up after epoch ")
        assert stored_model(store, row).metrics["rmse"] == pytest.approx(row.value, rel=1e-5)


@pytest.mark.slow
def test_beside_a_complete_trial_the_others_wait_for_more_time(
    make_study: Make, store: ArtifactStore
) -> None:
    study = make_study()
    claim = study.ask(WorkerId(host="other", pid=1, device="cpu"), 60.0)
    assert claim is not None
    study.finish(claim, "COMPLETE", 1.0, {})
    end_time(study)
    make_worker(study, store, SingleTrainer("cpu"), timing=TIMING).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 1, "WAITING": 1}
    assert "reason" not in study.trials()[1].user_attrs


class Slow(SingleTrainer):
    """An engine that is at its first step for ever."""

    def advance(self, max_seconds: float) -> list[Event]:
        time.sleep(0.1)
        return super().advance(0.0) if not self._sessions else []


@pytest.mark.slow
def test_time_that_ends_within_the_first_epoch_is_said_and_more_of_it_goes_on(
    make_study: Make, store: ArtifactStore, tmp_path: Path
) -> None:
    study = make_study(n_trials=1, max_epochs=3, limit='timeout = "1s"')
    make_worker(study, store, Slow("cpu")).work(threading.Event())
    assert study.progress().counts == {"WAITING": 1}
    said = (
        "study small has no COMPLETE trial: budget.timeout = 1 s was used up before any trial had "
        "finished an epoch; hpo extend small --timeout +10m lets its trials continue"
    )
    with pytest.raises(HpoError, match="^" + said.replace("+", r"\+") + "$"):
        export(StudyArtifacts(study=study, store=store), tmp_path / "out")
    extend(study, {"timeout": BudgetChange(amount=600, is_added=True)})
    assert why_empty(study) == "study small has no COMPLETE trial yet"
    make_worker(study, store, SingleTrainer("cpu")).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 1}
    assert study.trials()[0].user_attrs["n_epochs"] == 3
    assert "reason" not in study.trials()[0].user_attrs


@pytest.mark.slow
def test_run_hands_over_what_its_workers_had(tmp_path: Path) -> None:
    path = write_study(tmp_path, 9, LONG, "")
    command = [sys.executable, "-m", "hpo", "run", path, "--workers", "2", "--timeout", "5s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "time was up after epoch " in done.stdout
    assert "finished: budget.timeout = 5 s is used up" in done.stderr
    winners = sorted(path.name for path in (tmp_path / "winners" / "small").glob("trial-*"))
    assert winners
    assert set(winners) <= {"trial-00000", "trial-00001"}
