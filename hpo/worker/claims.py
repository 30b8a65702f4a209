"""Claims: trials for a worker's free slots, and where each of them begins.

What a study grants at one look is one transaction, and the params drawn for it are another. A trial
is under a lease that the heartbeat renews before its params are drawn; whatever becomes of it on
its way, one that was not begun goes back to its study, and its claim to the quota.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from hpo.config.errors import LeaseLostError, StorageUnavailableError
from hpo.files.store import ArtifactStore
from hpo.study.study import Claim, Lease, Study, WorkerId
from hpo.training.checkpoint import Checkpoint
from hpo.training.trainer import Run
from hpo.worker.checkpoints import latest, remove
from hpo.worker.heartbeat import Heartbeat
from hpo.worker.job import Job
from hpo.worker.outage import Outage
from hpo.worker.quota import Quota
from hpo.worker.stopwatch import Stopwatch
from hpo.worker.tables import Tables

log = logging.getLogger(__name__)

Begin = Callable[[Job, Checkpoint | None], None]
Shares = Callable[[Sequence[Study], int], Sequence[tuple[Study, int]]]
"""How many of so many trials to ask each study for, in the order to ask."""


def all_of_the_first(studies: Sequence[Study], n: int) -> Sequence[tuple[Study, int]]:
    """Ask the first study for all; what it has not, the next is asked for."""
    return [(study, n) for study in studies[:1]]


class Claims:
    """Takes trials from studies for one worker."""

    def __init__(
        self,
        *,
        identity: WorkerId,
        lease: float,
        quota: Quota,
        heartbeat: Heartbeat,
        store: ArtifactStore,
        tables: Tables,
        store_outage: Outage,
        stopwatch: Stopwatch,
        shares: Shares = all_of_the_first,
    ) -> None:
        """Claim as `identity` within a quota, under leases of `lease` seconds."""
        self._shares = shares
        self._identity = identity
        self._lease = lease
        self._quota = quota
        self._heartbeat = heartbeat
        self._store = store
        self._tables = tables
        self._store_outage = store_outage
        self._stopwatch = stopwatch

    def take(self, studies: Sequence[Study], n: int, begin: Begin) -> int:
        """Take up to `n` trials, of each study its share, then from the first that have some.

        Args:
            studies: in the order to look once each had its share.
            n: how many are wanted.
            begin: called with each trial that was taken, and with its checkpoint.

        Returns:
            How many were begun.
        """
        n_begun, short = 0, set[Study]()
        for study, n_wanted in self._shares(studies, n):
            n_got = self._take(study, n_wanted, begin)
            n_begun += n_got
            if n_got < n_wanted:
                short.add(study)
        for study in studies:
            if n_begun < n and study not in short:
                n_begun += self._take(study, n - n_begun, begin)
        return n_begun

    def _take(self, study: Study, n: int, begin: Begin) -> int:
        with self._stopwatch("ask"):
            study.reaper.reap()
        if not self._has_table(study):
            return 0
        begun: list[Job] = []

        def note(job: Job, checkpoint: Checkpoint | None) -> None:
            begun.append(job)
            begin(job, checkpoint)

        n_taken = self._quota.take(n)
        try:
            if n_taken:
                self._claim(study, n_taken, note)
        finally:
            self._quota.give_back(n_taken - len(begun))
        return len(begun)

    def _has_table(self, study: Study) -> bool:
        """Whether the study's table is at hand; a trial is not claimed before."""
        if study not in self._tables:
            with self._store_outage.ridden_out(), self._stopwatch("prepare"):
                self._tables[study]
        return study in self._tables

    def _claim(self, study: Study, n: int, begin: Begin) -> None:
        """Claim trials, under leases that are renewed from the first moment, and begin them."""
        with self._stopwatch("ask"):
            granted = study.claim(self._identity, self._lease, n)
        idle: dict[str, Lease] = {lease.token: lease for lease in granted}
        for lease in granted:
            self._heartbeat.hold(lease, study)
        try:
            with self._stopwatch("ask"):
                claims = study.draw(granted)
            for claim in claims:
                if self._store_outage.is_due:
                    with suppress(LeaseLostError), self._store_outage.ridden_out():
                        job, checkpoint = self._prepared(claim, study)
                        del idle[claim.token]
                        begin(job, checkpoint)
        finally:
            for lease in idle.values():
                self._heartbeat.drop(lease)
            with suppress(StorageUnavailableError):  # their leases then run out by themselves
                study.release(*idle.values())

    def _prepared(self, claim: Claim, study: Study) -> tuple[Job, Checkpoint | None]:
        """A claimed trial as it begins, or goes on from its last checkpoint."""
        config = study.definition.trial_config(claim.params)
        with self._stopwatch("prepare"):
            _, data = self._tables[study].prepared(config.preprocessing)
        job = Job(claim=claim, study=study, run=Run(key=claim.trial_id, config=config, data=data))
        checkpoint = None
        if claim.attempt > 1:
            with self._stopwatch("resume"):
                checkpoint = self._latest(job)
                measurements = checkpoint.measurements if checkpoint else ()
                job.n_chances = study.resume(claim, measurements)
                job.note(measurements)
                job.is_kept = checkpoint is not None
        epoch = len(checkpoint.measurements) if checkpoint else 0
        job.log(f"attempt {claim.attempt} by {self._identity.key}, from epoch {epoch}")
        return job, checkpoint

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
