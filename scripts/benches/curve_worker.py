"""One of many workers: the real one, over a real storage and store, but for its training.

Training is curves and a sleep. When its shift is over it hands its trial back, says where its time
went, and then helps to finish the budget in a hurry, so that what is left can be audited.

Does not know: how many others there are.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue

from benches.curves import CurveTrainer

from hpo.config.trial import Measurement
from hpo.study.study import Claim, ReportReply, Study
from hpo.training import Event, Progress
from hpo.worker.stopwatch import Stopwatch
from tests.support.crowd import opened
from tests.support.gate import Gate
from tests.support.workers import make_worker

HURRY_SECONDS = 0.02
"""An epoch, when only the rest of the budget is to be finished."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """What is trained, and for how long.

    Attributes:
        warm: seconds from the gate on that do not count.
        seconds: of the shift, those included.
        n_epochs: of a trial, on the average.
    """

    warm: float
    seconds: float
    epoch_seconds: float
    n_epochs: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where a worker's shift went, once it was warm.

    Attributes:
        seconds: by what it did, as its stopwatch has it.
        passed: in all.
        processor: of it, on a processor.
        reports: how long each of its reports took.
        epochs: that it trained a second.
    """

    seconds: dict[str, float]
    passed: float
    processor: float
    reports: Sequence[float]
    epochs: float


def work(gate: Gate, address: Sequence[str], shift: Shift, accounts: SimpleQueue[Account]) -> None:
    """Work for a shift, give account of it, and stay until the study is finished."""
    with opened(*address) as (study, store):
        clerk = Clerk(study)
        trainer = Watched(clerk, shift)
        gate.wait()
        start = time.monotonic()
        worker = make_worker(study, store, trainer, deadline=start + shift.seconds)
        clerk.begin(worker.stopwatch, start + shift.warm)
        worker.work(threading.Event())
        accounts.put(clerk.account())
        hurried = CurveTrainer(1, HURRY_SECONDS, shift.n_epochs)
        make_worker(study, store, hurried).work(threading.Event())


class Clerk:
    """Writes down what a worker does."""

    def __init__(self, study: Study) -> None:
        """Time the study's reports from now on."""
        self._report = study.report
        study.report = self._timed  # type: ignore[method-assign]
        self._reports: list[float] = []
        self._ends: list[tuple[float, int]] = []
        self._first: tuple[float, float, dict[str, float]] | None = None

    def begin(self, stopwatch: Stopwatch, warm_at: float) -> None:
        """Write it down from `time.monotonic()` at `warm_at` on."""
        self._stopwatch, self._warm_at = stopwatch, warm_at

    def begin_slice(self) -> None:
        """A slice of training begins."""
        if self._first is None and time.monotonic() >= self._warm_at:
            now = time.monotonic(), time.process_time()
            self._first = *now, dict(self._stopwatch.seconds)
            self._reports.clear()

    def end_slice(self, n_epochs: int) -> None:
        """It has ended, and with it so many epochs."""
        if self._first is not None:
            self._ends.append((time.monotonic(), n_epochs))

    def account(self) -> Account:
        """What was written down, up to now."""
        assert self._first is not None
        began, processor, before = self._first
        seconds = {name: s - before.get(name, 0.0) for name, s in self._stopwatch.seconds.items()}
        (first, _), (last, _) = self._ends[0], self._ends[-1]
        return Account(
            seconds=seconds,
            passed=time.monotonic() - began,
            processor=time.process_time() - processor,
            reports=self._reports,
            epochs=sum(n for _, n in self._ends[1:]) / (last - first),
        )

    def _timed(self, batch: Mapping[Claim, Sequence[Measurement]]) -> ReportReply:
        start = time.perf_counter()
        reply = self._report(batch)
        self._reports.append(time.perf_counter() - start)
        return reply


class Watched(CurveTrainer):
    """Under the eyes of a clerk."""

    def __init__(self, clerk: Clerk, shift: Shift) -> None:
        """Train what the shift says."""
        super().__init__(1, shift.epoch_seconds, shift.n_epochs)
        self._clerk = clerk

    def advance(self, max_seconds: float) -> list[Event]:
        """Let time pass, until the run ends if it does; the epochs that ended in it."""
        self._clerk.begin_slice()
        for member in self._members.values():
            due = member.admitted + member.n_due * self._epoch_seconds
            max_seconds = min(max_seconds, due - self._trained)
        events = super().advance(max_seconds)
        ended = (event for event in events if isinstance(event, Progress))
        self._clerk.end_slice(sum(len(event.measurements) for event in ended))
        return events
