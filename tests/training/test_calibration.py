"""Temperature and threshold, beside scipy, scikit-learn and a search of all thresholds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot, pad

from hpo.config.metrics import METRICS, MetricName
from hpo.config.trial import Calibration, ObjectiveConfig
from hpo.training.calibration import (
    HOTTEST,
    best_at_threshold,
    calibrate,
    fit_temperature,
    threshold_curve,
)
from hpo.training.metrics import evaluate, measure, predictions
from hpo.training.scores import DECISIONS
from tests.support.training import ANY

optimize = pytest.importorskip("scipy.optimize")
sk = pytest.importorskip("sklearn.metrics")
DECIDING = [name for name, metric in METRICS.items() if metric.of_decision]
SCORES = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "f1": sk.f1_score,
}


def drawn(n_classes: int, n_rows: int, factor: float, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Logits that are `factor` times too large, and the classes that they are of."""
    generator = torch.Generator().manual_seed(seed)
    n_outputs = 1 if n_classes == 2 else n_classes
    logits = 2 * torch.randn(n_rows, n_outputs, generator=generator)
    each = torch.softmax(pad(logits, (1, 0)) if n_classes == 2 else logits, dim=1)
    y = torch.multinomial(each, 1, generator=generator)[:, 0]
    return factor * logits, y


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("n_classes", "factor"), [(2, 4.0), (2, 0.2), (4, 30.0)])
def test_the_temperature_minimizes_the_log_loss(
    n_classes: int, factor: float, is_weighted: bool
) -> None:
    task = "binary" if n_classes == 2 else "multiclass"
    n_rows = 500
    logits, y = drawn(n_classes, n_rows, factor)
    weights = torch.arange(n_rows, dtype=torch.float64) if is_weighted else None
    share = torch.full((n_rows,), 1 / n_rows) if weights is None else weights / weights.sum()
    z = (pad(logits, (1, 0)) if n_classes == 2 else logits).double()
    target = (one_hot(y, n_classes) * n_rows + 1 / n_classes) / (n_rows + 1)

    def loss(logarithm: float) -> float:
        by_row = -(target * torch.log_softmax(z / math.exp(logarithm), dim=1)).sum(dim=1)
        return float(share.double() @ by_row)

    found = float(fit_temperature(task, logits, y, weights))
    best = optimize.minimize_scalar(loss, bounds=(-6, 6), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(math.exp(best.x), rel=1e-6)
    assert found == pytest.approx(factor, rel=0.4)


def test_the_temperature_is_finite_for_every_network() -> None:
    y = torch.arange(60) % 2
    right = 6.0 * (2 * y[:, None] - 1)  # of every row the true class is the likeliest
    found = float(fit_temperature("binary", right, y))
    # One further row of both classes among 61: its share is what remains to be doubted.
    assert 1 / (1 + math.exp(6 / found)) == pytest.approx(0.5 / 61)
    assert float(fit_temperature("binary", -right, y)) == pytest.approx(HOTTEST, rel=1e-3)
    assert float(fit_temperature("binary", torch.zeros(60, 1), y)) == 1.0


def test_many_networks_are_fitted_at_once() -> None:
    networks = [drawn(3, 200, factor, seed) for seed, factor in enumerate((0.1, 1.0, 50.0))]
    logits, y = networks[0][0], networks[0][1]
    stacked = torch.stack([logits, logits * 7, logits / 9])
    together = torch.vmap(lambda own: fit_temperature("multiclass", own, y))(stacked)
    alone = [float(fit_temperature("multiclass", own, y)) for own in stacked]
    assert together.tolist() == pytest.approx(alone, rel=1e-9)


@st.composite
def decided(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Probabilities with ties, also at 0 and 1, classes, and weights."""
    n = draw(st.integers(1, 30))
    grid = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0])
    p = draw(st.lists(grid | st.floats(0, 1, width=32), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    weights = draw(st.none() | st.lists(st.floats(0.1, 5), min_size=n, max_size=n))
    return (
        torch.tensor(p),
        torch.tensor(y),
        None if weights is None else torch.tensor(weights, dtype=torch.float64),
    )


@settings(max_examples=40, deadline=None)
@given(case=decided(), metric=st.sampled_from(DECIDING))
def test_no_threshold_is_better_than_the_best_of_the_curve(
    case: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None], metric: MetricName
) -> None:
    p, y, weights = case
    decision = DECISIONS["binary"][metric]
    share = torch.ones(len(y), dtype=torch.float64) if weights is None else weights

    def at(threshold: float) -> float:
        truth, found = one_hot(y, 2).double(), one_hot((p.double() > threshold).long(), 2).double()
        counts = (share @ (truth * found), share @ found, share @ truth)
        return float(decision(*counts))

    thresholds, values = threshold_curve(metric, p, y, weights)
    is_cut = values > -math.inf
    for threshold, value in zip(thresholds[is_cut].tolist(), values[is_cut].tolist(), strict=True):
        assert at(threshold) == pytest.approx(value, abs=1e-12)
    every = [*p.double().tolist(), 0.0, 1.0]  # rows above one of these are positive
    assert float(values.max()) == pytest.approx(max(map(at, every)), abs=1e-12)
    assert is_cut.sum() == len({at_or for at_or in p.tolist() if at_or > 0}) + 1


@pytest.mark.parametrize("metric", list(SCORES))
def test_the_metric_at_the_threshold_is_scikit_learn_s(metric: MetricName) -> None:
    logits, y = drawn(2, 400, 1.0)
    logits -= 2
    objective = ObjectiveConfig(metric=metric, threshold="tuned")
    found = calibrate(objective, "binary", logits, y)
    assert found.temperature == 1
    predicted = predictions("binary", logits)[:, 1].double() > found.threshold
    best = SCORES[metric](y.numpy(), predicted.numpy())
    assert float(best_at_threshold(metric, logits, y)) == pytest.approx(best, abs=1e-12)
    metrics = evaluate(ANY, "binary", 2, logits, y, threshold=found.threshold)
    assert metrics[metric] == pytest.approx(best, abs=1e-12)
    assert metrics[metric] > evaluate(ANY, "binary", 2, logits, y)[metric]
    for other, score in SCORES.items():
        assert metrics[other] == pytest.approx(score(y.numpy(), predicted.numpy()), abs=1e-12)


def test_a_temperature_changes_the_threshold_and_no_decision() -> None:
    logits, y = drawn(2, 300, 5.0)
    plain = calibrate(ObjectiveConfig(metric="f1", threshold="tuned"), "binary", logits, y)
    both = ObjectiveConfig(metric="f1", threshold="tuned", calibrate="temperature")
    found = calibrate(both, "binary", logits, y)
    assert found.temperature > 2
    values = [
        evaluate(ANY, "binary", 2, logits / each.temperature, y, threshold=each.threshold)
        for each in (plain, found)
    ]
    assert values[0]["f1"] == values[1]["f1"]
    assert values[1]["log_loss"] < values[0]["log_loss"]


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_taken() -> None:
    logits = torch.tensor([[-3.0], [-1.0], [1.0], [6.0]]).double()
    y = torch.tensor([0, 1, 0, 1])
    objective = ObjectiveConfig(metric="accuracy", threshold="tuned")
    found = calibrate(objective, "binary", logits, y)
    assert float(measure(["accuracy"], ANY, "binary", 2, logits, y, threshold=0.9)) == 0.75
    outer = torch.sigmoid(logits[:2, 0]).mean()
    assert found == Calibration(threshold=pytest.approx(float(outer)))
