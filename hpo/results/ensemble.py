"""Ensembles of a study's models, selected on the validation part.

With folds, a member is a trial with all its networks, and the selection looks at the predictions of
each row by the networks that did not see it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import torch

from hpo.config.errors import HpoError, InputError
from hpo.config.metrics import tie_break
from hpo.config.trial import ENSEMBLE_SIZE
from hpo.models.comparison import Comparison
from hpo.models.ensemble import Ensemble, EnsembleMember
from hpo.models.experiment import Experiment
from hpo.results.criteria import Array, criteria
from hpo.results.selection import N_CANDIDATES, select
from hpo.results.stored import stored_model
from hpo.storage.attributes import ARTIFACT
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row, distinct, leaderboard, why_empty
from hpo.study.study import Study
from hpo.training.metrics import predictions

_MAX_CELLS = 100_000
"""Maximum number of predictions of a model, rows times classes, that selection looks at."""


def compare(
    artifacts: StudyArtifacts, experiment: Experiment, size: int = ENSEMBLE_SIZE
) -> Comparison:
    """Compare the best trial's model with an ensemble of at most `size` models.

    Raises:
        HpoError: no trial is COMPLETE.
        InputError: the trials were trained with different table schemas.
        ArtifactError: weights are missing or damaged.
    """
    study = artifacts.study
    if not (ranked := leaderboard(study)):
        raise HpoError(why_empty(study))
    return Comparison(
        single=stored_model(artifacts.store, ranked[0]),
        name=f"trial {ranked[0].number}",
        ensemble=choose_ensemble(artifacts, experiment, size),
    )


def candidates(study: Study) -> list[Row]:
    """The best trial of each configuration, best first, also if it was pruned but has weights."""
    sign, states = study.definition.direction.sign, ("COMPLETE", "PRUNED")
    rows = [
        row
        for row in leaderboard(study, every_state=True)
        if row.state in states and row.value is not None and ARTIFACT in row.user_attrs
    ]
    rows.sort(key=lambda row: (sign * (row.value or 0.0), tie_break(row.metrics)))
    return distinct(rows, study.definition.space)


def choose_ensemble(artifacts: StudyArtifacts, experiment: Experiment, size: int) -> Ensemble:
    """Choose an ensemble by the study's metric on the validation part, as `criteria` ranks.

    Only the best `N_CANDIDATES` models are read, one at a time.

    Args:
        artifacts: of the study.
        experiment: the study's table.
        size: maximum number of members, at least 1.

    Raises:
        HpoError: no trial has stored weights.
        InputError: the trials were trained with different table schemas.
        ArtifactError: weights are damaged.
    """
    study, store = artifacts.study, artifacts.store
    stored = (row for row in candidates(study) if store.exists(row.user_attrs[ARTIFACT]))
    if not (rows := list(islice(stored, N_CANDIDATES))):
        raise HpoError(f"study {study.name} has no trial whose weights are stored")
    weights = _weigh(artifacts, experiment, rows, size)
    members = tuple(
        EnsembleMember(number=row.number, weight=weight, model=stored_model(store, row))
        for row, weight in zip(rows, weights.tolist(), strict=True)
        if weight > 0
    )
    made = Ensemble(schema=members[0].model.schema, metrics={}, members=members)
    made = replace(made, calibration=experiment.calibration(made, study.definition.objective))
    return replace(made, metrics=experiment.validation_metrics(made))


def _weigh(
    artifacts: StudyArtifacts, experiment: Experiment, rows: Sequence[Row], size: int
) -> Array:
    """The weight of each row's model in the ensemble."""
    study, dataset = artifacts.study, experiment.dataset
    part, task = dataset.part("val"), dataset.schema.task
    n_rows = min(len(part.y), _MAX_CELLS // max(1, len(dataset.schema.classes)))
    picked = torch.linspace(0, len(part.y) - 1, n_rows, dtype=torch.float64).round().long()
    outputs, schema = [], None
    for row in rows:
        model = stored_model(artifacts.store, row)
        schema = schema or model.schema
        if model.schema != schema:
            raise InputError(
                f"study {study.name}: trials {rows[0].number} and {row.number} were trained with "
                "different table schemas and cannot form an ensemble; --ensemble 0 makes none"
            )
        logits = experiment.raw_validation_logits(model, picked).double()
        outputs.append(predictions(task, logits).numpy())
    objective, y = study.definition.objective, part.y[picked].numpy()
    row_weights = None if part.weights is None else part.weights[picked].numpy()
    return select(criteria(task, objective, outputs, y, row_weights), size)
