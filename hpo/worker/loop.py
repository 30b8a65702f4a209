"""The worker's loop: claim, train, report, save, tell.

One loop whether the trainer holds one trial or many: hand what happened to the outbox, claim trials
for free slots, let the trainer advance a slice. With many slots the first two go on in a thread
beside the slice. What this thread and the training touch has nothing in common: the jobs are the
thread's while a slice lasts, the trainer is the training's.

Now and then a checkpoint of each trial goes to the artifact store, and whoever takes the trial up
again goes on from there. A signal is looked for between slices; trials in progress are then kept
and go back to their study. A trial for which the trainer has no memory beside the others goes back
as well, and the worker makes do with fewer slots.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from hpo.config.errors import HpoError, StudyNotFoundError
from hpo.files.store import ArtifactStore
from hpo.storage.leases import WorkerId
from hpo.storage.ledger import RELEASED
from hpo.study.orders import Orders, read_orders
from hpo.study.study import Study
from hpo.training import (
    Checkpoint,
    Event,
    Failed,
    Finished,
    Progress,
    Result,
    Trainer,
    Unplaced,
)
from hpo.worker.claims import Claims, Shares, all_of_the_first
from hpo.worker.endings import completed, diverged
from hpo.worker.heartbeat import Heartbeat
from hpo.worker.job import Ending, Job
from hpo.worker.outbox import MAX_WRITERS, Outbox, by_study
from hpo.worker.pace import rest
from hpo.worker.places import Places, n_training
from hpo.worker.quota import Quota
from hpo.worker.stopwatch import Stopwatch
from hpo.worker.tables import Tables

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.5
POLL_SECONDS = 1.0
ORDERS_SECONDS = 2.0
"""How often a worker looks what it is to do with its trials: by their studies' time, by hand."""
STUDIES_SECONDS = 5.0
"""How often a busy worker looks which studies there are."""
MAX_FAILURES = 5
"""Failed trials in a row, without a success between them, after which a worker gives up."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How patient a worker is, in seconds.

    Attributes:
        lease: silence after which its trials are taken from it.
        checkpoint: time between two checkpoints of a trial.
        outage: how long storage or artifact store may be away.
        hang: how long a slice may take before the process is killed.
    """

    lease: float = 60.0
    checkpoint: float = 60.0
    outage: float = 600.0
    hang: float = 600.0


