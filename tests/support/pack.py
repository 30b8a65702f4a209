"""A trainer of several runs that gives each its own `SingleTrainer`."""

from collections.abc import Callable

import torch

from hpo.training.checkpoint import Checkpoint
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Event, Failed, Finished, Run, Unplaced

SLICE_SECONDS = 0.02


class Pack:
    """Trains up to `slots` runs.

    Attributes:
        sizes: how many runs were in training, slice by slice.
    """

    def __init__(
        self, slots: int, *, room: int | None = None, on_slice: Callable[[], None] = lambda: None
    ) -> None:
        """Admit up to `slots` runs; keep up to `room` of them."""
        self.device = torch.device("cpu")
        self.sizes: list[int] = []
        self._slots = slots
        self._room = slots if room is None else room
        self._on_slice = on_slice
        self._engines: dict[int, SingleTrainer] = {}

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Admit a run."""
        if len(self._engines) >= self._slots:
            return False
        self._engines[run.key] = SingleTrainer("cpu")
        return self._engines[run.key].admit(run, checkpoint)

    def advance(self, max_seconds: float) -> list[Event]:
        """Train each run for `SLICE_SECONDS`, whatever `max_seconds` is."""
        self._on_slice()
        events: list[Event] = []
        for key in list(self._engines)[self._room :]:
            del self._engines[key]
            events.append(Unplaced(key=key))
        self.sizes.append(len(self._engines))
        for key, engine in list(self._engines.items()):
            for event in engine.advance(SLICE_SECONDS):
                events.append(event)
                if isinstance(event, Finished | Failed):
                    del self._engines[key]
        return events

    def checkpoint(self, key: int) -> Checkpoint | None:
        """Checkpoint of a run; None for an unknown one."""
        return self._engines[key].checkpoint(key) if key in self._engines else None

    def evict(self, key: int) -> None:
        """Drop a run."""
        self._engines.pop(key, None)
