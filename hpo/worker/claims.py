"""Claims trials for a worker's free slots and prepares them to start or resume.

Each study grants claims in one transaction, and their params are drawn in another. The heartbeat
renews a trial's lease before its params are drawn. A trial that does not start goes back to its
study, and its claim back to the quota.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hpo.config.errors import LeaseLostError, StorageError, StudyNotFoundError
from hpo.files.store import ArtifactStore
from hpo.models.experiment import Experiment, load_experiment
from hpo.storage.leases import Lease, WorkerId
from hpo.study.claim import Claim
from hpo.study.study import Study
from hpo.training.checkpoint import Checkpoint
from hpo.training.trainer import Run
from hpo.worker.checkpoints import latest, remove
from hpo.worker.damaged import DamagedStudies
from hpo.worker.heartbeat import Heartbeat
from hpo.worker.job import Job
from hpo.worker.outage import Outage
from hpo.worker.quota import Quota

log = logging.getLogger(__name__)

_STUDIES_SECONDS = 5.0
"""How often a busy worker updates its list of studies."""

Start = Callable[[Job, Checkpoint | None], None]
Shares = Callable[[Sequence[Study], int], Sequence[tuple[Study, int]]]
"""Splits a number of trials among studies, in the order to ask them."""


def first_study_first(studies: Sequence[Study], n: int) -> Sequence[tuple[Study, int]]:
    """Ask the first study for all trials; the claimer asks the next ones for what is missing."""
    return [(study, n) for study in studies[:1]]


@dataclass(kw_only=True)
class Claimer:
    """Claims trials for one worker, and knows when its studies have none left.

    Attributes:
        studies: the studies to work for, in the order to claim trials.
        identity: the worker.
        lease: duration of its leases, in seconds.
        quota: limit on its claims.
        heartbeat: renews its leases.
        store: holds tables and checkpoints.
        store_outage: of the store.
        shares: how many trials to ask each study for.
        damaged: studies that it leaves alone.
        experiments: the tables that were read, by the study's UUID.
        known: the studies at the last claim.
    """

    studies: Callable[[], Sequence[Study]]
    identity: WorkerId
    lease: float
    quota: Quota
    heartbeat: Heartbeat
    store: ArtifactStore
    store_outage: Outage
    shares: Shares
    damaged: DamagedStudies
    experiments: dict[str, Experiment] = field(default_factory=dict)
    known: Sequence[Study] = field(default=(), init=False)
    _next_studies: float = field(default=0.0, init=False)

    def claim(self, n: int, start: Start, *, is_busy: bool) -> int:
        """Claim up to `n` trials: its share from each study, then the rest from the first ones.

        Args:
            n: number of trials wanted.
            start: called with each claimed trial and its checkpoint.
            is_busy: whether the worker has trials. It then updates its list of studies now and
                then, otherwise at each claim.

        Returns:
            The number of trials started.
        """
        now = time.monotonic()
        if not is_busy or now >= self._next_studies:
            self.known, self._next_studies = self.studies(), now + _STUDIES_SECONDS
        uuids = {study.uuid for study in self.known}
        self.experiments = {k: v for k, v in self.experiments.items() if k in uuids}
        n_started, exhausted = 0, set[Study]()
        for study, n_wanted in self.shares(self.known, n):
            n_found = self._claim_from(study, n_wanted, start)
            n_started += n_found
            if n_found < n_wanted:
                exhausted.add(study)
        for study in self.known:
            if n_started < n and study not in exhausted:
                n_started += self._claim_from(study, n - n_started, start)
        return n_started

    def is_finished(self) -> bool:
        """Whether no study has anything left to do for this worker.

        Raises:
            DamagedStudyError: none has, and one was left alone.
        """
        is_finished = all(self._is_over(study) for study in self.studies())
        if is_finished:
            self.damaged.raise_first()
        return is_finished

    def _is_over(self, study: Study) -> bool:
        """Whether a study has nothing left to do for this worker."""
        if study in self.damaged:
            return True
        try:
            with self.damaged.set_aside(study):
                return study.progress().is_finished
        except StudyNotFoundError as error:
            log.info("%s", error)
        return True

    def _claim_from(self, study: Study, n: int, start: Start) -> int:
        started: list[Job] = []
        if study not in self.damaged:
            with self.damaged.set_aside(study):
                study.reaper.reap()
                if (experiment := self._load(study)) is not None:
                    self._start_within_quota(study, experiment, n, start, started)
        return len(started)

    def _start_within_quota(
        self, study: Study, experiment: Experiment, n: int, start: Start, started: list[Job]
    ) -> None:
        n_taken = self.quota.take(n)
        try:
            if n_taken:
                self._start_trials(study, experiment, n_taken, start, started)
        finally:
            self.quota.give_back(n_taken - len(started))

    def _load(self, study: Study) -> Experiment | None:
        """The study's table, read once; None while it cannot be read. No trial is claimed then."""
        if study.uuid not in self.experiments:
            with self.store_outage.tolerated():
                experiment = load_experiment(self.store, study.definition.data)
                self.experiments[study.uuid] = experiment
        return self.experiments.get(study.uuid)

    def _start_trials(
        self, study: Study, experiment: Experiment, n: int, start: Start, started: list[Job]
    ) -> None:
        """Claim up to `n` trials, renew their leases at once, and add those started to a list."""
        granted = study.claim(self.identity, self.lease, n)
        unused: dict[str, Lease] = {lease.token: lease for lease in granted}
        for lease in granted:
            self.heartbeat.hold(lease, study)
        try:
            for claim in study.draw(granted):
                if self.store_outage.is_due:
                    with suppress(LeaseLostError), self.store_outage.tolerated():
                        job, checkpoint = self._prepare(claim, study, experiment)
                        del unused[claim.token]
                        started.append(job)
                        start(job, checkpoint)
        finally:
            for lease in unused.values():
                self.heartbeat.drop(lease)
            with suppress(StorageError):  # their leases then expire
                study.release(*unused.values())

    def _prepare(
        self, claim: Claim, study: Study, experiment: Experiment
    ) -> tuple[Job, Checkpoint | None]:
        """A claimed trial and the checkpoint to resume from, if there is one."""
        config = study.definition.trial_config(claim.params)
        _, data = experiment.prepared(config.preprocessing)
        run = Run(key=claim.trial_id, config=config, data=data)
        job = Job(claim=claim, study=study, experiment=experiment, run=run)
        checkpoint = None
        if claim.attempt > 1:
            checkpoint = self._latest_checkpoint(job)
            measurements = checkpoint.measurements if checkpoint else ()
            job.n_attempts_left = study.resume(claim, measurements)
            job.update_best(measurements)
            job.has_checkpoint = checkpoint is not None
        epoch = len(checkpoint.measurements) if checkpoint else 0
        job.log(f"attempt {claim.attempt} by {self.identity.key}, from epoch {epoch}")
        return job, checkpoint

    def _latest_checkpoint(self, job: Job) -> Checkpoint | None:
        """The checkpoint to resume from; one that does not fit the run is removed."""
        checkpoint = latest(self.store, job.study.uuid, job.claim.number)
        try:
            if checkpoint is not None:
                checkpoint.check(job.run.config, job.run.data)
        except ValueError as error:
            log.warning("trial %d starts over: %s", job.claim.number, error)
            remove(self.store, job.study.uuid, job.claim.number)
            return None
        return checkpoint
