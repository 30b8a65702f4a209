"""The whole engine against PyTorch's own layers, losses and optimizers, and what it needs."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from hpo.config.trial import LOSSES, Activation, OptimizerName, TrainingConfig, TrialConfig
from hpo.training.batches import BatchLoader, TrainingData
from hpo.training.families.mlp.network import MLP
from hpo.training.single import train
from hpo.training.targets import link_of
from tests.support.paths import ROOT
from tests.support.training import toy_config, toy_data, weighted

FUNCTIONS = {
    "bce": lambda z, y, s: nn.functional.binary_cross_entropy_with_logits(
        z[:, 0], y * (1 - s) + s / 2, reduction="none"
    ),
    "cross_entropy": lambda z, y, s: nn.functional.cross_entropy(
        z, y, label_smoothing=s, reduction="none"
    ),
    "mse": lambda z, y, _: nn.functional.mse_loss(z[:, 0], y, reduction="none"),
    "mae": lambda z, y, _: nn.functional.l1_loss(z[:, 0], y, reduction="none"),
    "huber": lambda z, y, _: nn.functional.huber_loss(z[:, 0], y, reduction="none"),
    "quantile": lambda z, y, _: torch.maximum(0.9 * (y - z[:, 0]), 0.1 * (z[:, 0] - y)),
    "poisson": lambda z, y, _: nn.functional.poisson_nll_loss(z[:, 0], y, reduction="none"),
    "focal": lambda z, y, s: focal(z, y, s),
}
"""Losses of each row."""


def focal(z: torch.Tensor, y: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The focal loss of each row, gamma = 2."""
    if z.shape[1] == 1:
        z, y = nn.functional.pad(z, (1, 0)), y.long()
    targets = nn.functional.one_hot(y, z.shape[1]) * (1 - smoothing) + smoothing / z.shape[1]
    p = z.softmax(dim=1)
    return -(targets * (1 - p).square() * p.log()).sum(dim=1)


FACTORS = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
    "flat_cosine": lambda t: 1.0 if t < 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * t - 1))),
    "coslog4": lambda t: 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t))),
}


def rate_factor(config: TrainingConfig, n_batches: int, step: int) -> float:
    """The factor of the learning rate, as the papers write it."""
    warm = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    return warm * FACTORS[config.schedule](step / (config.max_epochs * n_batches))


def by_torch(config: TrialConfig, data: TrainingData, n_epochs: int) -> MLP:
    """Train with autograd, torch.optim and LambdaLR on the engine's own batches."""
    training, optimizer = config.training, config.optimizer
    dtype = torch.float64 if training.precision == "float64" else torch.float32
    network = MLP(data.inputs, data.n_outputs, config.model, seed=training.seed).to(dtype)
    weights = [p for p in network.parameters() if p.ndim == 2]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": optimizer.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    names = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
    options = {"momentum": optimizer.momentum} if optimizer.name == "sgd" else {}
    if optimizer.name in ("adam", "adamw"):
        options = {"betas": (optimizer.beta1, optimizer.beta2)}
    kind = getattr(torch.optim, names[optimizer.name])
    made = kind(groups, lr=optimizer.learning_rate, **options)
    loss = LOSSES[data.task][0] if training.loss == "auto" else training.loss
    loader = BatchLoader(data, torch.device("cpu"))
    n_batches = data.n_batches(training.batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        made, lambda step: rate_factor(training, n_batches, step)
    )
    for epoch in range(n_epochs):
        link = link_of(training, data.task)
        for x, y, w in loader.batches(training.seed, epoch, training.batch_size, link=link):
            made.zero_grad()
            y = y.to(dtype) if y.is_floating_point() else y
            losses = FUNCTIONS[loss](network(x.to(dtype)), y, training.label_smoothing)
            (losses if w is None else w * losses).mean().backward()
            if training.gradient_clip:
                nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
            for p in weights:  # the loss's gradient alone is clipped
                p.grad += optimizer.l1 * p.detach().sign()
            made.step()
            scheduler.step()
    return network


