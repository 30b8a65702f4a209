"""The trainer interface, pulled by whoever drives it, and the engine that trains one trial.

`admit` takes a run, `advance` trains for a slice of time and says what happened in it, `checkpoint`
notes where a run stands, `evict` drops it. A slice ends between two steps, so that an epoch of any
length can be left and resumed, by another process too, from a checkpoint; how training is cut into
slices changes nothing in the result. The device is waited for where an epoch's metric is read, and
at the end of a slice.
"""

import time
from dataclasses import dataclass
from typing import Protocol

import torch

from hpo.config.errors import first_line
from hpo.config.trial import Measurement, TrialConfig
from hpo.training.batches import Feed, TrainingData
from hpo.training.checkpoint import Checkpoint
from hpo.training.memory import free_memory, is_out_of_memory
from hpo.training.record import Result
from hpo.training.session import Session


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A trial to be trained; `key` names it among those of one trainer."""

    key: int
    config: TrialConfig
    data: TrainingData


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The epochs that a run finished in a slice."""

    key: int
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A run has come to its end, and left the trainer."""

    key: int
    result: Result


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A run could not go on, and left the trainer; the trainer can."""

    key: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Unplaced:
    """There is no memory for a run beside the others; it left as it was when admitted."""

    key: int


Event = Progress | Finished | Failed | Unplaced


class Trainer(Protocol):
    """Trains as many runs at a time as it has room for."""

    device: torch.device

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run, to go on from a checkpoint of it; False when there is no room for it now.

        A run that goes on does so in the checkpoint's precision and with its history: patience and
        the best epoch count over the whole run, and so does the `Result`.

        Raises:
            ValueError: the checkpoint is of another run.
        """

    def advance(self, max_seconds: float) -> list[Event]:
        """Train for about so long; what happened, in order.

        Measurements are of the epochs finished in this slice, never those of a checkpoint.
        """

    def checkpoint(self, key: int) -> Checkpoint | None:
        """Where a run stands; None when it is not here or nothing was trained of it yet."""

    def finish(self, key: int) -> Result | None:
        """End a run early, as if its last finished epoch were its last; it leaves the trainer.

        None when it is not here, or has finished no epoch: it stays then.
        """

    def evict(self, key: int) -> None:
        """Drop a run without a result."""


class SingleTrainer:
    """Trains one run at a time, reproducibly to the bit."""

    def __init__(self, device: torch.device | str) -> None:
        """Bind a device, such as `cpu` or `cuda:0`."""
        self.device = torch.device(device)
        self._run: Run | None = None
        self._start: Checkpoint | None = None
        self._session: Session | None = None
        self._feed: Feed | None = None

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run, to go on from a checkpoint of it; False while there is another.

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
        """Train for about so long; what happened, in order."""
        if self._run is None:
            return []
        try:
            return self._advance(self._run, time.perf_counter() + max_seconds)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed = Failed(key=self._run.key, reason=f"out of memory: {first_line(error)}")
        self._drop()  # only here, out of reach of the traceback, can memory be freed
        return [failed]

    def checkpoint(self, key: int) -> Checkpoint | None:
        """Where a run stands; None when it is not here or nothing was trained of it yet."""
        if self._run is None or self._run.key != key:
            return None
        return self._session.checkpoint() if self._session else self._start

    def finish(self, key: int) -> Result | None:
        """End a run early; None when it is not here, or has finished no epoch."""
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
            self._session = Session(run.config, self._placed(run.data), self._start)
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

    def _placed(self, data: TrainingData) -> Feed:
        """The data on the device; runs in a row mostly share them."""
        if self._feed is None or self._feed.data is not data:
            self._feed = None
            self._feed = Feed(data, self.device)
        return self._feed

    def _drop(self) -> None:
        """Forget all that takes memory, and give it back."""
        self._leave()
        self._feed = None
        free_memory(self.device)


def train(config: TrialConfig, data: TrainingData, device: torch.device | str) -> Result:
    """Train one configuration to its end.

    Raises:
        MemoryError: it does not fit on the device.
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
