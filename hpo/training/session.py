"""One training run alone: its network, its position, a slice at a time.

All that the run is lies in the flat parameters, the optimizer's memory, the best epoch's copy and
the record's counters; everything random is a function of these.
"""

import time
from collections.abc import Iterator

import torch

from hpo.config.trial import Measurement, TrialConfig
from hpo.training.batches import Feed
from hpo.training.checkpoint import BEST_VALUES, OPTIMIZER, VALUES, Checkpoint
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.parameters import FlatParameters
from hpo.training.families.mlp.passes import Passes
from hpo.training.losses import loss_gradient
from hpo.training.optimizers import Optimizer
from hpo.training.precision import master_dtype
from hpo.training.random import DropoutMasks
from hpo.training.record import Record, Result, measured


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
        self._record = Record.of(config, checkpoint, feed.device)
        working = getattr(torch, self._record.precision)
        network = MLP(data.x_train.shape[1], data.n_outputs, config.model, seed=training.seed)
        network.to(feed.device, master_dtype(self._record.precision))
        self._parameters = FlatParameters(network, working)
        self._passes = Passes(
            self._parameters,
            config.model.activation,
            _masks(config, working),
            loss_gradient(training.loss, data.task),
            working,
        )
        self._optimizer = Optimizer(self._parameters, config.optimizer, training.gradient_clip)
        self._best_values = self._parameters.values.clone()
        if checkpoint:
            for name, tensor in self._tensors().items():
                tensor.copy_(checkpoint.tensors[name])
            self._parameters.refresh_working_copies()
        self._batches = self._start_epoch()

    def advance(self, deadline: float) -> tuple[Measurement, ...]:
        """Train until `time.perf_counter()` says `deadline` or the run ends.

        Returns:
            The finite measurements of the epochs that were finished.
        """
        start = time.perf_counter()
        measured = []
        with torch.no_grad():
            while not self._record.is_over:
                if (batch := next(self._batches, None)) is not None:
                    self._passes.run(*batch, self._record.n_steps)
                    self._optimizer.step()
                    self._record.n_steps += 1
                elif (measurement := self._end_epoch()) is not None:
                    measured.append(measurement)
                if time.perf_counter() >= deadline:
                    break
        if self._feed.device.type == "cuda":
            torch.cuda.synchronize(self._feed.device)
        self._record.seconds += time.perf_counter() - start
        return tuple(measured)

    def checkpoint(self) -> Checkpoint | None:
        """The run as it stands; None before the first step."""
        return self._record.checkpoint(self._tensors(), self._feed.device)

    def result(self, *, early: bool = False) -> Result | None:
        """How the run ended, or None while it goes on; `early` ends it after a finished epoch."""
        if not (self._record.is_over or (early and self._record.best.step)):
            return None
        return self._record.result(self._feed, self._best_values)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All tensors that the rest of the run depends on, by name."""
        memory = {f"{OPTIMIZER}{name}": t for name, t in self._optimizer.memory.items()}
        return {VALUES: self._parameters.values, BEST_VALUES: self._best_values, **memory}

    def _start_epoch(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of the epoch that are still to come; all of them but after a checkpoint."""
        training, record = self._config.training, self._record
        n_done = record.n_steps - record.n_epochs * self._feed.data.n_batches(training.batch_size)
        return self._feed.batches(training.seed, record.n_epochs, training.batch_size, n_done)

    def _end_epoch(self) -> Measurement | None:
        """Validate; None when the run has diverged."""
        logits = torch.cat([self._passes.outputs(x) for x in self._feed.validation_blocks()])
        found = measured(self._feed, self._config.objective.metric, logits)
        # The metric alone would hide a NaN among the logits: argmax takes it for a class.
        is_finite = logits.isfinite().all().double()
        value, loss, is_sound = torch.cat([found, is_finite[None]]).tolist()
        measurement = self._record.note(value, loss, is_finite=bool(is_sound))
        if measurement is not None:
            if self._record.best is measurement:
                self._best_values.copy_(self._parameters.values)
            self._batches = self._start_epoch()
        return measurement


def _masks(config: TrialConfig, dtype: torch.dtype) -> DropoutMasks | None:
    model = config.model
    if not model.dropout:
        return None
    return DropoutMasks(config.training.seed, model.dropout, model.depth, model.width, dtype)
