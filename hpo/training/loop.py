"""The one-trial engine: the training loop, driven a slice at a time.

A trainer is pulled, never called back from: `advance` trains for about so many seconds and returns
what happened. It reads from top to bottom: `Fit` is one trial's training, `SingleTrainer` holds one
at a time.

Does not know: studies, SQL, files, signals.
"""

import math
import time
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from hpo.training.batches import Batches, TrainingData
from hpo.training.metrics import evaluate, loss_and_gradient, measure, resolve_loss
from hpo.training.model import Passes, Shape, evaluate_layers
from hpo.training.optimizers import Optimizer
from hpo.training.precision import resolve_precision
from hpo.training.random import mask_grid
from hpo.trial import METRICS, Measurement, Precision, TrialConfig

STEPS_PER_LOOK = 32
"""Steps between looks at the clock."""

ROWS_PER_EVALUATION = 16_384


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a trainer is asked to train."""

    key: int
    config: TrialConfig
    data: TrainingData


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a training ended.

    Attributes:
        status: `diverged` when the loss or the metric was no finite number.
        reason: why it diverged, or "".
        best_step: the epoch of the best validation metric, from 1; 0 when there was none.
        best_value: that metric; NaN when there was none.
        metrics: every metric of the task at that epoch, on the validation part.
        weights: the network's state at that epoch, float32 on the CPU, under `MLP`'s names.
        n_epochs: epochs begun and finished.
        n_steps: optimizer steps.
        seconds: wall time in training.
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


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Epochs that a trial finished in a slice."""

    key: int
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A trial's training ended, well or not."""

    key: int
    result: Result


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A trial could not be trained, out of memory for one; the trainer goes on."""

    key: int
    reason: str


Event = Progress | Finished | Failed


class Trainer(Protocol):
    """What the worker drives."""

    device: torch.device

    def admit(self, run: Run) -> bool:
        """Take a trial; False when there is no slot for it now."""

    def advance(self, max_seconds: float) -> list[Event]:
        """Train for about so long, and say what happened."""

    def evict(self, key: int) -> None:
        """Drop a trial."""


class SingleTrainer:
    """Trains one trial at a time."""

    def __init__(self, device: torch.device | str) -> None:
        """Train on `device`."""
        self.device = torch.device(device)
        self._run: Run | None = None
        self._fit: Fit | None = None

    def admit(self, run: Run) -> bool:
        """Take a trial; False while there is another."""
        if self._run is not None:
            return False
        self._run = run
        return True

    def advance(self, max_seconds: float) -> list[Event]:
        """Train the trial, if there is one; memory it cannot have fails it alone."""
        if (run := self._run) is None:
            return []
        try:
            if self._fit is None:
                self._fit = Fit(run.config, run.data, self.device)
            measurements, result = self._fit.advance(max_seconds)
        except torch.OutOfMemoryError as error:
            self.evict(run.key)
            return [Failed(key=run.key, reason=f"out of memory: {str(error).splitlines()[0]}")]
        events: list[Event] = []
        if measurements:
            events.append(Progress(key=run.key, measurements=tuple(measurements)))
        if result is not None:
            self.evict(run.key)
            events.append(Finished(key=run.key, result=result))
        return events

    def evict(self, key: int) -> None:
        """Drop the trial, and give its memory back."""
        if self._run is not None and self._run.key == key:
            self._run = self._fit = None
            if self.device.type == "cuda":
                torch.cuda.empty_cache()


class Fit:
    """The training of one configuration: buffers, position, best epoch so far."""

    def __init__(self, config: TrialConfig, data: TrainingData, device: torch.device) -> None:
        """Place data and parameters on the device."""
        training = config.training
        self._config, self._data = config, data
        self._precision = resolve_precision(training.precision, config.model.width, device)
        dtype = torch.bfloat16 if self._precision == "bfloat16" else torch.float32
        self._loss = resolve_loss(training.loss, data.task)
        self._batches = Batches(data, training.batch_size, training.seed, device, dtype)
        self._x_val, self._y_val = data.x_val.to(device), data.y_val.to(device)
        self._shape = Shape.of(data.x_train.shape[1], data.n_outputs, config.model)
        self._make_buffers(device, dtype)
        metric = METRICS[config.objective.metric]
        self._sign = 1.0 if metric.direction == "minimize" else -1.0
        self._epoch, self._step, self._n_steps = 0, 0, 0
        self._loss_sum = torch.zeros((), device=device)
        self._best = Measurement(step=0, value=math.nan)
        self._best_parameters: tuple[torch.Tensor, torch.Tensor] | None = None
        self._seconds = 0.0

    def advance(self, max_seconds: float) -> tuple[list[Measurement], Result | None]:
        """Train until the time is over or the training is; epochs finished, and how it ended."""
        start = time.perf_counter()
        measurements: list[Measurement] = []
        ended: str | None = None
        while ended is None and time.perf_counter() < start + max_seconds:
            self._train_steps()
            if self._step == self._batches.n_steps:
                ended = self._end_epoch(measurements)
        self._seconds += time.perf_counter() - start
        return measurements, None if ended is None else self._result(reason=ended)

    @torch.inference_mode()
    def _train_steps(self) -> None:
        """Some steps, within the epoch; the device is not waited for."""
        for _ in range(min(STEPS_PER_LOOK, self._batches.n_steps - self._step)):
            x, y = self._batches.batch(self._epoch, self._step)
            logits = self._passes.forward(x, self._config.training.seed, self._n_steps)
            loss, grad = loss_and_gradient(self._loss, logits.float(), y)
            self._passes.backward(grad.to(logits.dtype))
            self._apply_gradients()
            self._loss_sum += loss
            self._step += 1
            self._n_steps += 1

    @torch.inference_mode()
    def _end_epoch(self, measurements: list[Measurement]) -> str | None:
        """Measure the epoch; why training ends here ("" when it has converged), or None."""
        self._epoch, self._step = self._epoch + 1, 0
        value = float(self._measure())
        mean_loss = float(self._loss_sum) / self._batches.n_steps
        self._loss_sum.zero_()
        if not math.isfinite(mean_loss) or not math.isfinite(value):
            return f"the loss or the metric was no finite number in epoch {self._epoch}"
        measurements.append(Measurement(step=self._epoch, value=value))
        if not self._sign * value >= self._sign * self._best.value:
            self._best = measurements[-1]
            self._best_parameters = (self._weights.clone(), self._biases.clone())
        training = self._config.training
        is_last = self._epoch == training.max_epochs
        return "" if is_last or self._epoch - self._best.step >= training.patience else None

    def _make_buffers(self, device: torch.device, dtype: torch.dtype) -> None:
        """Float32 parameters; copies of them and gradients in the precision of the passes.

        In float32 the copies are the parameters themselves.
        """
        config, shape = self._config, self._shape
        weights, biases = shape.initial(config.training.seed)
        self._weights, self._biases = weights.to(device), biases.to(device)
        self._working = [self._weights.to(dtype), self._biases.to(dtype)]
        self._grads = [torch.zeros_like(buffer) for buffer in self._working]
        self._optimizer = Optimizer(config.optimizer, config.training, self._weights, self._biases)
        self._passes = Passes(
            config.model,
            shape.weights(self._working[0]),
            shape.biases(self._working[1]),
            shape.weights(self._grads[0]),
            shape.biases(self._grads[1]),
            mask_grid(config.training.batch_size, config.model.width, device),
        )

    def _apply_gradients(self) -> None:
        self._optimizer.step(self._grads[0].float(), self._grads[1].float())
        if self._precision == "bfloat16":
            self._working[0].copy_(self._weights)
            self._working[1].copy_(self._biases)

    def _measure(self) -> torch.Tensor:
        """The objective on the validation part, in float32."""
        return measure(
            self._config.objective.metric,
            self._data.task,
            self._data.n_classes,
            self._logits(self._weights, self._biases),
            self._y_val,
            self._data.target_mean,
            self._data.target_std,
        )

    def _logits(self, weights: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
        """Logits of the validation part, without dropout."""
        views = self._shape.weights(weights), self._shape.biases(biases)
        blocks = self._x_val.split(ROWS_PER_EVALUATION)
        return torch.cat([evaluate_layers(self._config.model, *views, x) for x in blocks])

    @torch.inference_mode()
    def _result(self, reason: str) -> Result:
        weights, biases = self._best_parameters or (self._weights, self._biases)
        metrics: dict[str, float] = {}
        if not reason:
            data = self._data
            logits = self._logits(weights, biases)
            metrics = evaluate(
                data.task,
                data.n_classes,
                logits,
                self._y_val,
                data.target_mean,
                data.target_std,
            )
        return Result(
            status="diverged" if reason else "complete",
            reason=reason,
            best_step=self._best.step,
            best_value=self._best.value,
            metrics=metrics,
            weights=self._shape.state_dict(weights, biases),
            n_epochs=self._epoch,
            n_steps=self._n_steps,
            seconds=self._seconds,
            precision=self._precision,
        )


def train(config: TrialConfig, data: TrainingData, device: torch.device | str) -> Result:
    """Train one configuration to its end.

    Raises:
        RuntimeError: it failed, out of memory for one.
    """
    trainer = SingleTrainer(device)
    trainer.admit(Run(key=0, config=config, data=data))
    while True:
        for event in trainer.advance(math.inf):
            if isinstance(event, Failed):
                raise RuntimeError(event.reason)
            if isinstance(event, Finished):
                return event.result
