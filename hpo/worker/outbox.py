"""Outbox: sends measurements and final states of trials to the storage, files to the store.

All reports of a study go in one transaction and its endings in another; the weights of a trial are
durable before it is told. Reports of running trials are throttled. A trial that has ended is told
at once, to free its slot. While the storage or the artifact store is away, everything stays with
its job and is delivered later. Pruning is judged epoch by epoch, so that a late report ends a trial
at the same epoch as a timely one.
"""

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hpo.config.errors import ArtifactError
from hpo.config.trial import ENSEMBLE_SIZE, Measurement
from hpo.files.store import LOG, WEIGHTS, ArtifactStore, trial_path
from hpo.storage.attributes import ARTIFACT, REASON, SHA256
from hpo.storage.ledger import Outcome
from hpo.study.claim import Claim
from hpo.study.orders import was_pruned
from hpo.study.study import Study
from hpo.training.checkpoint import Checkpoint
from hpo.worker.checkpoints import remove, save
from hpo.worker.damaged import DamagedStudies
from hpo.worker.job import Ending, Job, by_study
from hpo.worker.outage import Outage

log = logging.getLogger(__name__)

MAX_WRITERS = 8
"""Files written at once: each mostly waits for its disk or its object store."""
MAX_PAUSE_SECONDS = 5.0
"""A trial keeps training until the pruner's verdict arrives, so the pause is short."""
_PAUSE_FACTOR = 20.0
"""Wait at least this many times the duration of the last send: epochs may take milliseconds."""


def pause_after(seconds: float) -> float:
    """How long to leave the storage alone after a call that took `seconds`."""
    return min(_PAUSE_FACTOR * seconds, MAX_PAUSE_SECONDS)


