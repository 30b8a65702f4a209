"""The engine that trains one run at a time, reproducible to the bit.

It trains several runs in turn where their model families have no packs.
"""

import time
from collections.abc import Iterator, Sequence

import torch

from hpo.config.errors import MetricError, first_line
from hpo.config.trial import Measurement, Precision, TrialConfig, resolve_loss
from hpo.training.batches import BatchLoader, Loaders, RunData
from hpo.training.checkpoint import BEST_VALUES, OPTIMIZER, VALUES, Checkpoint, fold_prefix
from hpo.training.families.autograd import NetworkError
from hpo.training.families.family import family_of
from hpo.training.losses import loss_gradient, smoothed
from hpo.training.memory import free_memory, is_out_of_memory
from hpo.training.metrics import mean_over_heads
from hpo.training.optimizers import Optimizer
from hpo.training.precision import master_dtype
from hpo.training.record import Record, Result, measure_validation
from hpo.training.schedules import Schedule, rate_factors
from hpo.training.targets import link_of
from hpo.training.trainer import Event, Failed, Finished, Progress, Run, Unplaced


class SingleTrainer:
    """Trains each run on its own, reproducible to the bit; several runs in turn."""

    def __init__(
        self, device: torch.device | str, slots: int = 1, loaders: Loaders | None = None
    ) -> None:
        """Bind a device.

        Args:
            device: such as `cpu` or `cuda:0`.
            slots: the largest number of runs at a time.
            loaders: of another trainer on this device, to share its data.
        """
        self.device = torch.device(device)
        self._n_slots = slots
        self._runs: dict[int, Run] = {}
        self._starts: dict[int, Checkpoint | None] = {}
        self._sessions: dict[int, _Session] = {}
        self._loaders = loaders or Loaders(self.device)

    @property
    def n_runs(self) -> int:
        """How many runs are here."""
        return len(self._runs)

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run, from a checkpoint if given; False if all slots are taken.

        Raises:
            ValueError: the checkpoint is of another run.
        """
        if self.n_runs >= self._n_slots:
            return False
        if checkpoint is not None:
            checkpoint.check(run.config, run.data)
        self._runs[run.key], self._starts[run.key] = run, checkpoint
        return True

    def advance(self, max_seconds: float) -> list[Event]:
        """Train for about `max_seconds`; returns what happened, in order."""
        events: list[Event] = []
        deadline = time.perf_counter() + max_seconds
        for n_done, run in enumerate(runs := list(self._runs.values())):
            start = time.perf_counter()
            share = max(0.0, deadline - start) / (len(runs) - n_done)
            events += self._attempted(run, start + share)
        return events

    def checkpoint(self, key: int) -> Checkpoint | None:
        """The state of a run; None if it is not here or has made no step."""
        session = self._sessions.get(key)
        return session.checkpoint() if session else self._starts.get(key)

    def finish(self, key: int) -> Result | None:
        """End a run early; None if it is not here or has finished no epoch."""
        session = self._sessions.get(key)
        result = session.result(early=True) if session else None
        if result is not None:
            self.evict(key)
        return result

    def evict(self, key: int) -> None:
        """Drop a run without a result."""
        for each in (self._runs, self._starts, self._sessions):
            each.pop(key, None)

    def _attempted(self, run: Run, deadline: float) -> list[Event]:
        """Advance a run; it fails alone if its family's code fails or memory runs out."""
        try:
            return self._advance(run, deadline)
        except (NetworkError, MetricError) as error:
            failed: Event = Failed(key=run.key, reason=str(error))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed = Failed(key=run.key, reason=f"out of memory: {first_line(error)}")
            if self.n_runs > 1 and run.key not in self._sessions:
                failed = Unplaced(key=run.key)
        self.evict(run.key)  # outside of `except`: the traceback holds references to memory
        self._loaders.forget()
        free_memory(self.device)
        return [failed]

    def _advance(self, run: Run, deadline: float) -> list[Event]:
        key = run.key
        if key not in self._sessions:
            loaders = self._loaders.of(run.data)
            self._sessions[key] = _Session(run.config, loaders, self._starts[key])
            self._starts[key] = None
        session = self._sessions[key]
        measurements = session.advance(deadline)
        events: list[Event] = []
        if measurements:
            events.append(Progress(key=key, measurements=measurements))
        if (result := session.result()) is not None:
            events.append(Finished(key=key, result=result))
            self.evict(key)
        return events


def train(config: TrialConfig, data: RunData, device: torch.device | str) -> Result:
    """Train one configuration to its end.

    Raises:
        MemoryError: the device has too little memory.
    """
    trainer = SingleTrainer(device)
    trainer.admit(Run(key=0, config=config, data=data))
    while True:
        for event in trainer.advance(float("inf")):
            match event:
                case Finished():
                    return event.result
                case Failed():
                    raise MemoryError(event.reason)


