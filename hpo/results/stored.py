"""What is kept in the artifact store of finished trials: weights, and test metrics once read."""

import hashlib
import json
from collections.abc import Sequence

from hpo.files.store import ArtifactStore, trial_path
from hpo.models.ensemble import Ensemble
from hpo.models.experiment import Experiment
from hpo.models.model import Model, Predictor
from hpo.study.leaderboard import Row
from hpo.study.study import Study


def stored_model(store: ArtifactStore, row: Row) -> Model:
    """A COMPLETE trial's model.

    Raises:
        ArtifactError: its weights are missing or damaged.
    """
    path, digest = row.user_attrs["artifact"], row.user_attrs["sha256"]
    return Model.from_bytes(store.get(path, digest), path)


def test_metrics(
    study: Study, store: ArtifactStore, experiment: Experiment, row: Row, model: Model
) -> dict[str, float]:
    """The test metrics of a trial: read if they were ever computed, computed and kept if not."""
    return _once(study, store, experiment, row, model, "test_metrics.json")


def ensemble_test_metrics(
    study: Study,
    store: ArtifactStore,
    experiment: Experiment,
    rows: Sequence[Row],
    ensemble: Ensemble,
) -> dict[str, float]:
    """Likewise of an ensemble, kept beside its first member's weights.

    Args:
        study: where the trials are.
        store: where they are kept.
        experiment: the study's table.
        rows: of the ensemble's members, in their order.
        ensemble: whose metrics are wanted.
    """
    made_of = [
        [row.user_attrs["sha256"], member.weight]
        for row, member in zip(rows, ensemble.members, strict=True)
    ]
    name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    file = f"ensemble_{name}_test_metrics.json"
    return _once(study, store, experiment, rows[0], ensemble, file)


def _once(
    study: Study,
    store: ArtifactStore,
    experiment: Experiment,
    row: Row,
    model: Predictor,
    file: str,
) -> dict[str, float]:
    path = trial_path(study.uuid, row.number, row.user_attrs["attempt"], file)
    if not store.exists(path):
        store.put(path, json.dumps(experiment.test_metrics(model)).encode())
    metrics: dict[str, float] = json.loads(store.get(path, digest=None))
    return metrics
