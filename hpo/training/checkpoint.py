"""A training run as it stands between two steps, from which it goes on as if it had never stopped.

What a run depends on besides its configuration and data is here: the parameters, the optimizer's
memory, the best epoch's parameters, what was measured, and the counters of steps and epochs.
Everything random is a function of seed and counters, so that there is no state of a generator.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hpo.config.trial import Environment, Measurement, TrialConfig
from hpo.training.batches import TrainingData
from hpo.training.families.family import count_parameters
from hpo.training.optimizers import memory_shapes
from hpo.training.precision import master_dtype

VALUES = "values"
BEST_VALUES = "best_values"
OPTIMIZER = "optimizer."


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A run between two steps, in the middle of an epoch or at its end.

    Attributes:
        tensors: on the CPU: the flat parameters, those of the best epoch, and the optimizer's
            memory, all in the master type; its own counter of steps in float32.
        measurements: of every finished epoch, in order.
        best_step: the epoch with the best of them; 0 before the first.
        best_loss: the validation loss of that epoch; NaN where it is unknown, as before the first.
        n_steps: updates made.
        n_epochs: epochs finished.
        seconds: spent training and validating.
        environment: where the last of it was trained, and in which precision all of it.
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
        """What the best epoch measured; step 0 and NaN before the first."""
        if not self.best_step:
            return Measurement(step=0, value=float("nan"))
        return self.measurements[self.best_step - 1]

    def check(self, config: TrialConfig, data: TrainingData) -> None:
        """Make sure that a run can go on from here.

        Raises:
            ValueError: it is a checkpoint of another run.
        """
        for what, found, expected in self._requirements(config, data):
            if found != expected:
                raise ValueError(
                    f"the checkpoint at step {self.n_steps} is not of this run: "
                    f"{what} must be {expected}, but got {found}"
                )

    def _requirements(
        self, config: TrialConfig, data: TrainingData
    ) -> Iterator[tuple[str, object, object]]:
        """What must agree: its name, what is there, what belongs there."""
        n = count_parameters(config.model, data.n_inputs, data.n_outputs)
        memory = memory_shapes(config.optimizer.name, n)
        shapes: dict[str, tuple[int, ...]] = {VALUES: (n,), BEST_VALUES: (n,)}
        shapes |= {f"{OPTIMIZER}{name}": shape for name, shape in memory.items()}
        yield "its tensors", {name: tuple(t.shape) for name, t in self.tensors.items()}, shapes
        chosen, used = config.training.precision, self.environment.precision
        types = {t.dtype for t in self.tensors.values() if t.ndim}  # a counter has its own
        yield "their types", types, {master_dtype(used)}
        yield "its precision", used, used if chosen == "auto" else chosen
        n_batches = data.n_batches(config.training.batch_size)
        first = self.n_epochs * n_batches
        yield "its step", self.n_steps, _nearest(self.n_steps, first, first + n_batches)
        steps = [measurement.step for measurement in self.measurements]
        yield "its epochs", steps, list(range(1, self.n_epochs + 1))
        low, high = min(1, self.n_epochs), self.n_epochs
        yield "its best epoch", self.best_step, _nearest(self.best_step, low, high)


def _nearest(number: int, low: int, high: int) -> int:
    """The number itself where it lies between the bounds."""
    return min(max(number, low), high)
