"""A trainer of many runs at once, made of one-trial engines that take turns."""

from collections.abc import Callable

import torch

from hpo.training import (
    Checkpoint,
    Event,
    Failed,
    Finished,
    Run,
    SingleTrainer,
    Unplaced,
)

SLICE_SECONDS = 0.02


class Pack:
    """Trains up to `slots` runs.

    Attributes:
        sizes: how many runs were in training, slice by slice.
    """

    def __init__(
        self, slots: int, *, room: int | None = None, on_slice: Callable[[], None] = lambda: None
    ) -> None:
        """Take up to `slots` runs; have memory for `room` of them."""
        self.device = torch.device("cpu")
        self.sizes: list[int] = []
        self._slots = slots
        self._room = slots if room is None else room
        self._on_slice = on_slice
        self._engines: dict[int, SingleTrainer] = {}

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run."""
        if len(self._engines) >= self._slots:
            return False
        self._engines[run.key] = SingleTrainer("cpu")
        return self._engines[run.key].admit(run, checkpoint)

    def advance(self, max_seconds: float) -> list[Event]:
        """Give each run a short turn, however long the slice may be."""
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
        """Where a run stands."""
        return self._engines[key].checkpoint(key) if key in self._engines else None

    def evict(self, key: int) -> None:
        """Drop a run."""
        self._engines.pop(key, None)
