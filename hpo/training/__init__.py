"""Training MLPs: tensors only, with torch and the standard library alone.

Owns the network, the optimizers, the metrics and the engines that train trials. Does not know:
studies, SQL, files, signals.
"""

from hpo.training.batches import TrainingData
from hpo.training.loop import (
    Event,
    Failed,
    Finished,
    Progress,
    Result,
    Run,
    SingleTrainer,
    Trainer,
    train,
)
from hpo.training.metrics import evaluate, predictions
from hpo.training.model import MLP
from hpo.training.precision import describe_environment, resolve_precision

__all__ = [
    "MLP",
    "Event",
    "Failed",
    "Finished",
    "Progress",
    "Result",
    "Run",
    "SingleTrainer",
    "Trainer",
    "TrainingData",
    "describe_environment",
    "evaluate",
    "predictions",
    "resolve_precision",
    "train",
]
