"""Which models are selected for an ensemble, with which weights."""

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from hpo.config.metrics import METRICS, MetricName
from hpo.config.trial import ObjectiveConfig, Task
from hpo.models.ensemble import as_logits
from hpo.results.criteria import Array, Criterion, criteria
from hpo.results.selection import N_CANDIDATES, select
from hpo.training.calibration import threshold_curve
from hpo.training.metrics import measure

TRUTH = numpy.array([1.0, 2.0, 3.0, 4.0])


def by_mae(*errors: Any) -> list[Criterion]:
    """Candidates that are off by these errors."""
    return criteria(
        "regression", ObjectiveConfig(metric="mae"), [TRUTH + error for error in errors], TRUTH
    )


def chosen(weights: Array) -> dict[int, float]:
    return {index: pytest.approx(weight) for index, weight in enumerate(weights) if weight > 0}


def test_errors_that_cancel_are_chosen_with_their_weights() -> None:
    assert chosen(select(by_mae(3.0, 1.0, -2.0), 3)) == {1: 2 / 3, 2: 1 / 3}


def test_no_more_are_chosen_than_asked_for() -> None:
    generator = numpy.random.default_rng(0)
    found = by_mae(*generator.normal(size=(30, 4)))
    assert len(chosen(select(found, 30))) > 5
    for size in (1, 2, 5):
        weights = select(found, size)
        assert len(chosen(weights)) == size
        assert weights.sum() == pytest.approx(1)


def test_one_member_is_the_best_and_of_equals_the_earliest() -> None:
    assert chosen(select(by_mae(1.0, 0.5, 0.5), 1)) == {1: 1.0}
    assert chosen(select(by_mae(0.5), 16)) == {0: 1.0}
    assert chosen(select(by_mae(1.0, 0.5, 0.5), 8)).keys() == {1}


def test_a_bad_model_among_few_gets_no_weight() -> None:
    assert chosen(select(by_mae(0.5, 9.0), 8)) == {0: 1.0}
    assert chosen(select(by_mae(9.0, 0.5, 9.0), 8)) == {1: 1.0}


def test_what_cannot_be_scored_is_never_chosen() -> None:
    assert chosen(select(by_mae(float("nan"), 9.0), 2)) == {1: 1.0}


def test_of_those_that_are_level_the_lower_loss_decides() -> None:
    sure, unsure = numpy.array([[0.1, 0.9]] * 3), numpy.array([[0.4, 0.6]] * 3)
    objective = ObjectiveConfig(metric="balanced_accuracy")
    found = criteria("binary", objective, [unsure, sure], numpy.ones(3))
    assert chosen(select(found, 1)) == {1: 1.0}


def test_instead_of_the_accuracy_the_loss_decides() -> None:
    lucky = numpy.array([[0.49, 0.51], [0.49, 0.51], [0.49, 0.51]])
    sure = numpy.array([[0.1, 0.9], [0.1, 0.9], [0.51, 0.49]])
    for metric, best in (("accuracy", 1), ("balanced_accuracy", 0)):
        found = criteria("binary", ObjectiveConfig(metric=metric), [lucky, sure], numpy.ones(3))
        assert chosen(select(found, 1)) == {best: 1.0}


def test_only_the_best_on_their_own_are_considered() -> None:
    best = [1.0] * N_CANDIDATES
    assert N_CANDIDATES not in chosen(select(by_mae(*best, -1.5), 16))
    assert N_CANDIDATES - 1 in chosen(select(by_mae(*best[1:], -1.5), 16))


def test_many_models_that_are_equally_good_share_the_weight() -> None:
    """A single selection from all of them fits the few rows with a handful of members."""
    generator = numpy.random.default_rng(0)
    y = generator.normal(size=40)
    outputs = [y + generator.normal(size=40) for _ in range(60)]
    found = criteria("regression", ObjectiveConfig(metric="rmse"), outputs, y)
    weights = select(found, 60)
    assert (weights > 0).sum() > 20
    assert weights.max() < 0.2
    assert numpy.array_equal(weights, select(found, 60))


