"""The outbox: what trials measured and how they ended, until the storage has it.

Reports go in one transaction for all the trials of a study, and endings follow in another, each
with its weights durable before it is told. Reports of trials that go on keep a pace; one that has
ended is told at once, for its place is wanted. When the storage or the artifact store is out of
reach, everything stays with its job and is delivered later: pruning is judged epoch by epoch, so
that a late report ends a trial where a timely one would have.
"""

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

from hpo.config.errors import ArtifactError, StorageUnavailableError
from hpo.config.trial import Measurement
from hpo.files.store import LOG, ArtifactStore, trial_path
from hpo.storage.ledger import Outcome
from hpo.study.orders import was_pruned
from hpo.study.study import Claim, Study
from hpo.training import Checkpoint
from hpo.worker.checkpoints import remove, save
from hpo.worker.job import Ending, Job
from hpo.worker.outage import Outage
from hpo.worker.pace import Pace
from hpo.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
MAX_WRITERS = 8
"""Files that are written at once: each waits for its disk or its object store most of the time."""


class Outbox:
    """Delivers what a worker's jobs have to say."""

    def __init__(self, store: ArtifactStore, patience: float, stopwatch: Stopwatch) -> None:
        """Write to `store`; ride out outages of `patience` seconds."""
        self._store = store
        self._stopwatch = stopwatch
        self._pace = Pace()
        self.storage_outage = Outage(StorageUnavailableError, patience=patience)
        self.store_outage = Outage(ArtifactError, patience=patience)

    def deliver(self, jobs: Collection[Job], *, at_once: bool = False) -> list[Job]:
        """Send what there is to send, as far as storage and store are in reach.

        A job that the pruner ended has its `ending` set.

        Args:
            jobs: those in hand.
            at_once: all of it, even if the last try failed a moment ago.

        Returns:
            Jobs that are over: told, given back, or another worker's now.

        Raises:
            StorageUnavailableError: the storage has been away for longer than patience allows.
            ArtifactError: likewise the artifact store.
        """
        over: list[Job] = []
        is_due = at_once or self._pace.is_due
        telling = [job for job in jobs if job.ending or (is_due and job.reports)]
        # With nothing to say the storage is not asked, and nothing is learned of its outage.
        if telling and (at_once or self.storage_outage.is_due):
            with self.storage_outage.ridden_out():
                with self._pace.timed() if is_due else nullcontext():
                    over += self._report(telling)
                ended = by_study(job for job in jobs if job.ending and job not in over)
                for study, own in ended.items():
                    over += self._give_back(study, own)
                    over += self._tell(study, own)
        return over

    def keep(self, states: Mapping[Job, Checkpoint]) -> None:
        """Write checkpoints of trials, durable; one that cannot be written is said, no more."""
        with _writers(len(states)) as writers:
            for job, is_kept in zip(
                states, writers.map(self._keep, states, states.values()), strict=True
            ):
                job.is_kept |= is_kept

    def _keep(self, job: Job, state: Checkpoint) -> bool:
        try:
            save(self._store, job.study.uuid, job.claim.number, state)
        except ArtifactError as error:
            log.warning("no checkpoint of trial %d: %s", job.claim.number, error)
            return False
        self._keep_log(job)
        return True

    def keep_logs(self, jobs: Sequence[Job]) -> None:
        """Write trials' logs beside their weights; a store that is away does without."""
        with _writers(len(jobs)) as writers:
            list(writers.map(self._keep_log, jobs))

    def _keep_log(self, job: Job) -> None:
        if job.lines:
            with suppress(ArtifactError):
                self._store.put(job.path(LOG), "\n".join([*job.lines, ""]).encode())

    def _report(self, jobs: Collection[Job]) -> list[Job]:
        """Report, and set what the pruner ended; the jobs that belong to others now."""
        by_claim = {job.claim: job for job in jobs}
        lost = []
        for study, own in by_study(job for job in jobs if job.reports).items():
            batch: dict[Claim, Sequence[Measurement]] = {j.claim: list(j.reports) for j in own}
            with self._stopwatch("report"):
                reply = study.report(batch)
            for claim in batch:
                job = by_claim[claim]
                job.reports.clear()
                last = reply.prune.get(claim, math.inf)
                job.note([measured for measured in batch[claim] if measured.step <= last])
                if claim in reply.prune:
                    # Pruned comes before finished: what becomes of a trial must not hang on how
                    # many of its epochs fell into one report.
                    reason = f"{study.definition.pruner.name} pruner"
                    job.ending = Ending(state="PRUNED", attrs={"reason": reason})
            lost += [by_claim[claim] for claim in reply.lost]
        for job in lost:
            self.take_leave(job)
        return lost

    def take_leave(self, job: Job) -> None:
        """Say why a trial is no longer this worker's, and clear what nobody needs of it."""
        is_pruned = False
        with self.storage_outage.ridden_out(proves=False):
            is_pruned = was_pruned(job.study, job.claim)
        if is_pruned:
            log.info("%s: trial %d was pruned by hand", job.study.name, job.claim.number)
            self._clear(job, own=False)
        else:
            log.info("trial %d belongs to another worker now", job.claim.number)

    def _give_back(self, study: Study, jobs: list[Job]) -> list[Job]:
        """Return those of a study's jobs that found no place; which these were."""
        unplaced = [job for job in jobs if job.is_refused]
        study.release(*(job.claim for job in unplaced))
        for job in unplaced:
            log.info("%s: trial %d goes back to the study", study.name, job.claim.number)
        return unplaced

    def _tell(self, study: Study, jobs: list[Job]) -> list[Job]:
        """Tell how a study's jobs ended, those whose weights could be saved; which these are."""
        saved = self._saved(jobs)
        if not saved:
            return []
        with self._stopwatch("tell"):
            lost = study.finish_all({job.claim: outcome for job, outcome in saved.items()})
        for job, outcome in saved.items():
            if job.claim in lost:
                self._clear(job, own=True)
                self.take_leave(job)
            else:
                self._say(job, outcome)
                self._clear(job, own=False)
        return list(saved)

    def _saved(self, jobs: list[Job]) -> dict[Job, Outcome]:
        """What to tell of those jobs that ended, with their weights durable."""
        saved, heavy = {}, []
        for job in jobs:
            match job.ending:
                case Ending(state="COMPLETE" | "PRUNED" | "FAIL", weights=None):
                    saved[job] = job.outcome({})
                case Ending(weights=bytes()):
                    heavy.append(job)
        if heavy and self.store_outage.is_due:
            with (
                self.store_outage.ridden_out(),
                self._stopwatch("save"),
                _writers(len(heavy)) as writers,
            ):
                for job, attrs in zip(heavy, writers.map(self._put, heavy), strict=True):
                    saved[job] = job.outcome(attrs)
        return saved

    def _put(self, job: Job) -> dict[str, str]:
        """Write a job's weights; what names them."""
        assert job.ending is not None
        assert job.ending.weights is not None
        path = job.path(WEIGHTS)
        return {"artifact": path, "sha256": self._store.put(path, job.ending.weights)}

    def _say(self, job: Job, outcome: Outcome) -> None:
        metric, value = job.study.definition.metric_label, outcome.value
        shown = "" if value is None else f" {metric} {value:.5g}"
        reason = f" ({outcome.user_attrs['reason']})" if "reason" in outcome.user_attrs else ""
        line = f"trial {job.claim.number} {outcome.state}{shown}{reason}"
        log.info("%s: %s", job.study.name, line)
        job.log(line)
        if outcome.state == "FAIL":
            self._keep_log(job)

    def _clear(self, job: Job, *, own: bool) -> None:
        """Delete what nobody will need of a trial that was told: checkpoints, earlier weights.

        Args:
            job: at its end.
            own: another worker told the trial; only what this attempt wrote is deleted.
        """
        uuid, number, attempt = job.study.uuid, job.claim.number, job.claim.attempt
        attempts = range(attempt, attempt + 1) if own else range(1, attempt)
        with suppress(ArtifactError):  # what stays is collected by `hpo gc`
            for earlier in attempts:
                self._store.delete(trial_path(uuid, number, earlier, WEIGHTS))
            if not own and (job.is_kept or attempt > 1):
                remove(self._store, uuid, number)


def _writers(n_files: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, min(n_files, MAX_WRITERS)))


def by_study(jobs: Iterable[Job]) -> dict[Study, list[Job]]:
    """Jobs by their study."""
    found: dict[Study, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.study, []).append(job)
    return found
