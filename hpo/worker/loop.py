"""The worker's loop: claim, train, report, save, tell.

One loop whether the trainer holds one trial or many: fill its free slots from the studies, let it
advance a slice, hand what happened to the outbox, drop what is over. Now and then a checkpoint of
each trial goes to the artifact store, and whoever takes the trial up again goes on from there. A
signal is looked for between slices; trials in progress are then kept and go back to their study.

Does not know: what a trainer does inside, how processes are started.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from hpo.artifacts import ArtifactStore
from hpo.checkpoints import latest, remove, save
from hpo.errors import (
    ArtifactError,
    HpoError,
    LeaseLostError,
    StorageUnavailableError,
    StudyNotFoundError,
)
from hpo.study import RELEASED, Claim, Study, WorkerId
from hpo.training import Checkpoint, Event, Failed, Finished, Progress, Result, Run, Trainer
from hpo.worker.heart import Heart
from hpo.worker.job import Ending, Job
from hpo.worker.outbox import Outbox
from hpo.worker.quota import Quota
from hpo.worker.stopwatch import Stopwatch
from hpo.worker.tables import Tables

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.5
POLL_SECONDS = 1.0
BUDGET_SECONDS = 2.0
"""How often a worker looks whether its studies' time is used up."""
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
        deadline: float = math.inf,
        until_finished: bool = True,
    ) -> None:
        """Gather what a worker needs.

        Args:
            studies: those to work for, in the order to look for trials; asked again when idle.
            store: where tables are read, weights and checkpoints are written.
            trainer: the engine, on its device.
            identity: what the storage shows of this worker.
            quota: how many trials may be claimed.
            timing: how patient it is.
            deadline: `time.monotonic()` at which to hand everything back.
            until_finished: end when every study is finished, rather than wait for new ones.
        """
        self._studies = studies
        self._store = store
        self._trainer = trainer
        self._identity = identity
        self._quota = quota
        self._timing = timing
        self._deadline = deadline
        self._until_finished = until_finished
        self._heart = Heart(timing.lease, timing.hang)
        self._jobs: dict[int, Job] = {}
        self._tables = Tables(store)
        self._n_failures = 0
        self._next_look = 0.0
        self.stopwatch = Stopwatch()
        self._outbox = Outbox(store, timing.outage, self.stopwatch)

    def work(self, stop: threading.Event) -> bool:
        """Run until there is nothing left to do, or `stop` is set.

        Returns:
            Whether the work ended by itself; False when a stop gave trials back.

        Raises:
            HpoError: it cannot go on; its trials were kept and given back first.
            Exception: training crashed; the trial was given back as one that cost a worker.
        """
        with self._heart:
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
        while not stop.is_set() and time.monotonic() < self._deadline:
            if not self._jobs and not self._fill():
                if self._is_done():
                    return True
                stop.wait(POLL_SECONDS)
                continue
            self._advance(stop)
            self._deliver()
            self._keep_due()
            self._watch_time()
        return not (stop.is_set() or self._jobs)

    def _fill(self) -> bool:
        """Claim a trial for the trainer; whether there was one."""
        outage = self._outbox.storage_outage
        if not (outage.is_due and self._outbox.store_outage.is_due):
            return False
        is_found = False
        with outage.ridden_out():
            studies = self._studies()
            self._tables.retain(studies)
            is_found = any(self._take(study) for study in studies)
        return is_found

    def _take(self, study: Study) -> bool:
        """Claim a trial of this study within the quota, and admit it."""
        with self.stopwatch("ask"):
            study.reaper.reap()
        if not (self._has_table(study) and self._quota.take()):
            return False
        is_admitted = False
        try:
            is_admitted = self._claim(study)
        finally:
            if not is_admitted:
                self._quota.give_back()
        return is_admitted

    def _has_table(self, study: Study) -> bool:
        """Whether the study's table is at hand; a trial is not claimed before."""
        if study not in self._tables:
            with self._outbox.store_outage.ridden_out(), self.stopwatch("prepare"):
                self._tables[study]
        return study in self._tables

    def _claim(self, study: Study) -> bool:
        """Claim a trial, under a lease that is renewed from the first moment, and admit it."""
        with self.stopwatch("ask"):
            lease = study.claim(self._identity, self._timing.lease)
        if lease is None:
            return False
        self._heart.hold(lease, study)
        is_admitted = False
        try:
            with self.stopwatch("ask"):
                claim = study.draw(lease)
            if claim is not None:
                with self._outbox.store_outage.ridden_out():
                    self._admit(claim, study)
                    is_admitted = True
        except LeaseLostError:
            pass
        finally:
            if not is_admitted:
                self._heart.drop(lease)
                with suppress(StorageUnavailableError):  # its lease then runs out by itself
                    study.release(lease)
        return is_admitted

    def _admit(self, claim: Claim, study: Study) -> None:
        """Begin a claimed trial, or go on with it from its last checkpoint."""
        config = study.definition.trial_config(claim.params)
        with self.stopwatch("prepare"):
            _, data = self._tables[study].prepared(config.preprocessing.numeric)
        run = Run(key=claim.trial_id, config=config, data=data)
        self._start(Job(claim=claim, study=study, run=run))

    def _start(self, job: Job) -> None:
        claim, checkpoint = job.claim, None
        if claim.attempt > 1:
            with self.stopwatch("resume"):
                checkpoint = self._latest(job)
                measurements = checkpoint.measurements if checkpoint else ()
                job.study.resume(claim, measurements)
                job.note(measurements)
                job.is_kept = checkpoint is not None
        epoch = len(checkpoint.measurements) if checkpoint else 0
        job.log(f"attempt {claim.attempt} by {self._identity.key}, from epoch {epoch}")
        self._jobs[job.run.key] = job
        self._trainer.admit(job.run, checkpoint)

    def _latest(self, job: Job) -> Checkpoint | None:
        """Where to go on from; a checkpoint of another run is worth no more than none."""
        checkpoint = latest(self._store, job.study.uuid, job.claim.number)
        try:
            if checkpoint is not None:
                checkpoint.check(job.run.config, job.run.data)
        except ValueError as error:
            log.warning("trial %d begins anew: %s", job.claim.number, error)
            remove(self._store, job.study.uuid, job.claim.number)
            return None
        return checkpoint

    def _advance(self, stop: threading.Event) -> None:
        """Train for a slice and note what happened in it."""
        with self.stopwatch("train"), self._heart.watching():
            events = self._trainer.advance(SLICE_SECONDS)
        for event in events:
            if job := self._jobs.get(event.key):
                self._note(job, event)
        if not events and all(job.ending for job in self._jobs.values()):
            stop.wait(POLL_SECONDS)  # all there is to do is to deliver

    def _note(self, job: Job, event: Event) -> None:
        match event:
            case Progress():
                job.reports += event.measurements
                for measured in event.measurements:
                    job.log(f"epoch {measured.step}: {measured.value:.6g}")
            case Failed():
                job.ending = Ending(state="FAIL", attrs={"reason": event.reason})
            case Finished() if event.result.status == "diverged":
                attrs = {**_measured(event.result), "reason": event.result.reason}
                job.ending = Ending(state="PRUNED", attrs=attrs)
            case Finished():
                job.ending = self._completed(job, event.result)

    def _completed(self, job: Job, result: Result) -> Ending:
        model = self._tables[job.study].model(job.run.config, result, self._trainer.device)
        attrs = {**_measured(result), **asdict(model.environment), "metrics": result.metrics}
        return Ending(state="COMPLETE", attrs=attrs, weights=model.to_bytes())

    def _deliver(self, *, at_once: bool = False) -> None:
        """Send what the storage does not know yet, and drop what is over."""
        lost = self._heart.lost()
        for job in list(self._jobs.values()):
            # One that has ended is told all the same: it may be our own word that ended its lease.
            if job.claim.token in lost and job.ending is None:
                log.info("trial %d belongs to another worker now", job.claim.number)
                self._drop(job)
        for job in self._outbox.deliver(self._jobs.values(), at_once=at_once):
            self._drop(job)
            if job.ending is not None:
                self._count_failures(job.ending)
        for job in self._jobs.values():
            if job.ending is not None:  # by the pruner, and not told yet
                self._trainer.evict(job.run.key)

    def _drop(self, job: Job) -> None:
        self._trainer.evict(job.run.key)
        self._heart.drop(job.claim)
        del self._jobs[job.run.key]

    def _count_failures(self, ending: Ending) -> None:
        self._n_failures = self._n_failures + 1 if ending.state == "FAIL" else 0
        if self._n_failures >= MAX_FAILURES:
            reason = ending.attrs["reason"]
            raise HpoError(f"{MAX_FAILURES} trials in a row failed, the last one of: {reason}")

    def _keep_due(self) -> None:
        """Write the checkpoints whose time has come."""
        for job in self._jobs.values():
            if job.ending is None and time.monotonic() >= job.kept_at + self._timing.checkpoint:
                self._keep(job)

    def _keep(self, job: Job) -> None:
        """Write a checkpoint of a trial; without one, less of it survives its worker."""
        job.kept_at = time.monotonic()
        with self.stopwatch("checkpoint"), self._heart.watching():
            if (checkpoint := self._trainer.checkpoint(job.run.key)) is None:
                return
            try:
                save(self._store, job.study.uuid, job.claim.number, checkpoint)
            except ArtifactError as error:
                log.warning("no checkpoint of trial %d: %s", job.claim.number, error)
                return
        job.is_kept = True
        self._outbox.keep_log(job)

    def _watch_time(self) -> None:
        """Give back the trials of studies whose time is used up; looked at now and then."""
        if time.monotonic() < self._next_look or not self._outbox.storage_outage.is_due:
            return
        self._next_look = time.monotonic() + BUDGET_SECONDS
        with self._outbox.storage_outage.ridden_out():
            for study in {job.study for job in self._jobs.values()}:
                with suppress(StudyNotFoundError):  # deleted: the next report finds no lease
                    if study.is_out_of_time():
                        for job in [job for job in self._jobs.values() if job.study is study]:
                            self._keep(job)
                            self._give_back(job)

    def _give_back(self, job: Job, how: str = RELEASED) -> None:
        """Return a trial to its study."""
        job.log(f"goes back to the study: {how}")
        self._outbox.keep_log(job)
        self._drop(job)
        job.study.release(job.claim, how)
        log.info("%s: trial %d goes back to the study", job.study.name, job.claim.number)

    def _release_all(self, how: str = RELEASED) -> None:
        """Keep everything, then give it back; where the storage is away, leases run out.

        What is kept comes first: it must not wait for a storage that does not answer.
        """
        for job in self._jobs.values():
            if job.ending is None and how == RELEASED:
                self._keep(job)
        for last in (partial(self._deliver, at_once=True), partial(self._give_all_back, how)):
            try:
                last()
            except HpoError as error:
                log.warning("%s", error)

    def _give_all_back(self, how: str) -> None:
        for job in list(self._jobs.values()):
            self._give_back(job, how)

    def _is_done(self) -> bool:
        if self._quota.is_spent():
            return True
        if self._until_finished and self._outbox.storage_outage.is_due:
            with self._outbox.storage_outage.ridden_out():
                return all(_is_finished(study) for study in self._studies())
        return False


def _is_finished(study: Study) -> bool:
    try:
        return study.progress().is_finished
    except StudyNotFoundError as error:
        log.info("%s", error)
        return True


def _measured(result: Result) -> dict[str, Any]:
    return {"n_epochs": result.n_epochs, "n_steps": result.n_steps, "seconds": result.seconds}
