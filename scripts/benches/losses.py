"""What a loss that fits the question gains, on tables that are drawn for it.

    scripts/bench losses --seeds 5

Each seed draws another table of 4,000 training, 2,000 validation and 20,000 test rows with six
features. The same small MLP is trained with each loss, and stops early by the metric of its row.
Figures are of the test rows: means over the seeds.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hpo.config.trial import (
    DataConfig,
    ObjectiveConfig,
    OptimizerConfig,
    Task,
    TrainingConfig,
    TrialConfig,
)
from hpo.training.batches import TrainingData
from hpo.training.families.family import trained_network
from hpo.training.families.mlp import MLPConfig
from hpo.training.metrics import evaluate, predictions
from hpo.training.single import train
from hpo.training.targets import link_of

N_TRAIN, N_VAL, N_TEST, N_FEATURES = 4_000, 2_000, 20_000, 6
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Targets that need another loss than the usual one.

    Attributes:
        draw: from features and a generator to targets.
        variants: the objective and the keys of `[training]` of each variant.
        figures: from predictions, targets and their metrics to the figures to print.
    """

    task: Task
    draw: Callable[[Tensor, torch.Generator], Tensor]
    variants: Sequence[tuple[dict[str, Any], dict[str, Any]]]
    figures: Callable[[Tensor, Tensor, Figures], Figures]


@dataclass(kw_only=True)
class Row:
    """The figures of a variant by seed."""

    found: list[Figures] = field(default_factory=list)

    def text(self) -> str:
        """The means of all figures."""
        names = self.found[0]
        means = {name: sum(f[name] for f in self.found) / len(self.found) for name in names}
        return "  ".join(f"{name} {mean:.4g}" for name, mean in means.items())


def main(arguments: Sequence[str]) -> None:
    """Print a line for each variant of each table."""
    parser = argparse.ArgumentParser(prog="scripts/bench losses", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name, table in TABLES.items():
        for objective, training in table.variants:
            row = Row()
            for seed in range(given.seeds):
                row.found.append(measured(table, objective, training, seed))
            keys = ", ".join(f"{key} = {value}" for key, value in {**objective, **training}.items())
            print(f"{name}: {keys}: {row.text()}", flush=True)


def measured(
    table: Table, objective: dict[str, Any], training: dict[str, Any], seed: int
) -> Figures:
    """Train a variant and measure it on the test rows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N_TRAIN + N_VAL + N_TEST, N_FEATURES, generator=generator)
    y = table.draw(x, generator)
    parts = [N_TRAIN, N_VAL, N_TEST]
    (x_train, x_val, x_test), (y_train, y_val, y_test) = x.split(parts), y.split(parts)
    n_classes = 2 if table.task == "binary" else 0
    data = TrainingData(
        task=table.task,
        n_classes=n_classes,
        x_train=x_train,
        y_train=y_train,
        x_val=x_val,
        y_val=y_val,
    )
    config = TrialConfig(
        data=DataConfig(source="", target="y", task=table.task),
        objective=ObjectiveConfig(**objective),
        model=MLPConfig(depth=2, width=64, dropout=0.1),
        optimizer=OptimizerConfig(learning_rate=2e-3, weight_decay=1e-2),
        training=TrainingConfig(
            batch_size=128, max_epochs=60, precision="float32", seed=seed, **training
        ),
    )
    result = train(config, data, "cpu")
    weights = result.folds[0].weights
    network = trained_network(config.model, data.inputs, data.n_outputs, weights).eval()
    with torch.inference_mode():
        outputs = network(x_test)
    if table.task == "regression":
        outputs = data.scale(link_of(config.training, table.task)).values(outputs)
    metrics = evaluate(config.objective, table.task, n_classes, outputs, y_test)
    return table.figures(predictions(table.task, outputs), y_test.double(), metrics)


def signal(x: Tensor) -> Tensor:
    """A smooth function of the features, of mean 0 and variance near 1."""
    return torch.sin(2 * x[:, 0]) + 0.7 * x[:, 1] * x[:, 2] + 0.4 * x[:, 3]


def prices(x: Tensor, generator: torch.Generator) -> Tensor:
    """Skewed: the noise multiplies the target."""
    noise = torch.randn(len(x), generator=generator)
    return 1000 * torch.exp(1.2 * signal(x) + 0.4 * noise).double()


def counts(x: Tensor, generator: torch.Generator) -> Tensor:
    """Events of a Poisson process, 0.5 in the median row."""
    return torch.poisson(0.5 * torch.exp(signal(x)), generator=generator).double()


def waits(x: Tensor, generator: torch.Generator) -> Tensor:
    """The spread of the noise depends on a feature."""
    noise = torch.randn(len(x), generator=generator)
    return (10 + 3 * signal(x) + torch.exp(x[:, 4]) * noise).double()


def rare(x: Tensor, generator: torch.Generator) -> Tensor:
    """A class of less than 1 % of the rows."""
    chance = torch.sigmoid(2 * signal(x) - 7.3)
    return (torch.rand(len(x), generator=generator) < chance).float()


def picked(*names: str) -> Callable[[Tensor, Tensor, Figures], Figures]:
    """Some of the metrics."""
    return lambda outputs, y, metrics: {name: metrics[name] for name in names}


def of_counts(outputs: Tensor, y: Tensor, metrics: Figures) -> Figures:
    """The deviance needs predictions above 0: lower ones count as 0.001."""
    mu = outputs.clamp(min=1e-3)
    deviance = 2 * (torch.special.xlogy(y, y / mu) - y + mu).mean().item()
    below = (outputs < 0).double().mean().item()
    return {"Poisson deviance": deviance, "rmse": metrics["rmse"], "share below 0": below}


def of_quantile(outputs: Tensor, y: Tensor, metrics: Figures) -> Figures:
    """The coverage is the share of targets up to the prediction."""
    return {"pinball": metrics["pinball"], "coverage": (y <= outputs).double().mean().item()}


TABLES = {
    "prices": Table(
        task="regression",
        draw=prices,
        variants=[
            ({"metric": "rmsle"}, {}),
            ({"metric": "rmsle"}, {"target_transform": "log1p"}),
            ({"metric": "mape"}, {"target_transform": "log1p", "loss": "mae"}),
        ],
        figures=picked("rmsle", "mape", "mae", "rmse"),
    ),
    "counts": Table(
        task="regression",
        draw=counts,
        variants=[({"metric": "rmse"}, {}), ({"metric": "rmse"}, {"loss": "poisson"})],
        figures=of_counts,
    ),
    "waits": Table(
        task="regression",
        draw=waits,
        variants=[
            ({"metric": "pinball", "quantile": 0.9}, {"loss": "mse"}),
            ({"metric": "pinball", "quantile": 0.9}, {"loss": "quantile"}),
        ],
        figures=of_quantile,
    ),
    "rare": Table(
        task="binary",
        draw=rare,
        variants=[
            ({"metric": "average_precision"}, {"loss": "bce"}),
            ({"metric": "average_precision"}, {"loss": "focal"}),
        ],
        figures=picked("average_precision", "roc_auc", "f1", "brier_score"),
    ),
}
