"""Training: tensors in, weights and metrics out.

Needs torch and the standard library alone. Does not know: SQL, files, signals, studies.
"""

from hpo.training.batches import TrainingData
from hpo.training.checkpoint import Checkpoint
from hpo.training.families.mlp.network import MLP
from hpo.training.loop import (
    Event,
    Failed,
    Finished,
    Progress,
    Run,
    SingleTrainer,
    Trainer,
    Unplaced,
    train,
)
from hpo.training.metrics import evaluate, predictions
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.precision import describe_environment, resolve_precision
from hpo.training.record import Result

__all__ = [
    "MLP",
    "Checkpoint",
    "Event",
    "Failed",
    "Finished",
    "PackedTrainer",
    "Progress",
    "Result",
    "Run",
    "SingleTrainer",
    "Trainer",
    "TrainingData",
    "Unplaced",
    "describe_environment",
    "evaluate",
    "predictions",
    "resolve_precision",
    "train",
]
