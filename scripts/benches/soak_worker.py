"""One of the workers of a soak: a real worker whose training is learning curves and a sleep.

It works until its study is finished, and records its calls and its memory.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benches.curves import CurveTrainer
from benches.records import Recorder

from hpo.storage.leases import Lease
from hpo.storage.snapshot import Snapshot
from hpo.study.study import Study
from hpo.training.trainer import Event
from tests.support.crowd import opened
from tests.support.gate import Gate
from tests.support.workers import make_worker

SPREAD = 0.1
"""How far the curves of the worst and the best trial are apart: the pruner ends some trials."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The trials of a soak.

    Attributes:
        n_epochs: average number of epochs of a trial.
    """

    n_epochs: int
    epoch_seconds: float


def work(gate: Gate, address: Sequence[str], pace: Pace, folder: Path) -> None:
    """Work until the study is finished; write the records to a file of the folder."""
    with opened(*address) as (study, store), (folder / f"{os.getpid()}.csv").open("w") as file:
        recorder = Recorder(file, "worker")
        recorder.watch(Study, "claim", "claim", _n_trials)
        recorder.watch(Study, "draw", "draw params")
        recorder.watch(Study, "report", "report")
        recorder.watch(Study, "finish_all", "tell")
        recorder.watch(Snapshot, "refresh", "refresh the snapshot")
        trainer = _Sprinter(1, pace.epoch_seconds, pace.n_epochs, SPREAD)
        gate.wait()
        make_worker(study, store, trainer).work(threading.Event())


class _Sprinter(CurveTrainer):
    """A trainer whose slices end with a run."""

    def advance(self, max_seconds: float) -> list[Event]:
        """Let time pass, at most until a run ends; returns the epochs that ended."""
        return super().advance(self.until_an_end(max_seconds))


def _n_trials(granted: Sequence[Lease]) -> int:
    return max((lease.number + 1 for lease in granted), default=0)
