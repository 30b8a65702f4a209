"""Worker loop: claim, train, report, save, tell.

The loop is the same for a trainer with one slot and with many: send what happened, claim trials for
free slots, train for a slice. With many slots, sending and claiming run in a second thread beside
the slice. The two threads share no state: during a slice the jobs belong to the second thread and
the trainer belongs to the first.

A checkpoint of each trial is written to the artifact store at an interval, and whoever takes up the
trial resumes from it. Signals are handled between slices: running trials are checkpointed and go
back to their study. A trial that finds no memory beside the others also goes back, and the worker
continues with fewer slots.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial

from hpo.config.errors import (
    ArtifactError,
    HpoError,
    StorageError,
    StorageUnavailableError,
    StudyNotFoundError,
)
from hpo.files.store import ArtifactStore
from hpo.models.experiment import Experiment
from hpo.storage.attributes import REASON
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.storage.ledger import RELEASED
from hpo.study.orders import Orders, read_orders
from hpo.study.study import Study
from hpo.training.checkpoint import Checkpoint
from hpo.training.trainer import Event, Trainer
from hpo.worker.claims import Claimer, Shares, first_study_first
from hpo.worker.damaged import DamagedStudies
from hpo.worker.heartbeat import Heartbeat
from hpo.worker.idle import Idleness
from hpo.worker.job import Ending, Job, by_study
from hpo.worker.outage import Outage
from hpo.worker.outbox import MAX_WRITERS, Outbox, pause_after
from hpo.worker.quota import Quota
from hpo.worker.slots import Slots, n_training
from hpo.worker.timing import Timing

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.5
POLL_SECONDS = 1.0
ORDERS_SECONDS = 2.0
"""How often a worker reads the orders for its trials: end of the study's time, manual pruning."""
STUCK_SECONDS = 5.0
"""A slice that takes longer than this is not waited for at a stop."""
MAX_FAILURES = 5
"""A worker gives up after this many failed trials in a row."""


