"""The history of a run: its measurements, its best epoch, whether it is over.

A run with folds has one history: an epoch ends when every fold has finished it, and its metric is
that of all folds' predictions together, each by the network that did not see the row.

Owns patience, the choice of the best epoch and the definition of divergence, for both engines. An
epoch is better than another if its metric is better, or if the metric is equal and the loss is
lower: a metric may stay constant for many epochs while the network learns. A refit has no
validation part: it trains all its epochs and keeps the last one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from hpo.config.metrics import find_metric, loss_metric
from hpo.config.trial import Calibration, Measurement, ObjectiveConfig, Precision, TrialConfig
from hpo.training.batches import BatchLoader, TrainingData
from hpo.training.calibration import best_at_threshold, calibrate, fit_temperature
from hpo.training.checkpoint import Checkpoint
from hpo.training.families.family import family_of, flatten
from hpo.training.metrics import evaluate, mean_over_heads, measure
from hpo.training.precision import describe_environment, resolve_precision
from hpo.training.targets import Link, link_of


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldResult:
    """A fold's network at the run's best epoch.

    Attributes:
        metrics: every metric of the task that is defined on the fold's validation part.
        weights: the network's `state_dict`, float32 on the CPU.
    """

    metrics: dict[str, float]
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """How a run ended.

    Attributes:
        status: "diverged" when weights or outputs stopped being finite numbers.
        reason: what diverged and when; empty when complete.
        best_step: the best epoch, from 1; 0 if there is none.
        best_value: the validation metric of the best epoch in the precision of training; NaN if
            there is none.
        metrics: every metric of the task that is defined on the validation part, or on those of
            all folds together, at the best epoch, by networks in float32 with their calibration.
        folds: in their order; a run without folds has one. Empty when diverged, as are `metrics`.
        calibration: what the objective asks for, fitted to the validation parts together at the
            best epoch.
        n_epochs: epochs finished, including one that diverged.
        n_steps: updates made, in all folds together.
        seconds: spent training and validating.
        precision: of training; `auto` is resolved.
    """

    status: Literal["complete", "diverged"]
    reason: str
    best_step: int
    best_value: float
    metrics: dict[str, float]
    folds: tuple[FoldResult, ...]
    calibration: Calibration
    n_epochs: int
    n_steps: int
    seconds: float
    precision: Precision

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights of a run without folds; empty when diverged."""
        return self.folds[0].weights if self.folds else {}


@dataclass(kw_only=True, eq=False)
class Record:
    """The history of one run, in this process and before.

    Attributes:
        precision: of training.
        n_steps: updates made, in all folds together.
        n_epochs: epochs finished, including one that diverged.
        measurements: of every epoch with a finite metric, in order.
        best: the best of them; step 0 and NaN before the first.
        best_loss: the loss of that epoch, which breaks ties; NaN where it is unknown.
        reason: what diverged and when; empty otherwise.
        seconds: spent training and validating.
    """

    config: TrialConfig
    precision: Precision
    n_steps: int = 0
    n_epochs: int = 0
    measurements: list[Measurement] = field(default_factory=list)
    best: Measurement = field(default_factory=lambda: Measurement(step=0, value=float("nan")))
    best_loss: float = math.nan
    reason: str = ""
    seconds: float = 0.0

    @classmethod
    def of(
        cls, config: TrialConfig, checkpoint: Checkpoint | None, device: torch.device
    ) -> "Record":
        """The history up to a checkpoint; without one, that of a new run on a device."""
        if checkpoint is None:
            width, precision = (
                family_of(config.model).width(config.model),
                config.training.precision,
            )
            return cls(config=config, precision=resolve_precision(precision, width, device))
        return cls(
            config=config,
            precision=checkpoint.environment.precision,
            n_steps=checkpoint.n_steps,
            n_epochs=checkpoint.n_epochs,
            measurements=list(checkpoint.measurements),
            best=checkpoint.best,
            best_loss=checkpoint.best_loss,
            seconds=checkpoint.seconds,
        )

    @property
    def is_over(self) -> bool:
        """Whether the run has ended: diverged, out of patience or out of epochs."""
        training, refit = self.config.training, self.config.refit
        if refit is not None:
            return bool(self.reason) or self.n_epochs >= refit.n_epochs
        patience = training.patience or training.max_epochs
        is_late = self.n_epochs - self.best.step >= patience
        return bool(self.reason) or is_late or self.n_epochs >= training.max_epochs

    def add_epoch(self, value: float, loss: float, *, is_finite: bool) -> Measurement | None:
        """Add an epoch.

        Args:
            value: validation metric.
            loss: validation loss.
            is_finite: whether all outputs on the validation part are finite numbers.

        Returns:
            The epoch's measurement; None if the run has diverged.
        """
        self.n_epochs += 1
        metric = self.config.objective.metric
        if not (is_finite and math.isfinite(value)):
            outputs = f"outputs of the model family {self.config.model.family}"
            self.reason = f"{outputs} or {metric} are not finite after epoch {self.n_epochs}"
            return None
        measurement = Measurement(step=self.n_epochs, value=value)
        self.measurements.append(measurement)
        gain = find_metric(metric).direction.sign * (self.best.value - value)
        is_lower = loss < self.best_loss or math.isnan(self.best_loss)
        is_better = not self.best.step or gain > 0 or (gain == 0 and is_lower)
        if is_better or self.config.refit is not None:
            self.best, self.best_loss = measurement, loss
        return measurement

    def checkpoint(
        self, tensors: Mapping[str, torch.Tensor], device: torch.device
    ) -> Checkpoint | None:
        """The current state of the run; None before the first step.

        Args:
            tensors: become `Checkpoint.tensors`.
            device: where the run is trained.
        """
        if not self.n_steps:
            return None
        return Checkpoint(
            tensors={name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()},
            measurements=tuple(self.measurements),
            best_step=self.best.step,
            best_loss=self.best_loss,
            n_steps=self.n_steps,
            n_epochs=self.n_epochs,
            seconds=self.seconds,
            environment=describe_environment(device, self.precision),
        )

    def result(self, folds: Sequence[tuple[BatchLoader, torch.Tensor]]) -> Result:
        """How the run ended.

        Args:
            folds: the data of each and its flat parameters of the best epoch.
        """
        metrics, found, calibration = (
            ({}, (), Calibration()) if self.reason else _winners(self.config, folds)
        )
        return Result(
            status="diverged" if self.reason else "complete",
            reason=self.reason,
            best_step=self.best.step,
            best_value=self.best.value,
            metrics=metrics,
            folds=found,
            calibration=calibration,
            n_epochs=self.n_epochs,
            n_steps=self.n_steps,
            seconds=self.seconds,
            precision=self.precision,
        )