class Outbox:
    """Delivers what a worker's jobs have to report."""

    def __init__(
        self,
        store: ArtifactStore,
        storage_outage: Outage,
        store_outage: Outage,
        damaged: DamagedStudies,
    ) -> None:
        """Write files to `store`, tolerate outages, and leave damaged studies alone."""
        self._store = store
        self._damaged = damaged
        self._next_reports = 0.0
        self._storage_outage = storage_outage
        self._store_outage = store_outage

    def deliver(self, jobs: Collection[Job], *, at_once: bool = False) -> list[Job]:
        """Send what is to be sent, as far as storage and store are available.

        A job that the pruner ended gets its `ending`. While it `wants_weights`, it is not told.

        Args:
            jobs: all jobs of the worker.
            at_once: ignore the throttle and the backoff of an outage.

        Returns:
            Jobs that are over: told, given back, or lost to another worker.

        Raises:
            StorageUnavailableError: the storage has been away for longer than patience allows.
            ArtifactError: likewise the artifact store.
        """
        over: list[Job] = []
        is_due = at_once or time.monotonic() >= self._next_reports
        telling = [job for job in jobs if job.ending or (is_due and job.reports)]
        # With nothing to send, nothing is learned about an outage.
        if telling and (at_once or self._storage_outage.is_due):
            with self._storage_outage.tolerated():
                start = time.monotonic()
                over += self._report(telling)
                if is_due:
                    end = time.monotonic()
                    self._next_reports = end + pause_after(end - start)
                ended = by_study(
                    job for job in jobs if job.ending and not job.wants_weights and job not in over
                )
                for study, own in ended.items():
                    with self._damaged.set_aside(study):
                        over += self._release_refused(study, own)
                        over += self._tell(study, own)
        return over

    def save_checkpoints(self, checkpoints: Mapping[Job, Checkpoint]) -> None:
        """Write checkpoints and logs of trials; failures are only logged."""
        with _writers(len(checkpoints)) as writers:
            list(writers.map(self._save_checkpoint, checkpoints, checkpoints.values()))

    def _save_checkpoint(self, job: Job, checkpoint: Checkpoint) -> None:
        try:
            save(self._store, job.study.uuid, job.claim.number, checkpoint)
        except ArtifactError as error:
            log.warning("no checkpoint of trial %d: %s", job.claim.number, error)
            return
        job.has_checkpoint = True
        self._save_log(job)

    def save_logs(self, jobs: Sequence[Job]) -> None:
        """Write trials' logs beside their weights, if the store is available."""
        with _writers(len(jobs)) as writers:
            list(writers.map(self._save_log, jobs))

    def _save_log(self, job: Job) -> None:
        if job.lines:
            with suppress(ArtifactError):
                self._store.put(job.path(LOG), "\n".join([*job.lines, ""]).encode())

    def _report(self, jobs: Collection[Job]) -> list[Job]:
        """Send reports and end the jobs that the pruner stops; returns the lost jobs."""
        by_claim = {job.claim: job for job in jobs}
        lost = []
        for study, own in by_study(job for job in jobs if job.reports).items():
            with self._damaged.set_aside(study):
                lost += [by_claim[claim] for claim in self._report_study(study, own)]
        for job in lost:
            self.explain_loss(job)
        return lost

    def _report_study(self, study: Study, jobs: Collection[Job]) -> set[Claim]:
        """Send a study's reports and end the jobs that its pruner stops; the lost claims."""
        batch: dict[Claim, Sequence[Measurement]] = {j.claim: list(j.reports) for j in jobs}
        reply = study.report(batch)
        for job in jobs:
            claim = job.claim
            job.reports.clear()
            last = reply.prune.get(claim, math.inf)
            job.update_best([measured for measured in batch[claim] if measured.step <= last])
            if claim in reply.prune:
                # Pruned takes precedence over finished: the final state of a trial must not
                # depend on how many of its epochs one report holds.
                best = job.best
                is_kept = best and study.is_among_best(best.value, ENSEMBLE_SIZE)
                job.prune(keep=bool(is_kept))
        return reply.lost

    def explain_loss(self, job: Job) -> None:
        """Log why a trial is no longer this worker's, and clean up after a manual pruning."""
        is_pruned = False
        with self._storage_outage.tolerated(ends=False), self._damaged.set_aside(job.study):
            is_pruned = was_pruned(job.study, job.claim)
        if is_pruned:
            log.info("%s: trial %d was pruned by hand", job.study.name, job.claim.number)
            self._clean_up(job, is_lost=False)
        else:
            log.info("trial %d belongs to another worker now", job.claim.number)

    def _release_refused(self, study: Study, jobs: list[Job]) -> list[Job]:
        """Return those of a study's jobs that found no slot, and give them back."""
        refused = [job for job in jobs if job.is_refused]
        study.release(*(job.claim for job in refused))
        for job in refused:
            log.info("%s: trial %d goes back to the study", study.name, job.claim.number)
        return refused

    def _tell(self, study: Study, jobs: list[Job]) -> list[Job]:
        """Tell how a study's jobs ended; returns the jobs whose weights were saved."""
        saved = self._save(jobs)
        if not saved:
            return []
        lost = study.finish_all({job.claim: outcome for job, outcome in saved.items()})
        for job, outcome in saved.items():
            if job.claim in lost:
                self._clean_up(job, is_lost=True)
                self.explain_loss(job)
            else:
                self._log_outcome(job, outcome)
                self._clean_up(job, is_lost=False)
        return list(saved)

    def _save(self, jobs: list[Job]) -> dict[Job, Outcome]:
        """Save the weights of jobs that ended; their outcomes, as far as that succeeded."""
        saved, heavy = {}, []
        for job in jobs:
            match job.ending:
                case Ending(state="COMPLETE" | "PRUNED" | "FAIL", weights=None):
                    saved[job] = job.outcome({})
                case Ending(weights=bytes()):
                    heavy.append(job)
        if heavy and self._store_outage.is_due:
            with self._store_outage.tolerated(), _writers(len(heavy)) as writers:
                for job, attrs in zip(heavy, writers.map(self._put, heavy), strict=True):
                    saved[job] = job.outcome(attrs)
        return saved

    def _put(self, job: Job) -> dict[str, str]:
        """Write a job's weights; returns the attributes that refer to them."""
        assert job.ending is not None
        assert job.ending.weights is not None
        path = job.path(WEIGHTS)
        return {ARTIFACT: path, SHA256: self._store.put(path, job.ending.weights)}

    def _log_outcome(self, job: Job, outcome: Outcome) -> None:
        metric, value = job.study.definition.metric_label, outcome.value
        shown = "" if value is None else f" {metric} {value:.5g}"
        reason = f" ({outcome.user_attrs[REASON]})" if REASON in outcome.user_attrs else ""
        line = f"trial {job.claim.number} {outcome.state}{shown}{reason}"
        log.info("%s: %s", job.study.name, line)
        job.log(line)
        if outcome.state == "FAIL":
            self._save_log(job)

    def _clean_up(self, job: Job, *, is_lost: bool) -> None:
        """Delete files that an ended trial no longer needs: checkpoints and earlier weights.

        Args:
            job: the ended trial.
            is_lost: another worker told the trial. Then only this attempt's weights are deleted.
        """
        uuid, number, attempt = job.study.uuid, job.claim.number, job.claim.attempt
        attempts = range(attempt, attempt + 1) if is_lost else range(1, attempt)
        with suppress(ArtifactError):  # `hpo gc` collects what stays
            for earlier in attempts:
                self._store.delete(trial_path(uuid, number, earlier, WEIGHTS))
            if not is_lost and (job.has_checkpoint or attempt > 1):
                remove(self._store, uuid, number)


def _writers(n_files: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, min(n_files, MAX_WRITERS)))
