"""The trainer interface: runs, events, and what drives them.

`admit` takes a run, `advance` trains for a slice of time and returns what happened, `checkpoint`
says where a run stands, `evict` drops it. A slice ends between two steps, so that an epoch of any
length can be left and resumed from a checkpoint, also by another process. How training is cut into
slices changes nothing in the result. The host waits for the device only where an epoch's metric is
read, and at the end of a slice.
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from hpo.config.trial import Measurement, TrialConfig
from hpo.training.batches import TrainingData
from hpo.training.checkpoint import Checkpoint
from hpo.training.record import Result


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
