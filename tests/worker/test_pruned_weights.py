"""Which pruned trials keep their weights, with a real worker, a real pruner and real engines."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create_from_file
from hpo.lifecycle.housekeeping import sweep
from hpo.models.experiment import load_experiment
from hpo.results.ensemble import candidates, compare
from hpo.results.export import export
from hpo.results.stored import stored_model
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import find_row, leaderboard
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Trainer
from hpo.worker import loop, outbox
from tests.support.workers import STUDY, make_worker

PRUNER = '[pruner]\nname = "median"\nn_startup_trials = 2\nn_warmup_steps = 6\n'
Searched = Callable[..., StudyArtifacts]


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Searched]:
    """Search a study of two COMPLETE trials and one that is pruned late, between them."""
    studies = []

    def search(trainer: Trainer, slice_seconds: float, **changes: object) -> StudyArtifacts:
        rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
        (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *rows]))
        text = STUDY.format(name="small", n_trials=3, max_epochs=8, high=1e-1)
        (tmp_path / "small.toml").write_text(text + PRUNER)
        store = ArtifactStore(str(tmp_path / "artifacts"))
        url = f"sqlite:///{tmp_path}/hpo.db"
        study = create_from_file(tmp_path / "small.toml", url, store.url).study
        studies.append(study)
        for rate in (1e-3, 3e-3):
            study.enqueue({"model.depth": 1, "optimizer.learning_rate": rate})
        monkeypatch.setattr(loop, "SLICE_SECONDS", slice_seconds)
        monkeypatch.setattr(outbox, "MAX_PAUSE_SECONDS", 0.0)
        make_worker(study, store, trainer, **changes).work(threading.Event())
        return StudyArtifacts(study=study, store=store)

    yield search
    for study in studies:
        study.storage.close()


@pytest.mark.parametrize(
    ("slots", "slice_seconds"),
    [(1, 0.0), (1, 5.0), (2, 0.0)],
    ids=["in training", "trained to its end", "in a pack"],
)
def test_a_pruned_trial_keeps_weights_and_may_be_a_member(
    searched: Searched, tmp_path: Path, slots: int, slice_seconds: float
) -> None:
    trainer: Trainer = SingleTrainer("cpu") if slots == 1 else PackedTrainer("cpu", 2)
    artifacts = searched(trainer, slice_seconds)
    study, store = artifacts.study, artifacts.store
    pruned = find_row(study, 2)
    assert (pruned.state, pruned.user_attrs["reason"]) == ("PRUNED", "median pruner")
    experiment = load_experiment(store, study.definition.data)
    model = stored_model(store, pruned)
    assert experiment.validation_metrics(model) == pytest.approx(pruned.metrics, rel=1e-4)
    assert pruned.metrics["rmse"] <= pruned.value * (1 + 1e-6)
    assert model.config.training.max_epochs == (
        8 if slice_seconds else pruned.user_attrs["n_epochs"]
    )

    assert sweep(artifacts).files == ()
    assert [row.number for row in leaderboard(study)] == [0, 1]
    assert {row.number for row in candidates(study)} == {0, 1, 2}
    found = compare(artifacts, experiment, 2)
    assert found.single.config == stored_model(store, leaderboard(study)[0]).config
    folders = export(artifacts, tmp_path / "out", top=2, ensemble=2).folders
    assert [folder.name for folder in folders] == ["trial-00000", "trial-00001", "ensemble"]


def test_weights_that_no_ensemble_would_use_are_not_kept(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ENSEMBLE_SIZE", 1)
    artifacts = searched(SingleTrainer("cpu"), 0.0)
    pruned = find_row(artifacts.study, 2)
    assert (pruned.state, "artifact" in pruned.user_attrs) == ("PRUNED", False)
    assert not [path for path in artifacts.store.list("studies") if "trial-00002/" in path]