@pytest.mark.parametrize(
    ("task", "metric"),
    [(task, name) for name, metric in METRICS.items() for task in metric.tasks],
)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_criteria_order_ensembles_as_the_metrics_do(
    task: Task, metric: MetricName, is_weighted: bool
) -> None:
    generator = numpy.random.default_rng(1)
    objective = ObjectiveConfig(metric=metric, quantile=0.9, k=2)
    n_classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
    if task == "regression":
        y = generator.exponential(size=200)
        outputs = [y + generator.normal(size=200) * scale for scale in numpy.linspace(1, 2, 12)]
    else:
        y = generator.integers(0, n_classes, 200)
        likely = (1 + numpy.eye(n_classes)[y]) / (1 + n_classes)
        outputs = [generator.multinomial(16, likely) / 16 for _ in range(12)]  # with many ties

    weights = generator.exponential(size=200) if is_weighted else None

    def value(mean: Array) -> float:
        likely = mean[:, 1] if n_classes == 2 else mean
        if metric == "roc_auc":  # logits would break ties of probabilities by rounding
            return float(roc_auc_score(y, likely, multi_class="ovr", sample_weight=weights))
        if metric == "average_precision":
            truth = y if n_classes == 2 else numpy.eye(n_classes)[y]
            return float(average_precision_score(truth, likely, sample_weight=weights))
        logits = as_logits(task, torch.from_numpy(mean))
        w = None if weights is None else torch.from_numpy(weights)
        found = measure([metric], objective, task, n_classes, logits, torch.from_numpy(y), w)
        return -METRICS[metric].direction.sign * found.item()

    criterion = criteria(task, objective, outputs, y, weights)[metric == "accuracy"]
    total = criterion.values[:, :3].sum(axis=1)
    scores = criterion.score(total, 4)
    values = numpy.array([value((sum(outputs[:3]) + own) / 4) for own in outputs])
    if metric == "rmse":
        scores = -numpy.sqrt(-scores)
    if metric == "r2":
        spread = numpy.average((y - numpy.average(y, weights=weights)) ** 2, weights=weights)
        scores = 1 + scores / spread
    assert scores == pytest.approx(values, abs=1e-6)
    assert criterion.alone() == pytest.approx(criterion.among(numpy.arange(12)).alone())
    first = criterion.means_of_first().alone()
    assert first[1] == pytest.approx(criterion.score(criterion.values[:, 0], 2)[1])


@st.composite
def decided(draw: st.DrawFn) -> tuple[Array, Array, Array | None]:
    """Probabilities of some candidates with ties, also at 0 and 1, classes, and weights."""
    n = draw(st.integers(1, 25))
    probabilities = st.lists(st.integers(0, 8), min_size=n, max_size=n)
    positive = draw(st.lists(probabilities, min_size=1, max_size=4))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    weight = st.sampled_from([0.0, 0.1, 1.0, 1.7])
    weights = draw(st.none() | st.lists(weight, min_size=n, max_size=n).filter(any))
    return numpy.array(positive) / 8, numpy.array(y), weights and numpy.array(weights)


@settings(max_examples=100, deadline=None)
@given(
    case=decided(), metric=st.sampled_from([n for n, each in METRICS.items() if each.of_decision])
)
def test_a_tuned_criterion_is_the_metric_at_the_best_threshold(
    case: tuple[Array, Array, Array | None], metric: MetricName
) -> None:
    positive, y, weights = case
    outputs = [numpy.stack([1 - own, own], axis=1) for own in positive]
    objective = ObjectiveConfig(metric=metric, threshold="tuned")
    criterion = criteria("binary", objective, outputs, y, weights)[metric == "accuracy"]

    def best(own: Array) -> float:
        rows = None if weights is None else torch.from_numpy(weights)
        own, truth = torch.from_numpy(own), torch.from_numpy(y)
        return float(threshold_curve(metric, own, truth, rows)[1].max())

    means = [best((positive[0] + own) / 2) for own in positive]
    assert criterion.score(criterion.values[:, 0], 2) == pytest.approx(means)
    assert criterion.alone() == pytest.approx([best(own) for own in positive])
