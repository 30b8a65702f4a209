"""All metrics by scikit-learn."""

from typing import Any

import pytest
import torch

from hpo.config.trial import Task

np = pytest.importorskip("numpy")  # wants more than torch
sk = pytest.importorskip("sklearn.metrics")
label_binarize = pytest.importorskip("sklearn.preprocessing").label_binarize

Floats = Any
"""Arrays of float64."""
QUANTILE, K = 0.9, 2


def by_scikit_learn(
    task: Task, n_classes: int, y: Floats, logits: torch.Tensor, w: Floats | None = None
) -> dict[str, float]:
    """Every metric of a task, by name.

    Args:
        task: of the targets.
        n_classes: 2 for a binary task, 0 in a regression.
        y: (rows,) targets.
        logits: (rows, n_outputs); in a regression values.
        w: (rows,) weights.
    """
    if task == "regression":
        return _of_numbers(y, logits[:, 0].double().numpy(), w)
    if task == "binary":
        logits = torch.nn.functional.pad(logits, (1, 0))
    p, predicted = torch.softmax(logits.double(), dim=1).numpy(), logits.argmax(dim=1).numpy()
    is_binary = task == "binary"
    average, scores = ("binary", p[:, 1]) if is_binary else ("macro", p)
    truth = y if is_binary else label_binarize(y, classes=range(n_classes))
    found = {
        "accuracy": sk.accuracy_score(y, predicted, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, predicted, sample_weight=w),
        "f1": sk.f1_score(y, predicted, average=average, sample_weight=w),
        "matthews_correlation": sk.matthews_corrcoef(y, predicted, sample_weight=w),
        "roc_auc": sk.roc_auc_score(y, scores, multi_class="ovr", sample_weight=w),
        "average_precision": sk.average_precision_score(truth, scores, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
        "brier_score": sk.brier_score_loss(y, scores, sample_weight=w),
    }
    if not is_binary:
        found["top_k_accuracy"] = sk.top_k_accuracy_score(y, p, k=K, sample_weight=w)
    return found


def _of_numbers(y: Floats, values: Floats, w: Floats | None) -> dict[str, float]:
    found = {
        "rmse": sk.root_mean_squared_error(y, values, sample_weight=w),
        "mae": sk.mean_absolute_error(y, values, sample_weight=w),
        "r2": sk.r2_score(y, values, sample_weight=w),
        "pinball": sk.mean_pinball_loss(y, values, alpha=QUANTILE, sample_weight=w),
    }
    if (y != 0).all():
        found["mape"] = sk.mean_absolute_percentage_error(y, values, sample_weight=w)
    if (y >= 0).all():
        clipped = values.clip(min=0)
        found["rmsle"] = sk.root_mean_squared_log_error(y, clipped, sample_weight=w)
    return found
