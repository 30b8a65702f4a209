"""CPU seconds to select an ensemble, by task and metric, from predictions of random models."""

import argparse
import time
from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from hpo.config.metrics import METRICS
from hpo.config.trial import ObjectiveConfig, Task
from hpo.results.criteria import criteria
from hpo.results.selection import select

N_CLASSES: dict[Task, int] = {"regression": 0, "binary": 2, "multiclass": 10}


def main(arguments: Sequence[str]) -> None:
    """Print a line for each task and metric."""
    parser = argparse.ArgumentParser(prog="scripts/bench ensembles", description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--rows", type=int, default=10_000)
    given = parser.parse_args(arguments)
    for task, n_classes in N_CLASSES.items():
        y, outputs = _predictions(n_classes, given.models, given.rows)
        for name, metric in METRICS.items():
            if task not in metric.tasks:
                continue
            tuned = ("tuned",) if metric.of_decision and task == "binary" else ()
            for threshold in (None, *tuned):
                objective = ObjectiveConfig(metric=name, quantile=0.9, k=3, threshold=threshold)
                start = time.process_time()
                weights = select(criteria(task, objective, outputs, y), 16)
                seconds, n = time.process_time() - start, (weights > 0).sum()
                said = f"{name} {threshold or ''}"
                print(f"{task:10}  {said:24}  {seconds:5.2f} s  {n} members", flush=True)


def _predictions(
    n_classes: int, n_models: int, n_rows: int
) -> tuple[NDArray[numpy.float64], list[NDArray[numpy.float64]]]:
    """Targets, and predictions of models that differ in their noise."""
    generator = numpy.random.default_rng(0)
    scales = generator.uniform(1, 2, n_models)
    if not n_classes:
        y = generator.normal(size=n_rows)
        y = numpy.exp(y)  # some metrics need targets above 0
        return y, [y + scale * generator.normal(size=n_rows) for scale in scales]
    classes = generator.integers(0, n_classes, n_rows)
    true = 2 * numpy.eye(n_classes)[classes]
    found = [true + scale * generator.normal(size=true.shape) for scale in scales]
    outputs = [numpy.exp(each) / numpy.exp(each).sum(axis=1, keepdims=True) for each in found]
    return classes.astype(numpy.float64), outputs
