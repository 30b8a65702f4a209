"""Models of finished trials in the artifact store, and their test metrics."""

import hashlib
import json
from collections.abc import Sequence

from hpo.files.store import ArtifactStore, trial_path
from hpo.models.ensemble import Ensemble, TrialModel
from hpo.models.experiment import Experiment
from hpo.models.loading import read_model
from hpo.models.model import Predictor
from hpo.storage.attributes import ARTIFACT, ATTEMPT, SHA256
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row


def stored_model(store: ArtifactStore, row: Row) -> TrialModel:
    """Load the model of a COMPLETE trial.

    Raises:
        ArtifactError: its weights are missing or damaged.
    """
    path, digest = row.user_attrs[ARTIFACT], row.user_attrs[SHA256]
    model = read_model(store.get(path, digest), path)
    assert not isinstance(model, Ensemble)
    return model


def test_metrics(
    artifacts: StudyArtifacts, experiment: Experiment, rows: Sequence[Row], model: Predictor
) -> dict[str, float]:
    """Return a model's test metrics, computed once and kept beside its first trial's weights.

    Args:
        artifacts: of the study.
        experiment: the study's table.
        rows: the model's trial; of an ensemble, the members' trials in order.
        model: the model or the ensemble.
    """
    file = "test_metrics.json"
    if isinstance(model, Ensemble):
        members = [
            [row.user_attrs[SHA256], member.weight]
            for row, member in zip(rows, model.members, strict=True)
        ]
        digest = hashlib.sha256(json.dumps(members).encode()).hexdigest()
        file = f"ensemble_{digest[:16]}_test_metrics.json"
    store, first = artifacts.store, rows[0]
    path = trial_path(artifacts.study.uuid, first.number, first.user_attrs[ATTEMPT], file)
    if not store.exists(path):
        store.put(path, json.dumps(experiment.test_metrics(model)).encode())
    metrics: dict[str, float] = json.loads(store.get(path, digest=None))
    return metrics
