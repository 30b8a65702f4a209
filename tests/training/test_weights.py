"""Weights of rows: in the gradients of both engines, against autograd, and in metrics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from hpo.config.trial import LOSSES, ObjectiveConfig, Task
from hpo.training.batches import BatchLoader, FoldedData, RunData
from hpo.training.families.family import family_of
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.tabm import TabMConfig
from hpo.training.losses import loss_gradient
from hpo.training.metrics import evaluate
from hpo.training.single import train
from tests.support.packs import KEY, alone, together
from tests.support.reference_metrics import QUANTILE, K, by_scikit_learn
from tests.support.training import (
    ANY,
    OBJECTIVES,
    mixed_configs,
    toy_config,
    toy_data,
    toy_folds,
    weighted,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("task", OBJECTIVES)
@pytest.mark.parametrize("model", [MLPConfig(depth=2, width=8), TabMConfig(k=3, width=8, depth=1)])
def test_gradients_are_autograd_s_of_the_weighted_mean(task: Task, model: MLPConfig) -> None:
    data, family = toy_data(task), family_of(model)
    network = family.build(model, data.inputs, data.n_outputs, seed=1).double()
    x, y, w = data.x_train[:40].double(), data.y_train[:40], torch.linspace(0, 3, 40).double()
    outputs = network.train()(x)
    heads = outputs[:, None] if outputs.ndim == 2 else outputs
    of_heads = []
    for head in heads.unbind(dim=1):
        if task == "multiclass":
            of_heads.append(functional.cross_entropy(head, y, reduction="none"))
        elif task == "binary":
            logits = functional.binary_cross_entropy_with_logits
            of_heads.append(logits(head[:, 0], y.double(), reduction="none"))
        else:
            of_heads.append((head[:, 0] - y).square())
    loss = (w * torch.stack(of_heads).mean(dim=0)).mean()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    gradient = loss_gradient(LOSSES[task][0], task)
    passes = family.passes(model, network, seed=1, gradient=gradient, working=torch.float64)
    with torch.no_grad():
        passes.run(x, y, 0, w)
    flat = family.parameters(network)
    by_parameter = dict(zip(network.parameters(), expected, strict=True))
    wanted = torch.cat([by_parameter[p].flatten() for part in flat for p in part])
    torch.testing.assert_close(passes.parameters.gradients, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("task", OBJECTIVES)
def test_a_pack_weighs_rows_as_a_run_alone(task: Task) -> None:
    """One run smooths labels, and the last batch of an epoch is smaller."""
    data = weighted(toy_data(task, n_rows=90))
    smoothing = 0.0 if task == "regression" else 0.1
    configs = mixed_configs(task, "float64")[:3]
    training = replace(configs[0].training, label_smoothing=smoothing)
    configs[0] = replace(configs[0], training=training)
    endings = together(configs, data, CPU)
    for key, config in enumerate(configs):
        lone = alone(config, data, CPU)
        assert endings.results[key].metrics == pytest.approx(lone.results[KEY].metrics, rel=1e-5)
        ours, theirs = endings.measurements[key], lone.measurements[KEY]
        assert [m.value for m in ours] == pytest.approx([m.value for m in theirs], rel=1e-8)


def test_only_the_ratios_of_weights_count() -> None:
    data = weighted(toy_data())
    loader = BatchLoader(data, CPU)
    assert loader.w_train is not None
    assert loader.w_train.double().mean().item() == pytest.approx(1, abs=1e-6)
    config = toy_config()
    assert data.w_train is not None
    scaled = replace(data, w_train=8 * data.w_train)
    first, again = train(config, data, "cpu"), train(config, scaled, "cpu")
    assert first.metrics == again.metrics


@pytest.mark.parametrize("data", [toy_data("binary"), toy_folds("binary")])
def test_rows_without_weight_teach_nothing_and_do_not_count(data: RunData) -> None:
    """Each second row has no weight, whatever its label is."""

    def metrics(*, is_weighted: bool, is_spoilt: bool) -> dict[str, float]:
        folds = []
        for fold in data.folds:
            w_train, w_val = (torch.arange(len(y)) % 2.0 for y in (fold.y_train, fold.y_val))
            if is_spoilt:
                y_train = torch.where(w_train > 0, fold.y_train, 1 - fold.y_train)
                y_val = torch.where(w_val > 0, fold.y_val, 1 - fold.y_val)
                fold = replace(fold, y_train=y_train, y_val=y_val)
            if is_weighted:
                fold = replace(fold, w_train=w_train.double(), w_val=w_val.double())
            folds.append(fold)
        made = FoldedData(folds=tuple(folds)) if len(folds) > 1 else folds[0]
        return train(toy_config("binary"), made, "cpu").metrics

    found = metrics(is_weighted=True, is_spoilt=False)
    assert found == metrics(is_weighted=True, is_spoilt=True)
    assert found != metrics(is_weighted=False, is_spoilt=False)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(LOSSES)), st.integers(0, 99))
def test_weighted_metrics_are_those_of_scikit_learn(task: Task, seed: int) -> None:
    generator = np.random.default_rng(seed)
    n_classes = {"binary": 2, "multiclass": 4, "regression": 0}[task]
    w = generator.exponential(size=40) * generator.integers(0, 2, 40)
    w[:8] = 0.01  # each class has a weight below 1
    if task == "regression":
        y = generator.exponential(size=40)
        logits = torch.from_numpy(generator.normal(size=(40, 1)))
    else:
        y = np.arange(40) % n_classes
        logits = torch.from_numpy(generator.normal(size=(40, n_classes)).round(1))
        logits = logits[:, 1:] if task == "binary" else logits
    objective = ObjectiveConfig(metric="log_loss", quantile=QUANTILE, k=K if n_classes else None)
    targets, weights = torch.from_numpy(y), torch.from_numpy(w)
    found = evaluate(objective, task, n_classes, logits, targets, weights)
    expected = by_scikit_learn(task, n_classes, y, logits, w)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_a_class_without_weight_is_absent() -> None:
    y, weights = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 2.0]).double()
    found = evaluate(ANY, "binary", 2, torch.randn(3, 1), y, weights)
    assert "roc_auc" not in found
    assert "f1" in found
