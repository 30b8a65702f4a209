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
from hpo.training.batches import RunData
from hpo.training.checkpoint import Checkpoint
from hpo.training.record import Result


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A trial to train; `key` identifies it within a trainer."""

    key: int
    config: TrialConfig
    data: RunData


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Measurements of the epochs that a run finished in a slice."""

    key: int
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A run has ended and left the trainer."""

    key: int
    result: Result


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A run failed and left the trainer; the other runs go on."""

    key: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Unplaced:
    """There is no memory for a run beside the others; it left the trainer untouched."""

    key: int


Event = Progress | Finished | Failed | Unplaced


class Trainer(Protocol):
    """Trains a limited number of runs at a time."""

    device: torch.device

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run, from a checkpoint if given; False if there is no room for it now.

        A resumed run keeps the checkpoint's precision and history: patience, the best epoch and
        the `Result` refer to the whole run.

        Raises:
            ValueError: the checkpoint is of another run.
        """

    def advance(self, max_seconds: float) -> list[Event]:
        """Train for about `max_seconds`; returns what happened, in order.

        Measurements are those of this slice, never those of a checkpoint.
        """

    def checkpoint(self, key: int) -> Checkpoint | None:
        """The state of a run; None if it is not here or has made no step."""

    def finish(self, key: int) -> Result | None:
        """End a run early, at its last finished epoch; it leaves the trainer.

        None if the run is not here, or has finished no epoch and stays.
        """

    def evict(self, key: int) -> None:
        """Drop a run without a result."""
