import pytest
import torch

from hpo.config.metrics import METRICS
from hpo.config.trial import ObjectiveConfig, Task
from hpo.training.metrics import evaluate, measure, predictions
from hpo.training.targets import TargetScale
from tests.support.reference_metrics import QUANTILE, K, by_scikit_learn
from tests.support.training import ANY, DEVICES

np = pytest.importorskip("numpy")
sk = pytest.importorskip("sklearn.metrics")
CPU = torch.device("cpu")


def objective(task: Task) -> ObjectiveConfig:
    """An objective with every parameter that a metric of the task needs."""
    is_multiclass = task == "multiclass"
    return ObjectiveConfig(metric="log_loss", quantile=QUANTILE, k=K if is_multiclass else None)


def logits_and_classes(n_classes: int, *, ties: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n_classes)
    y = torch.randint(n_classes, (500,), generator=generator)
    n_outputs = 1 if n_classes == 2 else n_classes
    logits = torch.randn(500, n_outputs, generator=generator)
    logits += torch.nn.functional.one_hot(y, n_classes)[:, -n_outputs:]
    return (logits.mul(2).round().div(2) if ties else logits), y


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_metrics_of_classes_are_scikit_learn_s(n_classes, ties, device):
    task = "binary" if n_classes == 2 else "multiclass"
    logits, y = logits_and_classes(n_classes, ties=ties)
    found = evaluate(objective(task), task, n_classes, logits.to(device), y.to(device))
    expected = by_scikit_learn(task, n_classes, y.numpy(), logits)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_metrics_of_a_regression_are_scikit_learn_s(shift, device):
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(400, generator=generator).abs() + shift - 0.5
    values = y[:, None] + 0.3 * torch.randn(400, 1, generator=generator)
    found = evaluate(objective("regression"), "regression", 0, values.to(device), y.to(device))
    expected = by_scikit_learn("regression", 0, y.double().numpy(), values)
    assert ("rmsle" in expected) == (shift > 0)
    assert found == pytest.approx(expected, rel=1e-9)


def test_classes_that_do_not_occur_count_as_scikit_learn_counts_them():
    logits, y = logits_and_classes(5, ties=False)
    logits[:, 4] = -99.0  # neither true nor predicted
    y = y.clamp(max=3)
    found = evaluate(ANY, "multiclass", 5, logits, y)
    truth, predicted = y.numpy(), logits.argmax(dim=1).numpy()
    assert found["f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
    expected = sk.balanced_accuracy_score(truth, predicted)
    assert found["balanced_accuracy"] == pytest.approx(expected)


def test_a_metric_that_has_no_value_is_left_out():
    found = evaluate(ANY, "binary", 2, torch.randn(9, 1), torch.zeros(9))
    always = {"accuracy", "balanced_accuracy", "matthews_correlation", "log_loss", "brier_score"}
    assert set(found) == always
    found = evaluate(ANY, "binary", 2, torch.randn(9, 1), torch.ones(9))
    assert set(found) == {*always, "f1", "average_precision"}
    found = evaluate(ANY, "multiclass", 3, torch.randn(9, 3), torch.arange(9) % 2)
    assert set(found) == {*always, "f1"}
    found = evaluate(ANY, "regression", 0, torch.randn(1, 1), torch.ones(1))
    assert set(found) == {"rmse", "mae", "mape", "rmsle"}
    found = evaluate(ANY, "regression", 0, torch.randn(2, 1), torch.tensor([0.0, -1.0]))
    assert set(found) == {"rmse", "mae", "r2"}


@pytest.mark.parametrize(
    ("task", "logits", "y"),
    [
        ("binary", torch.randn(9, 1), torch.zeros(9)),
        ("binary", torch.randn(9, 1), torch.ones(9)),
        ("multiclass", torch.randn(9, 3), torch.arange(9) % 2),
    ],
)
def test_nothing_to_rank_is_no_number(task, logits, y):
    n_classes = 2 if task == "binary" else 3
    auc, loss = measure(["roc_auc", "log_loss"], ANY, task, n_classes, logits, y).tolist()
    assert np.isnan(auc)
    assert loss > 0


def test_no_digit_of_a_target_is_lost():
    y = 1.7e9 + torch.arange(400.0, dtype=torch.float64) / 7
    mean, std = y.mean().item(), y.std(correction=0).item()
    logits = ((y - mean) / std).float()[:, None]
    scaled = TargetScale(mean, std).values(logits)
    found = evaluate(ANY, "regression", 0, scaled, y)
    values = logits[:, 0].double().numpy() * std + mean
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y.numpy(), values), rel=1e-9)
    assert found["mae"] < 1e-5
    assert scaled.dtype == torch.float64


