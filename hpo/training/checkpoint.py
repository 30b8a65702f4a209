"""Checkpoints: the state of a training run between two steps.

A run that resumes from a checkpoint gives the same result as one that never stopped. The state is
the parameters, the optimizer's state, the best epoch's parameters, the measurements, and the
counters of steps and epochs. A run with folds has such tensors for each; the number of steps tells
the fold and the batch. Random numbers are a function of seed and counters, so there is no generator
state.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hpo.config.trial import Environment, Measurement, TrialConfig
from hpo.training.batches import RunData
from hpo.training.families.family import count_parameters
from hpo.training.optimizers import memory_shapes
from hpo.training.precision import master_dtype

VALUES = "values"
BEST_VALUES = "best_values"
OPTIMIZER = "optimizer."


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A run between two steps, within an epoch or at its end.

    Attributes:
        tensors: on the CPU: the flat parameters, those of the best epoch, and the optimizer's
            state, all in the master type; the optimizer's step counter is float32. With folds, the
            name of each begins with its `fold_prefix`.
        measurements: of every finished epoch, in order.
        best_step: the best epoch; 0 before the first.
        best_loss: the validation loss of the best epoch; NaN where it is unknown.
        n_steps: updates made, in all folds together.
        n_epochs: epochs finished.
        seconds: spent training and validating.
        environment: where the last part was trained, and the precision of all of it.
    """

    tensors: dict[str, torch.Tensor]
    measurements: tuple[Measurement, ...]
    best_step: int
    best_loss: float
    n_steps: int
    n_epochs: int
    seconds: float
    environment: Environment

    @property
    def best(self) -> Measurement:
        """The measurement of the best epoch; step 0 and NaN before the first."""
        if not self.best_step:
            return Measurement(step=0, value=float("nan"))
        return self.measurements[self.best_step - 1]

    def check(self, config: TrialConfig, data: RunData) -> None:
        """Check that a run can resume from here.

        Raises:
            ValueError: the checkpoint is of another run.
        """
        for what, found, expected in self._requirements(config, data):
            if found != expected:
                raise ValueError(
                    f"the checkpoint at step {self.n_steps} is not of this run: "
                    f"{what} must be {expected}, but got {found}"
                )

    def _requirements(
        self, config: TrialConfig, data: RunData
    ) -> Iterator[tuple[str, object, object]]:
        """What must agree: its name, the value found and the value required."""
        shapes: dict[str, tuple[int, ...]] = {}
        for index, fold in enumerate(data.folds):
            n = count_parameters(config.model, fold.inputs, fold.n_outputs)
            memory = memory_shapes(config.optimizer.name, n)
            own: dict[str, tuple[int, ...]] = {VALUES: (n,), BEST_VALUES: (n,)}
            own |= {f"{OPTIMIZER}{name}": shape for name, shape in memory.items()}
            prefix = fold_prefix(index, len(data.folds))
            shapes |= {f"{prefix}{name}": shape for name, shape in own.items()}
        yield "its tensors", {name: tuple(t.shape) for name, t in self.tensors.items()}, shapes
        chosen, used = config.training.precision, self.environment.precision
        types = {t.dtype for t in self.tensors.values() if t.ndim}  # step counters are float32
        yield "their types", types, {master_dtype(used)}
        yield "its precision", used, used if chosen == "auto" else chosen
        n_batches = sum(fold.n_batches(config.training.batch_size) for fold in data.folds)
        first = self.n_epochs * n_batches
        yield "its step", self.n_steps, _nearest(self.n_steps, first, first + n_batches)
        steps = [measurement.step for measurement in self.measurements]
        yield "its epochs", steps, list(range(1, self.n_epochs + 1))
        low, high = min(1, self.n_epochs), self.n_epochs
        yield "its best epoch", self.best_step, _nearest(self.best_step, low, high)


def fold_prefix(index: int, n_folds: int) -> str:
    """What the names of a fold's tensors begin with; empty in a run without folds."""
    return f"fold.{index}." if n_folds > 1 else ""


def _nearest(number: int, low: int, high: int) -> int:
    """The number, clamped to the bounds."""
    return min(max(number, low), high)