class Worker:
    """Works for some studies until they are finished, or until it is told to stop."""

    def __init__(
        self,
        *,
        studies: Callable[[], Sequence[Study]],
        store: ArtifactStore,
        trainer: Trainer,
        identity: WorkerId,
        quota: Quota,
        timing: Timing,
        slots: int = 1,
        deadline: float = math.inf,
        until_finished: bool = True,
        shares: Shares = all_of_the_first,
    ) -> None:
        """Gather what a worker needs.

        Args:
            studies: those to work for, in the order to look for trials; asked again when idle.
            store: where tables are read, weights and checkpoints are written.
            trainer: the engine, on its device.
            identity: what the storage shows of this worker.
            quota: how many trials may be claimed.
            timing: how patient it is.
            slots: trials to have in training at once; the trainer has room for so many.
            deadline: `time.monotonic()` at which to hand everything back.
            until_finished: end when every study is finished, rather than wait for new ones.
            shares: how many trials to ask which study for.
        """
        self._studies = studies
        self._store = store
        self._trainer = trainer
        self._quota = quota
        self._timing = timing
        self._places = Places(trainer, slots)
        self._deadline = deadline
        self._until_finished = until_finished
        self._heartbeat = Heartbeat(timing.lease, timing.hang)
        self._jobs: dict[int, Job] = {}
        self._tables = Tables(store)
        self._n_failures = 0
        self._known: Sequence[Study] = ()
        self._next_fill = self._next_look = self._next_studies = 0.0
        self.stopwatch = Stopwatch()
        self._outbox = Outbox(store, timing.outage, self.stopwatch)
        self._claims = Claims(
            identity=identity,
            lease=timing.lease,
            quota=quota,
            heartbeat=self._heartbeat,
            store=store,
            tables=self._tables,
            store_outage=self._outbox.store_outage,
            stopwatch=self.stopwatch,
            shares=shares,
        )

    def work(self, stop: threading.Event) -> bool:
        """Run until there is nothing left to do, or `stop` is set.

        Returns:
            Whether the work ended by itself; False when a stop gave trials back.

        Raises:
            HpoError: it cannot go on; its trials were kept and given back first.
            Exception: training crashed; the trial was given back as one that cost a worker.
        """
        with self._heartbeat:
            try:
                is_done = self._work(stop)
            except HpoError:
                self._release_all()
                raise
            except Exception as error:
                self._release_all(f"crashed: {type(error).__name__}: {error}".splitlines()[0])
                raise
            self._release_all()
        return is_done

    def _work(self, stop: threading.Event) -> bool:
        with ThreadPoolExecutor(1, "storage") as beside:
            while not stop.is_set() and time.monotonic() < self._deadline:
                if self._places.n > 1 and n_training(self._jobs.values()):
                    self._talk_and_train(beside)
                else:
                    began = time.monotonic()
                    self._talk()
                    self._settle()
                    if not self._jobs:
                        if self._is_done():
                            return True
                        stop.wait(max(POLL_SECONDS, rest(time.monotonic() - began)))
                        continue
                    self._note_all(events := self._train())
                    if not events and not n_training(self._jobs.values()):
                        stop.wait(POLL_SECONDS)  # all there is to do is to deliver
                self._keep_due()
                self._take_orders()
        return not (stop.is_set() or self._jobs)

    def _talk_and_train(self, beside: ThreadPoolExecutor) -> None:
        """Train for a slice, and meanwhile talk of what happened in the last one."""
        talk = beside.submit(self._talk)
        try:
            events = self._train()
        finally:
            with self.stopwatch("wait"):
                wait([talk])
        self._note_all(events)
        talk.result()
        self._settle()

    def _talk(self) -> None:
        """Tell the studies what they do not know yet, and ask for more; without the trainer."""
        self._deliver()
        self._give_back_idle()
        self._fill()

    def _settle(self) -> None:
        if not self._places.settle(self._jobs.values()):
            self._next_fill = time.monotonic() + POLL_SECONDS

    def _fill(self) -> None:
        """Claim trials for free slots; after a look that found too few, not for a while."""
        n_wanted = self._places.n_wanted(self._jobs.values())
        is_due = not self._jobs or time.monotonic() >= self._next_fill
        outage = self._outbox.storage_outage
        if not (n_wanted and is_due and outage.is_due and self._outbox.store_outage.is_due):
            return
        with outage.ridden_out():
            self._look_for_studies()
            if self._claims.take(self._known, n_wanted, self._begin) < n_wanted:
                self._next_fill = time.monotonic() + POLL_SECONDS

    def _look_for_studies(self) -> None:
        now = time.monotonic()
        if not self._jobs or now >= self._next_studies:
            self._known, self._next_studies = self._studies(), now + STUDIES_SECONDS
            self._tables.retain({*self._known, *(job.study for job in self._jobs.values())})

    def _begin(self, job: Job, checkpoint: Checkpoint | None) -> None:
        if former := self._jobs.get(job.run.key):  # its lease was lost a moment ago
            self._drop(former)
        self._jobs[job.run.key] = job
        self._places.take(job, checkpoint)

    def _train(self) -> Sequence[Event]:
        with self.stopwatch("train"), self._heartbeat.watching():
            return self._trainer.advance(SLICE_SECONDS)

    def _note_all(self, events: Sequence[Event]) -> None:
        """Note what happened in a slice; the pruner may have ended a trial meanwhile."""
        for event in events:
            if (job := self._jobs.get(event.key)) and job.is_training:
                self._note(job, event)

    def _note(self, job: Job, event: Event) -> None:
        match event:
            case Progress():
                job.reports += event.measurements
                for measured in event.measurements:
                    job.log(f"epoch {measured.step}: {measured.value:.6g}")
            case Failed():
                job.ending = Ending(state="FAIL", attrs={"reason": event.reason})
            case Finished() if event.result.status == "diverged":
                job.ending = diverged(event.result)
            case Finished():
                job.result = event.result
            case Unplaced():
                job.ending = Ending(state="WAITING")
                outcome = self._places.shrink(job)
                log.warning("no memory for trial %d: %s", job.claim.number, outcome)

    def _completed(self, job: Job, result: Result, *, is_early: bool = False) -> Ending:
        experiment, config = self._tables[job.study], job.run.config
        with self.stopwatch("save"):
            device, n_slots = self._trainer.device, self._places.n
            return completed(experiment, config, result, device, n_slots, is_early=is_early)

    def _deliver(self, *, at_once: bool = False) -> None:
        """Send what the storage does not know yet, and drop what is over."""
        for job in self._jobs.values():
            if job.result is not None and job.ending is None:
                result, job.result = job.result, None
                job.ending = self._completed(job, result)
        lost = self._heartbeat.lost()
        for job in list(self._jobs.values()):
            # One that has ended is told all the same: it may be our own word that ended its lease.
            if job.claim.token in lost and job.ending is None:
                self._let_go(job)
        for job in self._outbox.deliver(self._jobs.values(), at_once=at_once):
            self._drop(job)
            if job.ending is not None and not job.is_refused:
                self._count_failures(job.ending)

    def _drop(self, job: Job) -> None:
        self._places.leave(job)
        self._heartbeat.drop(job.claim)
        if not job.is_placed:
            self._quota.give_back()
        del self._jobs[job.run.key]

    def _count_failures(self, ending: Ending) -> None:
        self._n_failures = self._n_failures + 1 if ending.state == "FAIL" else 0
        if self._n_failures >= MAX_FAILURES:
            reason = ending.attrs["reason"]
            raise HpoError(f"{MAX_FAILURES} trials in a row failed, the last one of: {reason}")

    def _keep_due(self) -> None:
        """Write the checkpoints whose time has come."""
        latest = time.monotonic() - self._timing.checkpoint
        self._keep([j for j in self._jobs.values() if j.is_training and j.kept_at <= latest])

    def _keep(self, jobs: Sequence[Job]) -> None:
        """Write checkpoints of trials; without one, less of a trial survives its worker."""
        for first in range(0, len(jobs), MAX_WRITERS):
            batch = jobs[first : first + MAX_WRITERS]
            with self.stopwatch("checkpoint"), self._heartbeat.watching():
                found = {job: self._trainer.checkpoint(job.run.key) for job in batch}
                self._outbox.keep({job: state for job, state in found.items() if state is not None})
            for job in batch:
                job.kept_at = time.monotonic()

    def _take_orders(self) -> None:
        """Give back the trials of studies that are not to go on; looked at now and then."""
        is_due = time.monotonic() >= self._next_look and self._outbox.storage_outage.is_due
        if not (self._jobs and is_due):
            return
        self._next_look = time.monotonic() + ORDERS_SECONDS
        with self._outbox.storage_outage.ridden_out(proves=False):
            for study, jobs in by_study(self._jobs.values()).items():
                own = self._going_on(jobs)
                with suppress(StudyNotFoundError):  # deleted: the next report finds no lease
                    self._obey(read_orders(study, [job.claim for job in own]), study, own)

    def _obey(self, orders: Orders, study: Study, jobs: list[Job]) -> None:
        """Do with a study's trials in progress as somebody ordered."""
        for job in jobs:
            if job.claim in orders.lost:
                self._let_go(job)
        if not orders.goes_on:
            self._deliver(at_once=True)  # the pruner's word on all that the checkpoints will hold
            if orders.counts_early:
                self._end_early(self._going_on(jobs))
            kept = self._going_on(jobs)
            self._keep(kept)
            self._give_back(study, kept)

    def _end_early(self, jobs: Sequence[Job]) -> None:
        """Let the best epoch so far count of trials for which there is no more time."""
        for job in jobs:
            with self._heartbeat.watching():
                result = self._trainer.finish(job.run.key)
            if result is not None:
                job.ending = self._completed(job, result, is_early=True)
        self._deliver(at_once=True)

    def _going_on(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of some jobs that are still in hand and not over."""
        return [job for job in jobs if not job.is_over and self._jobs.get(job.run.key) is job]

    def _give_back_idle(self) -> None:
        """Return what was claimed ahead and found no place for a while: others may have one."""
        if idle := self._places.idle():
            with self._outbox.storage_outage.ridden_out():
                for study, jobs in by_study(idle).items():
                    self._give_back(study, jobs)

    def _let_go(self, job: Job) -> None:
        """Drop a trial that is no longer this worker's."""
        self._drop(job)
        self._outbox.take_leave(job)

    def _give_back(self, study: Study, jobs: list[Job], how: str = RELEASED) -> None:
        """Return trials to their study."""
        for job in jobs:
            job.log(f"goes back to the study: {how}")
            self._drop(job)
        self._outbox.keep_logs(jobs)
        study.release(*(job.claim for job in jobs), how=how)
        for job in jobs:
            log.info("%s: trial %d goes back to the study", study.name, job.claim.number)

    def _release_all(self, how: str = RELEASED) -> None:
        """Keep everything, then give it back; where the storage is away, leases run out.

        What is kept comes first: it must not wait for a storage that does not answer.
        """
        if how == RELEASED:
            self._keep([job for job in self._jobs.values() if job.is_training])
        for last in (partial(self._deliver, at_once=True), partial(self._give_all_back, how)):
            try:
                last()
            except HpoError as error:
                log.warning("%s", error)
            except Exception:  # whatever it is, the trials are to go back
                log.exception("while giving trials back")

    def _give_all_back(self, how: str) -> None:
        for study, jobs in by_study(self._jobs.values()).items():
            self._give_back(study, [job for job in jobs if job.is_placed], how)
            self._give_back(study, [job for job in jobs if not job.is_placed])

    def _is_done(self) -> bool:
        if self._quota.is_spent():
            return True
        if self._until_finished and self._outbox.storage_outage.is_due:
            with self._outbox.storage_outage.ridden_out(proves=False):
                return all(_is_finished(study) for study in self._studies())
        return False


def _is_finished(study: Study) -> bool:
    try:
        return study.progress().is_finished
    except StudyNotFoundError as error:
        log.info("%s", error)
        return True