def test_log_loss_of_sure_mistakes_stays_exact():
    found = evaluate(ANY, "binary", 2, torch.tensor([[80.0], [-80.0]]), torch.tensor([0.0, 1.0]))
    assert found["log_loss"] == pytest.approx(80.0)


@pytest.mark.parametrize("outputs", [torch.full((5, 1), 2.0), torch.arange(5.0)[:, None]])
def test_of_a_constant_target_r2_is_one_or_zero(outputs):
    y = torch.full((5,), 2.0)
    found = evaluate(ANY, "regression", 0, outputs, y)
    assert found["r2"] == sk.r2_score(y.numpy(), outputs[:, 0].numpy())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_of_a_task_is_measured(task):
    n_classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    logits = torch.randn(30, 3 if task == "multiclass" else 1)
    y = torch.arange(30) % max(n_classes, 2)
    y = y if task == "multiclass" else y.float()
    y = y + 1 if task == "regression" else y
    found = evaluate(objective(task), task, n_classes, logits, y)
    assert set(found) == {name for name, metric in METRICS.items() if task in metric.tasks}
    for name, value in found.items():
        again = measure([name], objective(task), task, n_classes, logits, y)
        assert again.tolist() == [value]


def test_predictions_of_a_regression_are_in_original_units():
    found = predictions("regression", torch.tensor([[0.0], [2.0]]), TargetScale(10.0, 3.0))
    assert found.tolist() == [10.0, 16.0]


def test_predictions_of_classes_are_probabilities():
    binary = predictions("binary", torch.tensor([[0.0], [3.0]]))
    positive = 1 / (1 + np.exp(-3.0))
    np.testing.assert_allclose(binary, [[0.5, 0.5], [1 - positive, positive]], rtol=1e-6)
    several = predictions("multiclass", torch.tensor([[1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(several, [[1 / 3] * 3], rtol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("task", "metric"),
    [(task, name) for name, metric in METRICS.items() for task in metric.tasks],
)
def test_a_weight_counts_a_row_as_often(task, metric, device):
    n_classes = {"binary": 2, "multiclass": 4, "regression": 0}[task]
    logits, y = logits_and_classes(n_classes or 3, ties=True)
    weights = torch.randint(3, (4, len(y)), generator=torch.Generator().manual_seed(1)).double()
    weights[0] = 1
    if task == "regression":
        y = y + 1
    arguments = task, n_classes, logits.to(device), y.to(device)
    found = measure([metric], objective(task), *arguments, weights=weights.to(device))
    assert found.shape == (1, 4)
    for value, row in zip(found[0].tolist(), weights, strict=True):
        rows = torch.arange(len(y)).repeat_interleave(row.long())
        assert value == pytest.approx(
            evaluate(objective(task), task, n_classes, logits[rows], y[rows])[metric], abs=1e-12
        )


def test_draws_of_one_class_or_one_value_are_told_apart():
    weights = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    logits, y = torch.tensor([[-1.0], [0.5], [2.0]]), torch.tensor([0, 1, 1])
    ranked = measure(["roc_auc"], ANY, "binary", 2, logits, y, weights)[0]
    assert ranked[0] == 1.0
    assert ranked[1].isnan()
    r2 = measure(["r2"], ANY, "regression", 0, torch.tensor([[0.0], [1], [1]]), y, weights)
    assert r2[0].tolist() == [1.0, 1.0]
    r2 = measure(["r2"], ANY, "regression", 0, torch.tensor([[0.0], [1], [2]]), y, weights)
    assert r2[0].tolist() == [1.0, 0.0]
