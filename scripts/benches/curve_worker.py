"""One of many workers: a real worker with a real storage and store, but simulated training.

Training is learning curves and a sleep. When its shift is over, it gives its trial back and reports
where its time went. It then helps to finish the budget with short epochs, for an audit.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue

from benches.curves import CurveTrainer
from benches.stopwatch import Stopwatch

from hpo.config.trial import Measurement
from hpo.study.claim import Claim, ReportReply
from hpo.study.study import Study
from hpo.training.trainer import Event, Progress
from tests.support.crowd import opened
from tests.support.gate import Gate
from tests.support.workers import make_worker

HURRY_SECONDS = 0.02
"""Duration of an epoch once the shift is over."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Duration of the measurement and of its trials.

    Attributes:
        warm: seconds at the start that do not count.
        seconds: duration of the shift, including those.
        n_epochs: average number of epochs of a trial.
    """

    warm: float
    seconds: float
    epoch_seconds: float
    n_epochs: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """How a worker spent its shift, without the warm-up.

    Attributes:
        seconds: by activity.
        passed: total seconds.
        processor: CPU seconds.
        reports: duration of each report.
        epochs: epochs trained per second.
    """

    seconds: dict[str, float]
    passed: float
    processor: float
    reports: Sequence[float]
    epochs: float


def work(gate: Gate, address: Sequence[str], shift: Shift, accounts: SimpleQueue[Account]) -> None:
    """Work for a shift, report on it, then work until the study is finished."""
    with opened(*address) as (study, store):
        clerk = Clerk(study)
        trainer = Watched(clerk, shift)
        gate.wait()
        start = time.monotonic()
        worker = make_worker(study, store, trainer, deadline=start + shift.seconds)
        clerk.begin(Stopwatch(trainer), start + shift.warm)
        worker.work(threading.Event())
        accounts.put(clerk.account())
        hurried = CurveTrainer(1, HURRY_SECONDS, shift.n_epochs)
        make_worker(study, store, hurried).work(threading.Event())


class Clerk:
    """Records what a worker does."""

    def __init__(self, study: Study) -> None:
        """Time the study's reports from now on."""
        self._report = study.report
        study.report = self._timed  # type: ignore[method-assign]
        self._reports: list[float] = []
        self._ends: list[tuple[float, int]] = []
        self._first: tuple[float, float, dict[str, float]] | None = None

    def begin(self, stopwatch: Stopwatch, warm_at: float) -> None:
        """Start recording when `time.monotonic()` reaches `warm_at`."""
        self._stopwatch, self._warm_at = stopwatch, warm_at

    def begin_slice(self) -> None:
        """Note the start of a slice of training."""
        if self._first is None and time.monotonic() >= self._warm_at:
            now = time.monotonic(), time.process_time()
            self._first = *now, dict(self._stopwatch.seconds)
            self._reports.clear()

    def end_slice(self, n_epochs: int) -> None:
        """Note the end of a slice in which `n_epochs` ended."""
        if self._first is not None:
            self._ends.append((time.monotonic(), n_epochs))

    def account(self) -> Account:
        """The account of the time recorded so far."""
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
    """A trainer whose slices a clerk records."""

    def __init__(self, clerk: Clerk, shift: Shift) -> None:
        """Train as the shift defines."""
        super().__init__(1, shift.epoch_seconds, shift.n_epochs)
        self._clerk = clerk

    def advance(self, max_seconds: float) -> list[Event]:
        """Let time pass, at most until a run ends; returns the epochs that ended."""
        self._clerk.begin_slice()
        events = super().advance(self.until_an_end(max_seconds))
        ended = (event for event in events if isinstance(event, Progress))
        self._clerk.end_slice(sum(len(event.measurements) for event in ended))
        return events
