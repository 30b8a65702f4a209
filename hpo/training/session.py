"""One training run: its network, its position, the best it has been.

Owns patience, the best epoch and what counts as divergence. All that the run is lies in the flat
parameters, the optimizer's memory, the best epoch's copy and the counters of steps and epochs;
everything random is a function of these.

Does not know: other runs, time slices' length, who drives it.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from hpo.training.batches import Feed
from hpo.training.checkpoint import BEST_VALUES, OPTIMIZER, VALUES, Checkpoint
from hpo.training.losses import loss_gradient
from hpo.training.metrics import evaluate, measure
from hpo.training.model import MLP
from hpo.training.optimizers import Optimizer
from hpo.training.parameters import FlatParameters
from hpo.training.passes import Passes
from hpo.training.precision import describe_environment, resolve_precision
from hpo.training.random import DropoutMasks
from hpo.trial import METRICS, Measurement, Precision, TrialConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """How a run ended.

    Attributes:
        status: "diverged" when weights or outputs stopped being finite numbers.
        reason: what diverged and when; empty when complete.
        best_step: the epoch with the best validation metric, from 1; 0 when there was none.
        best_value: that metric as training measured it, in its own precision; NaN without one.
        metrics: every metric of the task on the validation part at the best epoch, in float32.
        weights: the network's `state_dict` at the best epoch, float32 on the CPU; like `metrics`
            empty when diverged.
        n_epochs: epochs finished, the one that diverged included.
        n_steps: updates made.
        seconds: spent training and validating.
        precision: what `auto` was resolved to.
    """

    status: Literal["complete", "diverged"]
    reason: str
    best_step: int
    best_value: float
    metrics: dict[str, float]
    weights: dict[str, torch.Tensor]
    n_epochs: int
    n_steps: int
    seconds: float
    precision: Precision


class Session:
    """Trains one network, a slice at a time."""

    def __init__(
        self, config: TrialConfig, feed: Feed, checkpoint: Checkpoint | None = None
    ) -> None:
        """Make the network and its optimizer on the device of `feed`.

        Args:
            config: of the run.
            feed: its data.
            checkpoint: of this run, to go on from.
        """
        training, data = config.training, feed.data
        self._config = config
        self._feed = feed
        self._precision = (
            checkpoint.environment.precision
            if checkpoint
            else resolve_precision(training.precision, config.model.width, feed.device)
        )
        working = getattr(torch, self._precision)
        network = MLP(data.x_train.shape[1], data.n_outputs, config.model, seed=training.seed)
        self._network = network.to(feed.device).eval()
        self._parameters = FlatParameters(self._network, working)
        self._passes = Passes(
            self._parameters,
            config.model.activation,
            _masks(config, working),
            loss_gradient(training.loss, data.task),
            working,
        )
        self._optimizer = Optimizer(self._parameters, config.optimizer, training.gradient_clip)
        self._direction = METRICS[config.objective.metric].direction
        self._best = Measurement(step=0, value=float("nan"))
        self._best_values = self._parameters.values.clone()
        self._measurements: list[Measurement] = []
        self._reason = ""
        self._n_epochs = self._n_steps = 0
        self._seconds = 0.0
        if checkpoint:
            self._go_on_from(checkpoint)
        self._batches = self._start_epoch()

    def advance(self, deadline: float) -> tuple[Measurement, ...]:
        """Train until `time.perf_counter()` says `deadline` or the run ends.

        Returns:
            The finite measurements of the epochs that were finished.
        """
        start = time.perf_counter()
        measured = []
        with torch.no_grad():
            while not self._is_over():
                if (batch := next(self._batches, None)) is not None:
                    self._passes.run(*batch, self._n_steps)
                    self._optimizer.step()
                    self._n_steps += 1
                elif (measurement := self._end_epoch()) is not None:
                    measured.append(measurement)
                if time.perf_counter() >= deadline:
                    break
        if self._feed.device.type == "cuda":
            torch.cuda.synchronize(self._feed.device)
        self._seconds += time.perf_counter() - start
        return tuple(measured)

    def checkpoint(self) -> Checkpoint | None:
        """The run as it stands; None before the first step."""
        if not self._n_steps:
            return None
        return Checkpoint(
            tensors={name: t.to("cpu", copy=True) for name, t in self._tensors().items()},
            measurements=tuple(self._measurements),
            best_step=self._best.step,
            n_steps=self._n_steps,
            n_epochs=self._n_epochs,
            seconds=self._seconds,
            environment=describe_environment(self._feed.device, self._precision),
        )

    def result(self) -> Result | None:
        """How the run ended, or None while it goes on."""
        if not self._is_over():
            return None
        metrics, weights = ({}, {}) if self._reason else self._winner()
        return Result(
            status="diverged" if self._reason else "complete",
            reason=self._reason,
            best_step=self._best.step,
            best_value=self._best.value,
            metrics=metrics,
            weights=weights,
            n_epochs=self._n_epochs,
            n_steps=self._n_steps,
            seconds=self._seconds,
            precision=self._precision,
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All tensors that the rest of the run depends on, by name."""
        memory = {f"{OPTIMIZER}{name}": t for name, t in self._optimizer.memory.items()}
        return {VALUES: self._parameters.values, BEST_VALUES: self._best_values, **memory}

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        for name, tensor in self._tensors().items():
            tensor.copy_(checkpoint.tensors[name])
        self._parameters.refresh_working_copies()
        self._measurements = list(checkpoint.measurements)
        self._best = checkpoint.best
        self._n_epochs, self._n_steps = checkpoint.n_epochs, checkpoint.n_steps
        self._seconds = checkpoint.seconds

    def _start_epoch(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of the epoch that are still to come; all of them but after a checkpoint."""
        training = self._config.training
        n_batches = self._feed.data.n_batches(training.batch_size)
        n_done = self._n_steps - self._n_epochs * n_batches
        return self._feed.batches(training.seed, self._n_epochs, training.batch_size, n_done)

    def _end_epoch(self) -> Measurement | None:
        """Validate; None when the run has diverged."""
        logits = self._validate(self._passes.outputs)
        data, metric = self._feed.data, self._config.objective.metric
        value = measure(
            metric,
            data.task,
            data.n_classes,
            logits,
            self._feed.y_val,
            data.target_mean,
            data.target_std,
        )
        self._n_epochs += 1
        is_finite, measured = torch.stack([logits.isfinite().all().double(), value]).tolist()
        if not (is_finite and math.isfinite(measured)):
            self._reason = f"outputs or {metric} are no finite numbers after epoch {self._n_epochs}"
            return None
        measurement = Measurement(step=self._n_epochs, value=measured)
        self._measurements.append(measurement)
        self._note(measurement)
        self._batches = self._start_epoch()
        return measurement

    def _validate(self, outputs: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """A network's outputs on the validation part, (rows, n_outputs) float32."""
        return torch.cat([outputs(x) for x in self._feed.validation_blocks()])

    def _note(self, measurement: Measurement) -> None:
        """Remember the weights of the best epoch."""
        gain = measurement.value - self._best.value
        if self._best.step and (gain >= 0 if self._direction == "minimize" else gain <= 0):
            return
        self._best = measurement
        self._best_values.copy_(self._parameters.values)

    def _is_over(self) -> bool:
        training = self._config.training
        is_late = self._n_epochs - self._best.step >= training.patience
        return bool(self._reason) or is_late or self._n_epochs >= training.max_epochs

    def _winner(self) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        """Metrics and weights of the best epoch, by the network as it is exported."""
        self._parameters.values.copy_(self._best_values)
        with torch.no_grad():
            logits = self._validate(self._network)
        data = self._feed.data
        metrics = evaluate(
            data.task,
            data.n_classes,
            logits,
            self._feed.y_val,
            data.target_mean,
            data.target_std,
        )
        weights = self._network.state_dict()
        return metrics, {name: value.detach().cpu().clone() for name, value in weights.items()}


def _masks(config: TrialConfig, dtype: torch.dtype) -> DropoutMasks | None:
    model = config.model
    if not model.dropout:
        return None
    return DropoutMasks(config.training.seed, model.dropout, model.depth, model.width, dtype)