def compare(config: TrialConfig, data: TrainingData) -> None:
    """The engine's weights at its best epoch must be PyTorch's."""
    result = train(config, data, "cpu")
    assert result.best_step > 1, "take a case that improves"
    theirs = by_torch(config, data, result.best_step).state_dict()
    assert result.weights.keys() == theirs.keys()
    for name, weight in result.weights.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(activation):
    compare(toy_config(model={"activation": activation}), toy_data())


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer(name, weight_decay):
    optimizer = {"name": name, "weight_decay": weight_decay, "learning_rate": 2e-3}
    compare(toy_config(optimizer=optimizer), toy_data())


@pytest.mark.parametrize(
    ("task", "loss"), [(task, loss) for task in LOSSES for loss in ("auto", *LOSSES[task])]
)
def test_every_loss(task, loss):
    metric = "rmse" if task == "regression" else "log_loss"
    objective = {}
    if loss == "quantile":
        metric, objective = "pinball", {"quantile": 0.9}
    compare(toy_config(task, metric=metric, objective=objective, loss=loss), toy_data(task))


def test_a_transform_of_the_target():
    compare(toy_config(target_transform="log1p"), toy_data())


@pytest.mark.parametrize(
    ("task", "training"),
    [
        ("binary", {"label_smoothing": 0.2}),
        ("multiclass", {}),
        ("multiclass", {"label_smoothing": 0.2}),
        ("binary", {"loss": "focal", "label_smoothing": 0.2}),
        ("multiclass", {"loss": "focal", "label_smoothing": 0.2}),
        ("regression", {"loss": "huber"}),
        ("regression", {"loss": "poisson"}),
    ],
)
def test_weights_of_rows_in_the_loss(task, training):
    data = weighted(toy_data(task))
    config = toy_config(task, metric="rmse" if task == "regression" else "log_loss", **training)
    compare(config, data)
    plain = train(config, replace(data, w_train=None), "cpu")
    weights = train(config, data, "cpu").weights
    assert not any(torch.allclose(weights[name], plain.weights[name]) for name in weights)


def test_l1_and_clipping():
    compare(toy_config(optimizer={"l1": 1e-2}, gradient_clip=0.05), toy_data())


@pytest.mark.parametrize("depth", [1, 5])
def test_one_layer_and_many(depth):
    compare(toy_config(model={"depth": depth}), toy_data())


@pytest.mark.slow
def test_it_needs_torch_and_the_standard_library_alone():
    """A process in which every other package is out of reach, and so are hpo's other rooms, but
    for a few modules of plain values that need the standard library alone. Tests of training, which
    a GPU machine without anything else runs, make do with pytest and hypothesis, or skip."""
    program = """
import importlib, pathlib, sys
import hypothesis, pytest, torch, torch.optim  # with whatever they need

VALUES = ("entry_points", "errors", "families", "metrics", "trial", "urls", "version")
loaded = {name.partition(".")[0] for name in sys.modules}
allowed = {"tests", "torch", *sys.stdlib_module_names, *loaded}
assert not allowed & {"hpo", "polars", "optuna", "pydantic", "sqlalchemy", "sklearn"}

class Wall:
    def find_spec(self, name, path=None, target=None):
        values = {f"hpo.config.{value}" for value in VALUES}
        ours = name in values | {"hpo", "hpo.config"} or name.startswith("hpo.training")
        if not ours and name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is walled off", name=name)

sys.meta_path.insert(0, Wall())
from hpo.training.single import SingleTrainer
print(SingleTrainer("cpu").device)
for path in sorted(pathlib.Path("tests/training").glob("test_*.py")):
    try:
        importlib.import_module(f"tests.training.{path.stem}")
    except pytest.skip.Exception:
        print(path.stem)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    skipped = ["test_calibration", "test_checkpoint", "test_metrics", "test_weights"]
    assert done.stdout.split() == ["cpu", *skipped], done.stderr