class _Session:
    """One training run: a network for each fold, and where the run stands.

    The folds train in lockstep: an epoch of the first, then of the next one. The epoch ends with
    the validation of all. The run's whole state is each fold's tensors and the record's counters.
    Everything random is a function of these.
    """

    def __init__(
        self,
        config: TrialConfig,
        loaders: Sequence[BatchLoader],
        checkpoint: Checkpoint | None,
    ) -> None:
        self._config = config
        self._device = loaders[0].device
        self._record = Record.of(config, checkpoint, self._device)
        precision = self._record.precision
        self._folds = [_Fold(config, loader, precision) for loader in loaders]
        if checkpoint:
            for name, tensor in self._tensors().items():
                tensor.copy_(checkpoint.tensors[name])
        self._epoch = self._start_epoch()

    def advance(self, deadline: float) -> tuple[Measurement, ...]:
        """Train until `time.perf_counter()` reaches `deadline` or the run ends.

        Returns:
            The finite measurements of the finished epochs.
        """
        start = time.perf_counter()
        measured = []
        with torch.no_grad():
            while not self._record.is_over:
                if next(self._epoch, False):
                    self._record.n_steps += 1
                elif (measurement := self._end_epoch()) is not None:
                    measured.append(measurement)
                if time.perf_counter() >= deadline:
                    break
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._record.seconds += time.perf_counter() - start
        return tuple(measured)

    def checkpoint(self) -> Checkpoint | None:
        """The current state of the run; None before the first step."""
        return self._record.checkpoint(self._tensors(), self._device)

    def result(self, *, early: bool = False) -> Result | None:
        """How the run ended; None while it goes on. `early` ends it at its last finished epoch."""
        if not (self._record.is_over or (early and self._record.best.step)):
            return None
        return self._record.result([(fold.loader, fold.best_values) for fold in self._folds])

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of a checkpoint, by name."""
        n_folds = len(self._folds)
        return {
            f"{fold_prefix(index, n_folds)}{name}": tensor
            for index, fold in enumerate(self._folds)
            for name, tensor in fold.tensors().items()
        }

    def _start_epoch(self) -> Iterator[bool]:
        """The remaining steps of the epoch: train one for each True."""
        record = self._record
        n_done = record.n_steps - record.n_epochs * sum(fold.n_batches for fold in self._folds)
        for fold in self._folds:
            yield from fold.train(record.n_epochs, min(n_done, fold.n_batches))
            n_done = max(0, n_done - fold.n_batches)

    def _end_epoch(self) -> Measurement | None:
        """Validate; None if the run has diverged."""
        outputs = [(fold.loader, fold.validation_logits()) for fold in self._folds]
        found = measure_validation(outputs, self._config.objective, self._folds[0].link)
        # The metric alone would hide NaN logits: argmax returns a class for them.
        is_finite = torch.stack([logits.isfinite().all() for _, logits in outputs]).all().double()
        value, loss, is_sound = torch.cat([found, is_finite[None]]).tolist()
        measurement = self._record.add_epoch(value, loss, is_finite=bool(is_sound))
        if measurement is not None:
            if self._record.best is measurement:
                for fold in self._folds:
                    fold.keep_best()
            self._epoch = self._start_epoch()
        return measurement


class _Fold:
    """A network in training on the data of a fold, or of a run without folds.

    Attributes:
        loader: its data.
        link: between outputs and targets.
        n_batches: of an epoch.
        best_values: the flat parameters of the best epoch.
    """

    def __init__(self, config: TrialConfig, loader: BatchLoader, precision: Precision) -> None:
        self._config = config
        self.loader = loader
        data, training = loader.data, config.training
        self.link = link_of(training, data.task)
        self.n_batches = data.n_batches(training.batch_size)
        working = getattr(torch, precision)
        family = family_of(config.model)
        network = family.build(config.model, data.inputs, data.n_outputs, seed=training.seed)
        network.to(loader.device, master_dtype(precision))
        self._passes = family.passes(
            config.model,
            network,
            seed=training.seed,
            gradient=loss_gradient(
                resolve_loss(training.loss, data.task, config.objective.metric),
                data.task,
                quantile=config.objective.quantile,
                focal_gamma=training.focal_gamma,
            ),
            working=working,
        )
        self._parameters = self._passes.parameters
        self._optimizer = Optimizer(self._parameters, config.optimizer, training.gradient_clip)
        self.best_values = self._parameters.values.clone()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fold's tensors in a checkpoint, by name."""
        memory = {f"{OPTIMIZER}{name}": t for name, t in self._optimizer.memory.items()}
        return {VALUES: self._parameters.values, BEST_VALUES: self.best_values, **memory}

    def train(self, epoch: int, n_done: int) -> Iterator[bool]:
        """Train the remaining batches of an epoch, from 0; yields True after each."""
        training, data = self._config.training, self.loader.data
        first = epoch * self.n_batches
        # Those of the whole epoch: a vectorized cosine may depend on the place in the tensor.
        steps = torch.arange(first, first + self.n_batches)
        factors = rate_factors(Schedule.of(training, self.n_batches), steps).tolist()
        batches = self.loader.batches(training.seed, epoch, training.batch_size, n_done, self.link)
        for step, (x, y, weights) in enumerate(batches, first + n_done):
            if training.label_smoothing:
                master = self._parameters.values.dtype
                y = smoothed(y, data.n_outputs, training.label_smoothing, master)
            self._passes.run(x, y, step, weights)
            self._optimizer.step(factors[step - first])
            yield True

    def validation_logits(self) -> torch.Tensor:
        """The network's outputs on the validation part, (rows, n_outputs)."""
        outputs = torch.cat([self._passes.outputs(x) for x in self.loader.validation_blocks()])
        return mean_over_heads(self.loader.data.task, outputs)

    def keep_best(self) -> None:
        """Keep the parameters as those of the best epoch."""
        self.best_values.copy_(self._parameters.values)
