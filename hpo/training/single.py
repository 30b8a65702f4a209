"""The engine that trains one run at a time, reproducible to the bit."""

import time
from collections.abc import Iterator

import torch

from hpo.config.errors import first_line
from hpo.config.trial import Measurement, TrialConfig
from hpo.training.batches import BatchLoader, TrainingData
from hpo.training.checkpoint import BEST_VALUES, OPTIMIZER, VALUES, Checkpoint
from hpo.training.families.family import family_of
from hpo.training.losses import loss_gradient
from hpo.training.memory import free_memory, is_out_of_memory
from hpo.training.optimizers import Optimizer
from hpo.training.precision import master_dtype
from hpo.training.record import Record, Result, measure_validation
from hpo.training.trainer import Event, Failed, Finished, Progress, Run


class SingleTrainer:
    """Trains one run at a time, reproducible to the bit."""

    def __init__(self, device: torch.device | str) -> None:
        """Bind a device, such as `cpu` or `cuda:0`."""
        self.device = torch.device(device)
        self._run: Run | None = None
        self._start: Checkpoint | None = None
        self._session: _Session | None = None
        self._loader: BatchLoader | None = None

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run, from a checkpoint if given; False while there is another run.

        Raises:
            ValueError: the checkpoint is of another run.
        """
        if self._run is not None:
            return False
        if checkpoint is not None:
            checkpoint.check(run.config, run.data)
        self._run, self._start = run, checkpoint
        return True

    def advance(self, max_seconds: float) -> list[Event]:
        """Train for about `max_seconds`; returns what happened, in order."""
        if self._run is None:
            return []
        try:
            return self._advance(self._run, time.perf_counter() + max_seconds)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed = Failed(key=self._run.key, reason=f"out of memory: {first_line(error)}")
        self._drop()  # outside of `except`: the traceback holds references to memory
        return [failed]

    def checkpoint(self, key: int) -> Checkpoint | None:
        """The state of a run; None if it is not here or has made no step."""
        if self._run is None or self._run.key != key:
            return None
        return self._session.checkpoint() if self._session else self._start

    def finish(self, key: int) -> Result | None:
        """End a run early; None if it is not here or has finished no epoch."""
        if self._run is None or self._run.key != key or self._session is None:
            return None
        if (result := self._session.result(early=True)) is not None:
            self._leave()
        return result

    def evict(self, key: int) -> None:
        """Drop a run without a result."""
        if self._run is not None and self._run.key == key:
            self._leave()

    def _advance(self, run: Run, deadline: float) -> list[Event]:
        if self._session is None:
            self._session = _Session(run.config, self._placed(run.data), self._start)
            self._start = None
        measurements = self._session.advance(deadline)
        events: list[Event] = []
        if measurements:
            events.append(Progress(key=run.key, measurements=measurements))
        if (result := self._session.result()) is not None:
            events.append(Finished(key=run.key, result=result))
            self._leave()
        return events

    def _leave(self) -> None:
        self._run = self._start = self._session = None

    def _placed(self, data: TrainingData) -> BatchLoader:
        """The data on the device; consecutive runs mostly share them."""
        if self._loader is None or self._loader.data is not data:
            self._loader = None
            self._loader = BatchLoader(data, self.device)
        return self._loader

    def _drop(self) -> None:
        """Free all memory of the run and its data."""
        self._leave()
        self._loader = None
        free_memory(self.device)


def train(config: TrialConfig, data: TrainingData, device: torch.device | str) -> Result:
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
    """One training run: its network and where it stands.

    The run's whole state is the flat parameters, the optimizer's memory, the best epoch's
    parameters and the record's counters. Everything random is a function of these.
    """

    def __init__(
        self, config: TrialConfig, loader: BatchLoader, checkpoint: Checkpoint | None = None
    ) -> None:
        """Build the network and its optimizer on the device of `loader`.

        Args:
            config: of the run.
            loader: its data.
            checkpoint: of this run, to resume from.
        """
        training, data = config.training, loader.data
        self._config = config
        self._loader = loader
        self._record = Record.of(config, checkpoint, loader.device)
        working = getattr(torch, self._record.precision)
        family = family_of(config.model)
        network = family.build(config.model, data.inputs, data.n_outputs, seed=training.seed)
        network.to(loader.device, master_dtype(self._record.precision))
        self._passes = family.passes(
            config.model,
            network,
            seed=training.seed,
            gradient=loss_gradient(training.loss, data.task),
            working=working,
        )
        self._parameters = self._passes.parameters
        self._optimizer = Optimizer(self._parameters, config.optimizer, training.gradient_clip)
        self._best_values = self._parameters.values.clone()
        if checkpoint:
            for name, tensor in self._tensors().items():
                tensor.copy_(checkpoint.tensors[name])
        self._batches = self._start_epoch()

    def advance(self, deadline: float) -> tuple[Measurement, ...]:
        """Train until `time.perf_counter()` reaches `deadline` or the run ends.

        Returns:
            The finite measurements of the finished epochs.
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
        if self._loader.device.type == "cuda":
            torch.cuda.synchronize(self._loader.device)
        self._record.seconds += time.perf_counter() - start
        return tuple(measured)

    def checkpoint(self) -> Checkpoint | None:
        """The current state of the run; None before the first step."""
        return self._record.checkpoint(self._tensors(), self._loader.device)

    def result(self, *, early: bool = False) -> Result | None:
        """How the run ended; None while it goes on. `early` ends it at its last finished epoch."""
        if not (self._record.is_over or (early and self._record.best.step)):
            return None
        return self._record.result(self._loader, self._best_values)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of a checkpoint, by name."""
        memory = {f"{OPTIMIZER}{name}": t for name, t in self._optimizer.memory.items()}
        return {VALUES: self._parameters.values, BEST_VALUES: self._best_values, **memory}

    def _start_epoch(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The remaining batches of the epoch: all of them unless the run resumes within it."""
        training, record = self._config.training, self._record
        n_done = record.n_steps - record.n_epochs * self._loader.data.n_batches(training.batch_size)
        return self._loader.batches(training.seed, record.n_epochs, training.batch_size, n_done)

    def _end_epoch(self) -> Measurement | None:
        """Validate; None if the run has diverged."""
        logits = torch.cat([self._passes.outputs(x) for x in self._loader.validation_blocks()])
        found = measure_validation(self._loader, self._config.objective.metric, logits)
        # The metric alone would hide NaN logits: argmax returns a class for them.
        is_finite = logits.isfinite().all().double()
        value, loss, is_sound = torch.cat([found, is_finite[None]]).tolist()
        measurement = self._record.add_epoch(value, loss, is_finite=bool(is_sound))
        if measurement is not None:
            if self._record.best is measurement:
                self._best_values.copy_(self._parameters.values)
            self._batches = self._start_epoch()
        return measurement
