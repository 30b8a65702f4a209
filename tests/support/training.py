"""Small data sets and configs for training."""

import math
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from hpo.config.metrics import METRICS, MetricName
from hpo.config.trial import (
    Activation,
    DataConfig,
    ObjectiveConfig,
    OptimizerConfig,
    OptimizerName,
    Precision,
    Task,
    TrainingConfig,
    TrialConfig,
    resolve_loss,
)
from hpo.training.batches import BatchLoader, FoldedData, TrainingData
from hpo.training.families.family import family_of
from hpo.training.families.mlp import MLPConfig
from hpo.training.losses import Gradient, loss_gradient
from hpo.training.packs.pack import PackKey
from hpo.training.targets import link_of

DEVICES = [
    torch.device("cpu"),
    pytest.param(
        torch.device("cuda"),  # as workers name it
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        id="cuda",
    ),
]
ANY = ObjectiveConfig(metric="rmse")
"""Gives no metric a parameter."""
OBJECTIVES: dict[Task, MetricName] = {
    "binary": "log_loss",
    "multiclass": "accuracy",
    "regression": "rmse",
}


def toy_data(task: Task = "regression", n_rows: int = 300, n_inputs: int = 5) -> TrainingData:
    """A learnable table: the target is a smooth random function of the features."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(n_rows + 200, n_inputs, generator=generator)
    scores = torch.sin(2 * x) @ torch.randn(n_inputs, 3, generator=generator)
    y = {
        "regression": 40 + 10 * scores[:, 0].double(),
        "binary": (scores[:, 0] > 0).float(),
        "multiclass": scores.argmax(dim=1),
    }[task]
    return TrainingData(
        task=task,
        n_classes={"regression": 0, "binary": 2, "multiclass": 3}[task],
        x_train=x[:n_rows],
        y_train=y[:n_rows],
        x_val=x[n_rows:],
        y_val=y[n_rows:],
    )


def weighted(data: TrainingData) -> TrainingData:
    """The data with weights from 0 to 3 of their rows, of which few are equal."""
    generator = torch.Generator().manual_seed(5)
    w_train, w_val = (
        (3 * torch.rand(len(x), generator=generator, dtype=torch.float64) - 0.3).clamp(min=0)
        for x in (data.x_train, data.x_val)
    )
    return replace(data, w_train=w_train, w_val=w_val)


def toy_folds(task: Task = "regression") -> FoldedData:
    """The 300 training rows of `toy_data` in three folds of 150, 100 and 50 validation rows."""
    data = toy_data(task)
    rows = torch.arange(300)
    parts = torch.split(rows, [150, 100, 50])
    return FoldedData(
        folds=tuple(
            TrainingData(
                task=task,
                n_classes=data.n_classes,
                x_train=data.x_train[~torch.isin(rows, part)],
                y_train=data.y_train[~torch.isin(rows, part)],
                x_val=data.x_train[part],
                y_val=data.y_train[part],
            )
            for part in parts
        )
    )


def rare_data(n_rows: int = 4000, n_positive: int = 110) -> TrainingData:
    """A table with a class so rare that F1 is 0 for many epochs."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(n_rows, 8, generator=generator)
    noise = torch.randn(n_rows, generator=generator)
    scores = x[:, 0] + torch.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3] / 2 + noise
    y = torch.zeros(n_rows).index_fill_(0, scores.topk(n_positive).indices, 1.0)
    n_train = n_rows * 3 // 4
    return TrainingData(
        task="binary",
        n_classes=2,
        x_train=x[:n_train],
        y_train=y[:n_train],
        x_val=x[n_train:],
        y_val=y[n_train:],
    )


def toy_config(
    task: Task = "regression",
    *,
    metric: MetricName | None = None,
    objective: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    **training: Any,
) -> TrialConfig:
    """A small network for a few epochs, in float32."""
    chosen = metric or OBJECTIVES[task]
    assert task in METRICS[chosen].tasks
    defaults = {"batch_size": 64, "max_epochs": 5, "precision": "float32"}
    return TrialConfig(
        data=DataConfig(source="toy", target="y", task=task),
        objective=ObjectiveConfig(metric=chosen, **(objective or {})),
        model=MLPConfig(**{"depth": 2, "width": 16, **(model or {})}),
        optimizer=OptimizerConfig(**{"learning_rate": 3e-3, **(optimizer or {})}),
        training=TrainingConfig(**{**defaults, **training}),
    )


def mixed_configs(task: Task, precision: Precision) -> list[TrialConfig]:
    """Configurations for one pack, of all optimizers and activations and several sizes."""
    activations = get_args(Activation)
    return [
        toy_config(
            task,
            model={
                "depth": 1 + index % 5,
                "width": 5 + index,
                "activation": activations[index % len(activations)],
                "dropout": [0.0, 0.1, 0.3][index % 3],
            },
            optimizer={"name": name, "momentum": 0.9, "weight_decay": 0.1, "l1": 1e-3},
            gradient_clip=0.3 * (index % 2),
            precision=precision,
        )
        for index, name in enumerate(get_args(OptimizerName) * 2)
    ]


def pack_key(config: TrialConfig, data: TrainingData, device: torch.device) -> PackKey:
    """The key of a pack of runs like this one."""
    packing = family_of(config.model).packing
    return PackKey(
        loader=BatchLoader(data, device, resident_bytes=math.inf),
        batch_size=config.training.batch_size,
        loss=resolve_loss(config.training.loss, data.task, config.objective.metric),
        link=link_of(config.training, data.task),
        objective=config.objective,
        precision=config.training.precision,
        packing=packing,
        size=packing.key(config.model, data.inputs),
    )


def gradient_of(config: TrialConfig) -> Gradient:
    """The gradient of a run's loss, alone."""
    task, objective = config.data.task, config.objective
    assert task != "auto"
    return loss_gradient(
        resolve_loss(config.training.loss, task, objective.metric),
        task,
        quantile=objective.quantile,
        focal_gamma=config.training.focal_gamma,
    )
