"""Which of a study's models predict best together, by the validation part.

Greedy forward selection with replacement (Caruana et al. 2004, "Ensemble selection from libraries
of models"): begin with the best model, add again and again whichever makes the ensemble best, and
keep the ensemble that was the best on the way; of two that are level by the metric the one with the
lower loss is better. A model that is added twice weighs twice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan

import torch

from hpo.config.errors import HpoError
from hpo.config.trial import TIE_BREAKS
from hpo.files.store import ArtifactStore
from hpo.models.ensemble import Ensemble, EnsembleMember, as_logits, exact_outputs
from hpo.models.experiment import Experiment
from hpo.results.stored import stored_model
from hpo.study.leaderboard import Row
from hpo.study.study import Study
from hpo.training.metrics import measure

Score = tuple[float, float]
"""The metric and the loss, each with the sign by which greater is better."""


def choose_ensemble(
    study: Study, store: ArtifactStore, experiment: Experiment, rows: Sequence[Row], size: int
) -> Ensemble:
    """The ensemble of at most `size` members, repeated ones counted.

    Args:
        study: whose metric decides.
        store: where the weights are.
        experiment: the study's table.
        rows: its COMPLETE trials; those without weights are passed over.
        size: at least 1.

    Raises:
        HpoError: no trial has weights.
        ArtifactError: weights are damaged.
    """
    kept = {row.number: row for row in sorted(rows, key=lambda r: r.number) if _is_kept(store, row)}
    if not kept:
        raise HpoError(f"study {study.name} has no COMPLETE trial whose weights are there")
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
        raise HpoError(f"study {study.name}: its trials were trained on tables of other schemas")
    return replace(made, metrics=experiment.validation_metrics(made))


def select(
    outputs: Sequence[torch.Tensor], score: Callable[[torch.Tensor], Score], size: int
) -> list[int]:
    """The places of the members, in the order of their choice, with repetition.

    Args:
        outputs: each candidate's predictions on the validation part; of equals the first is taken.
        score: of predictions; greater is better.
        size: at least 1.
    """
    chosen: list[int] = []
    total = torch.zeros_like(outputs[0])
    best, best_size = (float("-inf"), float("-inf")), 1
    for n in range(1, size + 1):
        scores = [_rank(score((total + output) / n)) for output in outputs]
        place = max(range(len(outputs)), key=scores.__getitem__)
        chosen.append(place)
        total = total + outputs[place]
        if scores[place] > best:
            best, best_size = scores[place], n
    return chosen[:best_size]


def _rank(score: Score) -> Score:
    value, loss = (float("-inf") if isnan(each) else each for each in score)
    return value, loss


def _score(study: Study, experiment: Experiment) -> Callable[[torch.Tensor], Score]:
    """The study's metric and the loss of predictions on the validation part."""
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


def _is_kept(store: ArtifactStore, row: Row) -> bool:
    return "artifact" in row.user_attrs and store.exists(row.user_attrs["artifact"])
