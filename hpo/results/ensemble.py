"""Ensemble selection: the trials whose models predict best together on the validation part.

Greedy forward selection with replacement (Caruana et al. 2004, "Ensemble selection from libraries
of models"): start with the best model, repeatedly add the model that improves the ensemble most,
and return the best ensemble found on the way. Ties in the metric are broken by the lower loss. A
model that is added twice has twice the weight.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan

import torch

from hpo.config.errors import HpoError
from hpo.config.trial import TIE_BREAKS
from hpo.models.ensemble import Ensemble, EnsembleMember, as_logits, exact_outputs
from hpo.models.experiment import Experiment
from hpo.results.stored import stored_model
from hpo.storage.attributes import ARTIFACT
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row
from hpo.study.study import Study
from hpo.training.metrics import measure

Score = tuple[float, float]
"""The metric and the loss, with signs such that greater is better."""


def choose_ensemble(
    artifacts: StudyArtifacts, experiment: Experiment, rows: Sequence[Row], size: int
) -> Ensemble:
    """Choose an ensemble by the study's metric on the validation part.

    Args:
        artifacts: of the study.
        experiment: the study's table.
        rows: COMPLETE trials of the study; those without stored weights are skipped.
        size: maximum number of members, at least 1; a repeated member counts each time.

    Raises:
        HpoError: no trial has stored weights.
        ArtifactError: weights are damaged.
    """
    study, store = artifacts.study, artifacts.store
    kept = {
        row.number: row
        for row in sorted(rows, key=lambda row: row.number)
        if ARTIFACT in row.user_attrs and store.exists(row.user_attrs[ARTIFACT])
    }
    if not kept:
        raise HpoError(f"study {study.name} has no COMPLETE trial whose weights are stored")
    part = experiment.dataset.part("val")
    outputs = [
        exact_outputs(stored_model(store, row), part.x_num, part.x_cat) for row in kept.values()
    ]
    chosen = select(outputs, _score(study, experiment), size)
    numbers = [list(kept)[place] for place in chosen]
    members = tuple(
        EnsembleMember(
            number=number, weight=n / len(chosen), model=stored_model(store, kept[number])
        )
        for number, n in Counter(numbers).items()
    )
    made = Ensemble(schema=members[0].model.schema, metrics={}, members=members)
    if any(member.model.schema != made.schema for member in members):
        raise HpoError(f"study {study.name}: its trials were trained with different table schemas")
    return replace(made, metrics=experiment.validation_metrics(made))


def select(
    outputs: Sequence[torch.Tensor], score: Callable[[torch.Tensor], Score], size: int
) -> list[int]:
    """Select the members of an ensemble.

    Args:
        outputs: each candidate's predictions on the validation part; the first wins a tie.
        score: rates predictions; greater is better.
        size: maximum number of members, at least 1.

    Returns:
        Indices into `outputs` in the order of selection, with repetitions.
    """
    chosen: list[int] = []
    total = torch.zeros_like(outputs[0])
    best, best_size = (float("-inf"), float("-inf")), 1
    for n in range(1, size + 1):
        scores = [_without_nan(score((total + output) / n)) for output in outputs]
        place = max(range(len(outputs)), key=scores.__getitem__)
        chosen.append(place)
        total = total + outputs[place]
        if scores[place] > best:
            best, best_size = scores[place], n
    return chosen[:best_size]


def _without_nan(score: Score) -> Score:
    value, loss = (float("-inf") if isnan(each) else each for each in score)
    return value, loss


def _score(study: Study, experiment: Experiment) -> Callable[[torch.Tensor], Score]:
    """A function that scores predictions on the validation part."""
    metric = study.definition.objective.metric
    sign = study.definition.direction.sign
    schema, y = experiment.dataset.schema, experiment.dataset.part("val").y
    task, n_classes = schema.task, len(schema.classes)
    names = metric, TIE_BREAKS[task]

    def score(outputs: torch.Tensor) -> Score:
        logits = as_logits(task, outputs)
        value, loss = measure(names, task, n_classes, logits, y, 0.0, 1.0).tolist()
        return -sign * value, -loss

    return score
