"""Digests of weights and metrics of short runs, to compare before and after a refactoring.

    scripts/bench digests > before; ...; scripts/bench digests | diff before -

The runs cover every activation with every optimizer on each task, dropout, L1 and L2, resuming from
a checkpoint, packs, and folds. Digests are comparable on the same kind of processor with the same
torch.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable
from itertools import product
from typing import get_args

import torch

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
)
from hpo.training.batches import TrainingData
from hpo.training.families.mlp import MLPConfig
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.record import Result
from hpo.training.single import SingleTrainer, train
from hpo.training.trainer import Finished, Progress, Run, Trainer
from tests.support.training import OBJECTIVES, toy_data, toy_folds

METRICS = (
    *("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"),
    *("rmse", "mae", "r2"),
)
"""Metrics in the digests: a new metric must not change them."""
CPU = torch.device("cpu")


def main(arguments: list[str]) -> None:
    """Print a line for each task, precision and engine."""
    parser = argparse.ArgumentParser(prog="scripts/bench digests", description=__doc__)
    parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for task, precision in product(get_args(Task), ("float32", "bfloat16")):
        data, runs = toy_data(task), configs(task, precision)
        print(task, precision, "alone", digest(train(run, data, CPU) for run in runs))
        print(task, precision, "resumed", digest(resumed(run, data) for run in runs[::5]))
        print(task, precision, "packed", digest(packed(runs, data)))
        folds = toy_folds(task)
        print(task, precision, "folds", digest(train(run, folds, CPU) for run in runs[::5]))


def configs(task: Task, precision: Precision) -> list[TrialConfig]:
    """One configuration per activation and optimizer; width, depth and seed differ too."""
    pairs = product(get_args(Activation), get_args(OptimizerName))
    return [
        TrialConfig(
            data=DataConfig(source="", target="y", task=task),
            objective=ObjectiveConfig(metric=OBJECTIVES[task]),
            model=MLPConfig(
                depth=1 + at % 4, width=8 + 5 * (at % 3), activation=activation, dropout=0.1
            ),
            optimizer=OptimizerConfig(
                name=optimizer, learning_rate=1e-3, weight_decay=1e-3, l1=1e-4
            ),
            training=TrainingConfig(batch_size=64, max_epochs=3, precision=precision, seed=at),
        )
        for at, (activation, optimizer) in enumerate(pairs)
    ]


def resumed(config: TrialConfig, data: TrainingData) -> Result:
    """A run that another trainer resumes after a few steps."""
    first = SingleTrainer(CPU)
    first.admit(Run(key=0, config=config, data=data))
    for _ in range(3):
        first.advance(0.0)
    second = SingleTrainer(CPU)
    second.admit(Run(key=0, config=config, data=data), first.checkpoint(0))
    return finished(second, 1)[0]


def packed(runs: list[TrialConfig], data: TrainingData) -> list[Result]:
    """All runs in one pack."""
    trainer = PackedTrainer(CPU, len(runs))
    for key, run in enumerate(runs):
        trainer.admit(Run(key=key, config=run, data=data))
    return finished(trainer, len(runs))


def finished(trainer: Trainer, n_runs: int) -> list[Result]:
    """The results of a trainer's runs, sorted by key."""
    found: dict[int, Result] = {}
    while len(found) < n_runs:
        for event in trainer.advance(0.5):
            match event:
                case Finished():
                    found[event.key] = event.result
                case Progress():
                    pass
                case _:
                    raise RuntimeError(f"a run failed: {event}")
    return [found[key] for key in sorted(found)]


def digest(results: Iterable[Result]) -> str:
    """First 16 digits of the SHA-256 of all weights and metrics."""
    found = hashlib.sha256()
    for result in results:
        for fold in result.folds:
            for name, weights in sorted(fold.weights.items()):
                found.update(name.encode() + weights.contiguous().numpy().tobytes())
        known = {name: value for name, value in result.metrics.items() if name in METRICS}
        found.update(json.dumps([result.best_step, known], sort_keys=True).encode())
    return found.hexdigest()[:16]
