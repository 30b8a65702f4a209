"""A simulated trainer: each of its runs finishes an epoch at a fixed interval.

The learning curves are alike and later runs are slightly better, so that the pruner ends none,
unless a spread makes some runs better than others. The number of epochs varies between half and one
and a half times the average, so that the runs do not end together.
"""

import math
import time
from dataclasses import dataclass

import torch

from hpo.config.metrics import METRICS
from hpo.config.trial import Calibration, Measurement
from hpo.training.checkpoint import Checkpoint
from hpo.training.families.mlp.network import MLP
from hpo.training.record import FoldResult, Result
from hpo.training.trainer import Event, Finished, Progress, Run

GOLDEN = 2_654_435_761
"""Knuth's multiplicative hash: spreads consecutive keys evenly."""


@dataclass(kw_only=True)
class _Member:
    run: Run
    admitted: float
    n_due: int
    n_epochs: int = 0


class CurveTrainer:
    """Many runs at a time, by the clock."""

    def __init__(
        self, slots: int, epoch_seconds: float, n_epochs: int, spread: float = 0.0
    ) -> None:
        """Have room for `slots` runs of `n_epochs` epochs on the average.

        The curves of the worst and the best run are `spread` apart.
        """
        self.device = torch.device("cpu")
        self._slots = slots
        self._epoch_seconds = epoch_seconds
        self._n_epochs = n_epochs
        self._spread = spread
        self._members: dict[int, _Member] = {}
        self._trained = self._used = 0.0

    @property
    def use(self) -> float:
        """The share of the slots that was taken, on the average of the time trained."""
        return self._used / (self._trained * self._slots)

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run."""
        if len(self._members) >= self._slots:
            return False
        n_due = self._n_epochs // 2 + run.key * GOLDEN % (self._n_epochs + 1)
        self._members[run.key] = _Member(run=run, admitted=self._trained, n_due=n_due)
        return True

    def advance(self, max_seconds: float) -> list[Event]:
        """Let time pass; the epochs that ended in it."""
        time.sleep(max_seconds)
        self._trained += max_seconds
        self._used += max_seconds * len(self._members)
        return [event for member in list(self._members.values()) for event in self._ended(member)]

    def until_an_end(self, max_seconds: float) -> float:
        """Seconds until the first run ends, at most `max_seconds`."""
        ends = (m.admitted + m.n_due * self._epoch_seconds for m in self._members.values())
        return min((max_seconds, *(end - self._trained for end in ends)))

    def checkpoint(self, key: int) -> Checkpoint | None:
        """There is nothing to save."""
        return None

    def finish(self, key: int) -> Result | None:
        """There are no weights."""
        return None

    def evict(self, key: int) -> None:
        """Drop a run."""
        self._members.pop(key, None)

    def _ended(self, member: _Member) -> list[Event]:
        key, first = member.run.key, member.n_epochs
        due = int((self._trained - member.admitted) / self._epoch_seconds + 1e-6)
        member.n_epochs = min(member.n_due, due)
        measured = tuple(self._measured(key, step + 1) for step in range(first, member.n_epochs))
        events: list[Event] = [Progress(key=key, measurements=measured)] if measured else []
        if member.n_epochs == member.n_due:
            del self._members[key]
            events.append(Finished(key=key, result=self._result(member.run, member.n_epochs)))
        return events

    def _result(self, run: Run, n_epochs: int) -> Result:
        data, best = run.data, self._measured(run.key, n_epochs)
        n_outputs = data.n_classes if data.task == "multiclass" else 1
        sizes = data.inputs, n_outputs
        names = [name for name, metric in METRICS.items() if data.task in metric.tasks]
        metrics = dict.fromkeys(names, best.value)
        network = MLP(*sizes, run.config.model, seed=None)
        weights = {name: torch.zeros(own.shape) for name, own in network.state_dict().items()}
        return Result(
            status="complete",
            reason="",
            best_step=best.step,
            best_value=best.value,
            metrics=metrics,
            folds=(FoldResult(metrics=metrics, weights=weights),),
            calibration=Calibration(),
            n_epochs=n_epochs,
            n_steps=n_epochs,
            seconds=n_epochs * self._epoch_seconds,
            precision="float32",
        )

    def _measured(self, key: int, step: int) -> Measurement:
        offset = self._spread * (key * GOLDEN % 2**32 / 2**32) - 1e-7 * key
        return Measurement(step=step, value=0.5 + math.exp(-step / 8) + offset)