def measure_validation(
    folds: Sequence[tuple[BatchLoader, torch.Tensor]], objective: ObjectiveConfig, link: Link
) -> torch.Tensor:
    """The metric and the loss on the validation parts together: (2,) float64 on the device.

    Both are those of networks that are calibrated as the objective asks.

    Args:
        folds: the data of each and its network's outputs on its validation part, (rows, n_outputs).
        objective: its metric is defined for the task.
        link: between outputs and targets.
    """
    data, metric = folds[0][0].data, objective.metric
    logits, y, weights = _together(folds, link)
    if objective.calibrate is not None:
        logits = logits / fit_temperature(data.task, logits, y, weights)
    names = metric, loss_metric(data.task, metric)
    found = measure(names, objective, data.task, data.n_classes, logits, y, weights)
    if objective.threshold is None:
        return found
    return torch.stack([best_at_threshold(metric, logits, y, weights), found[1]])


def _together(
    folds: Sequence[tuple[BatchLoader, torch.Tensor]], link: Link
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Logits, or values in the target's own units, targets and weights of all validation parts."""
    logits = [in_own_units(loader.data, outputs, link) for loader, outputs in folds]
    weights = [loader.w_val for loader, _ in folds if loader.w_val is not None]
    targets = torch.cat([loader.y_val for loader, _ in folds])
    return torch.cat(logits), targets, torch.cat(weights) if weights else None


def in_own_units(data: TrainingData, outputs: torch.Tensor, link: Link) -> torch.Tensor:
    """Logits as they are; values of a regression in the target's own units, (rows, 1) float64."""
    return outputs if data.task != "regression" else data.scale(link).values(outputs)


@torch.no_grad()
def _winners(
    config: TrialConfig, folds: Sequence[tuple[BatchLoader, torch.Tensor]]
) -> tuple[dict[str, float], tuple[FoldResult, ...], Calibration]:
    """Metrics over all folds at the best epoch, each fold's, by the networks to export.

    They are calibrated together.
    """
    weights, outputs = [], []
    for loader, best_values in folds:
        network = _network(config, loader, best_values)
        blocks = torch.cat([network(x) for x in loader.validation_blocks()])
        outputs.append((loader, mean_over_heads(loader.data.task, blocks)))
        state = network.state_dict()
        weights.append({name: value.cpu().clone() for name, value in state.items()})
    task = folds[0][0].data.task
    link = link_of(config.training, task)
    calibration = calibrate(config.objective, task, *_together(outputs, link))

    def evaluated(folds: Sequence[tuple[BatchLoader, torch.Tensor]]) -> dict[str, float]:
        logits, y, row_weights = _together(folds, link)
        return evaluate(
            config.objective,
            task,
            folds[0][0].data.n_classes,
            logits / calibration.temperature,
            y,
            row_weights,
            threshold=calibration.threshold,
        )

    metrics = [evaluated([each]) for each in outputs]
    found = tuple(
        FoldResult(metrics=own, weights=w) for own, w in zip(metrics, weights, strict=True)
    )
    together = metrics[0] if len(folds) == 1 else evaluated(outputs)
    return together, found, calibration


def _network(config: TrialConfig, loader: BatchLoader, values: torch.Tensor) -> torch.nn.Module:
    """The network with these flat parameters, in float32 on the device."""
    family, data = family_of(config.model), loader.data
    seed = config.training.seed
    network: torch.nn.Module = family.build(config.model, data.inputs, data.n_outputs, seed=seed)
    network.to(loader.device).eval()
    flatten(config.model, network).values.copy_(values)
    return network
