"""Models of finished trials in the artifact store, and their test metrics."""

import hashlib
import json
from collections.abc import Sequence

from hpo.files.store import ArtifactStore, trial_path
from hpo.models.ensemble import Ensemble
from hpo.models.experiment import Experiment
from hpo.models.model import Model, Predictor
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row


def stored_model(store: ArtifactStore, row: Row) -> Model:
    """Load the model of a COMPLETE trial.

    Raises:
        ArtifactError: its weights are missing or damaged.
    """
    path, digest = row.user_attrs["artifact"], row.user_attrs["sha256"]
    return Model.from_bytes(store.get(path, digest), path)


def test_metrics(
    artifacts: StudyArtifacts, experiment: Experiment, row: Row, model: Model
) -> dict[str, float]:
    """Return a trial's test metrics, which are computed once and kept beside its weights."""
    return _computed_once(artifacts, experiment, row, model, "test_metrics.json")


def ensemble_test_metrics(
    artifacts: StudyArtifacts, experiment: Experiment, rows: Sequence[Row], ensemble: Ensemble
) -> dict[str, float]:
    """Return an ensemble's test metrics, which are kept beside its first member's weights.

    Args:
        artifacts: of the study.
        experiment: the study's table.
        rows: the members' trials, in the order of the members.
        ensemble: the ensemble.
    """
    members = [
        [row.user_attrs["sha256"], member.weight]
        for row, member in zip(rows, ensemble.members, strict=True)
    ]
    name = hashlib.sha256(json.dumps(members).encode()).hexdigest()[:16]
    file = f"ensemble_{name}_test_metrics.json"
    return _computed_once(artifacts, experiment, rows[0], ensemble, file)


def _computed_once(
    artifacts: StudyArtifacts, experiment: Experiment, row: Row, model: Predictor, file: str
) -> dict[str, float]:
    store = artifacts.store
    path = trial_path(artifacts.study.uuid, row.number, row.user_attrs["attempt"], file)
    if not store.exists(path):
        store.put(path, json.dumps(experiment.test_metrics(model)).encode())
    metrics: dict[str, float] = json.loads(store.get(path, digest=None))
    return metrics