@dataclass(kw_only=True, eq=False)
class Worker:
    """Works for some studies until they are finished, or until it is stopped.

    Attributes:
        studies: the studies to work for, in the order to claim trials; called repeatedly.
        storage: of the studies.
        store: holds tables, weights and checkpoints.
        trainer: the engine, on its device.
        identity: how the storage lists this worker.
        quota: how many trials may be claimed.
        timing: time limits.
        slots: trials in training at once; the trainer has as many slots.
        deadline: `time.monotonic()` at which to stop.
        until_finished: end when every study is finished, instead of waiting for new ones.
        shares: how many trials to ask each study for.
        experiments: tables that this process has already read, by the study's UUID.
    """

    studies: Callable[[], Sequence[Study]]
    storage: Storage
    store: ArtifactStore
    trainer: Trainer
    identity: WorkerId
    quota: Quota
    timing: Timing
    slots: int = 1
    deadline: float = math.inf
    until_finished: bool = True
    shares: Shares = first_study_first
    experiments: Mapping[str, Experiment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create the worker's parts."""
        self._jobs: dict[int, Job] = {}
        self._n_failures = 0
        self._next_claim = self._next_orders = 0.0
        self._slots = Slots(self.trainer, self.slots)
        self._heartbeat = Heartbeat(self.timing.lease, self.timing.hang)
        self._storage_outage = Outage(StorageUnavailableError, patience=self.timing.outage)
        self._store_outage = Outage(ArtifactError, patience=self.timing.outage)
        self._damaged = DamagedStudies()
        self._idleness = Idleness(self.storage, self.identity, self._damaged)
        self._outbox = Outbox(self.store, self._storage_outage, self._store_outage, self._damaged)
        self._claimer = Claimer(
            studies=self.studies,
            identity=self.identity,
            lease=self.timing.lease,
            quota=self.quota,
            heartbeat=self._heartbeat,
            store=self.store,
            store_outage=self._store_outage,
            shares=self.shares,
            damaged=self._damaged,
            experiments=dict(self.experiments),
        )

    def work(self, stop: threading.Event) -> bool:
        """Work until there is nothing left to do, or `stop` is set.

        Returns:
            False if the worker was stopped and gave trials back.

        Raises:
            HpoError: the worker cannot continue. Its trials were checkpointed and given back.
            Exception: training crashed. The trials were given back and each lost an attempt.
        """
        with self._heartbeat, closing(self._idleness):
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

    def abandon_slice(self) -> bool:
        """Give all trials back if a slice does not end, so that the process can be ended.

        Any thread may call this, after the worker was told to stop. The first slice of a pack may
        compile kernels for a minute. Nothing is lost: the trials keep their last checkpoints, and
        go back as if this worker had ended the slice.

        Returns:
            Whether a slice has taken longer than `STUCK_SECONDS`.
        """
        if self._heartbeat.seconds_in_slice() < STUCK_SECONDS:
            return False
        log.warning("stopping in the middle of a slice, which may be compiling")
        with suppress(StorageError):  # the leases then expire
            self._heartbeat.release_all()
        return True

    def _work(self, stop: threading.Event) -> bool:
        with ThreadPoolExecutor(1, "storage") as executor:
            while not stop.is_set() and time.monotonic() < self.deadline:
                if self._slots.n > 1 and n_training(self._jobs.values()):
                    self._sync_while_training(executor)
                else:
                    start = time.monotonic()
                    self._sync(self._deliver)
                    self._assign_slots()
                    if not self._jobs:
                        if self._is_done():
                            return True
                        self._idleness.begin(
                            self._claimer.known, has_store=self._store_outage.is_due
                        )
                        stop.wait(max(POLL_SECONDS, pause_after(time.monotonic() - start)))
                        continue
                    self._handle(events := self._train())
                    if not events and not n_training(self._jobs.values()):
                        stop.wait(POLL_SECONDS)  # only deliveries are left
                self._save_due_checkpoints()
                self._follow_orders()
        return not (stop.is_set() or self._jobs)

    def _sync_while_training(self, executor: ThreadPoolExecutor) -> None:
        """Train for a slice, and meanwhile send what happened in the previous one."""
        sync = executor.submit(self._sync, self._send)
        try:
            events = self._train()
        finally:
            wait([sync])
        self._handle(events)
        sync.result()
        self._take_weights()
        self._assign_slots()

    def _sync(self, send: Callable[[], None]) -> None:
        """Send reports and endings, and claim trials. Only `send` may touch the trainer."""
        send()
        self._release_idle()
        self._claim()

    def _assign_slots(self) -> None:
        if not self._slots.assign(self._jobs.values()):
            self._next_claim = time.monotonic() + POLL_SECONDS

    def _claim(self) -> None:
        """Claim trials for free slots. If there are too few, wait before the next claim."""
        n_wanted = self._slots.n_wanted(self._jobs.values())
        is_due = not self._jobs or time.monotonic() >= self._next_claim
        is_available = self._storage_outage.is_due and self._store_outage.is_due
        if not (n_wanted and is_due and is_available):
            return
        with self._storage_outage.tolerated():
            n_started = self._claimer.claim(n_wanted, self._start, is_busy=bool(self._jobs))
            if n_started < n_wanted:
                self._next_claim = time.monotonic() + POLL_SECONDS

    def _start(self, job: Job, checkpoint: Checkpoint | None) -> None:
        if former := self._jobs.get(job.run.key):  # its lease was lost a moment ago
            self._drop(former)
        self._jobs[job.run.key] = job
        self._slots.enqueue(job, checkpoint)
        self._idleness.close()

    def _train(self) -> Sequence[Event]:
        with self._heartbeat.watching():
            return self.trainer.advance(SLICE_SECONDS)

    def _handle(self, events: Sequence[Event]) -> None:
        """Record the events of a slice, except for trials that the pruner ended meanwhile."""
        for event in events:
            if (job := self._jobs.get(event.key)) and job.is_training:
                job.record(event)
                if job.is_refused:
                    limit = self._slots.shrink(job)
                    log.warning("not enough memory for trial %d: %s", job.claim.number, limit)

    def _deliver(self, *, at_once: bool = False) -> None:
        """Send what the storage does not have yet, between two slices."""
        self._send(at_once=at_once)
        if self._take_weights():
            self._send(at_once=at_once)

    def _take_weights(self) -> bool:
        """Take the weights of pruned trials that ensembles may use; whether there were any."""
        pruned = [job for job in self._jobs.values() if job.wants_weights]
        for job in pruned:
            with self._heartbeat.watching():
                result = self.trainer.finish(job.run.key)
            if result is not None:
                job.keep_weights(result, self.trainer.device, self._slots.n)
            job.wants_weights = False
        return bool(pruned)

    def _send(self, *, at_once: bool = False) -> None:
        """Send what the storage does not have yet, and drop jobs that are over.

        Does not touch the trainer.
        """
        for job in self._jobs.values():
            if job.result is not None and job.ending is None:
                result, job.result = job.result, None
                job.complete(result, self.trainer.device, self._slots.n)
        lost = self._heartbeat.lost()
        for job in list(self._jobs.values()):
            # A job that has ended is told anyway: telling it may be what ended its lease.
            if job.study in self._damaged:
                self._drop(job)
            elif job.claim.token in lost and job.ending is None:
                self._drop_lost(job)
        for job in self._outbox.deliver(self._jobs.values(), at_once=at_once):
            self._drop(job)
            if job.ending is not None and not job.is_refused:
                self._count_failures(job.ending)

    def _drop(self, job: Job) -> None:
        self._slots.free(job)
        self._heartbeat.drop(job.claim)
        if not job.is_admitted:
            self.quota.give_back()
        del self._jobs[job.run.key]

    def _drop_lost(self, job: Job) -> None:
        """Drop a trial that is no longer this worker's."""
        self._drop(job)
        self._outbox.explain_loss(job)

    def _count_failures(self, ending: Ending) -> None:
        self._n_failures = self._n_failures + 1 if ending.state == "FAIL" else 0
        if self._n_failures >= MAX_FAILURES:
            reason = ending.attrs[REASON]
            raise HpoError(f"{MAX_FAILURES} trials in a row failed, the last one with: {reason}")

    def _save_due_checkpoints(self) -> None:
        """Write the checkpoints that are due."""
        latest = time.monotonic() - self.timing.checkpoint
        jobs = self._jobs.values()
        self._save_checkpoints([j for j in jobs if j.is_training and j.saved_at <= latest])

    def _save_checkpoints(self, jobs: Sequence[Job]) -> None:
        """Write checkpoints of trials, in batches to limit memory."""
        for first in range(0, len(jobs), MAX_WRITERS):
            batch = jobs[first : first + MAX_WRITERS]
            with self._heartbeat.watching():
                found = {job: self.trainer.checkpoint(job.run.key) for job in batch}
                written = {job: each for job, each in found.items() if each is not None}
                self._outbox.save_checkpoints(written)
            for job in batch:
                job.saved_at = time.monotonic()

    def _follow_orders(self) -> None:
        """Read the orders for the trials in progress now and then, and carry them out."""
        is_due = time.monotonic() >= self._next_orders and self._storage_outage.is_due
        if not (self._jobs and is_due):
            return
        self._next_orders = time.monotonic() + ORDERS_SECONDS
        with self._storage_outage.tolerated(ends=False):
            for study, jobs in by_study(self._jobs.values()).items():
                own = self._still_training(jobs)
                # deleted: the next report finds no lease
                with suppress(StudyNotFoundError), self._damaged.set_aside(study):
                    self._carry_out(read_orders(study, [job.claim for job in own]), study, own)

    def _carry_out(self, orders: Orders, study: Study, jobs: list[Job]) -> None:
        """Carry out the orders for a study's trials."""
        for job in jobs:
            if job.claim in orders.lost:
                self._drop_lost(job)
        if not orders.goes_on:
            self._deliver(at_once=True)  # the pruner judges all that the checkpoints will hold
            if orders.counts_early:
                self._end_early(self._still_training(jobs))
            remaining = self._still_training(jobs)
            self._save_checkpoints(remaining)
            self._release(study, remaining)

    def _end_early(self, jobs: Sequence[Job]) -> None:
        """Complete trials with their best epoch so far: the study's time is up."""
        for job in jobs:
            with self._heartbeat.watching():
                result = self.trainer.finish(job.run.key)
            if result is not None:
                job.complete(result, self.trainer.device, self._slots.n, is_early=True)
        self._deliver(at_once=True)

    def _still_training(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that this worker still has and that are not over."""
        return [job for job in jobs if not job.is_over and self._jobs.get(job.run.key) is job]

    def _release_idle(self) -> None:
        """Give back trials that were claimed ahead and found no slot, for others to claim."""
        if idle := self._slots.idle():
            with self._storage_outage.tolerated():
                for study, jobs in by_study(idle).items():
                    self._release(study, jobs)

    def _release(self, study: Study, jobs: list[Job], how: str = RELEASED) -> None:
        """Give trials back to their study."""
        for job in jobs:
            job.log(f"goes back to the study: {how}")
            self._drop(job)
        self._outbox.save_logs(jobs)
        with self._damaged.set_aside(study):
            study.release(*(job.claim for job in jobs), how=how)
            for job in jobs:
                log.info("%s: trial %d goes back to the study", study.name, job.claim.number)

    def _release_all(self, how: str = RELEASED) -> None:
        """Save checkpoints, deliver, then give all trials back.

        Checkpoints come first: they must not wait for a storage that does not answer. If it is
        away, the leases expire.
        """
        if how == RELEASED:
            self._save_checkpoints([job for job in self._jobs.values() if job.is_training])
        for step in (partial(self._deliver, at_once=True), partial(self._release_jobs, how)):
            try:
                step()
            except HpoError as error:
                log.warning("%s", error)
            except Exception:  # the trials must go back in any case
                log.exception("while giving trials back")

    def _release_jobs(self, how: str) -> None:
        for study, jobs in by_study(self._jobs.values()).items():
            self._release(study, [job for job in jobs if job.is_admitted], how)
            self._release(study, [job for job in jobs if not job.is_admitted])

    def _is_done(self) -> bool:
        if self.quota.is_spent():
            return True
        if self.until_finished and self._storage_outage.is_due:
            with self._storage_outage.tolerated(ends=False):
                return self._claimer.is_finished()
        return False
