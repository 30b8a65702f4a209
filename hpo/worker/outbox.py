"""The outbox: what trials measured and how they ended, until the storage has it.

Reports go in one transaction for all the trials of a study, endings follow, each with its weights
durable before it is told. When the storage or the artifact store is out of reach, everything stays
with its job and is delivered later: pruning is judged epoch by epoch, so that a late report ends a
trial where a timely one would have.

Does not know: how trials are trained.
"""

import logging
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from hpo.artifacts import LOG, ArtifactStore, trial_path
from hpo.checkpoints import remove
from hpo.errors import ArtifactError, LeaseLostError, StorageUnavailableError
from hpo.study import Claim, Study
from hpo.trial import Measurement
from hpo.worker.job import Ending, Job
from hpo.worker.outage import Outage
from hpo.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"


class Outbox:
    """Delivers what a worker's jobs have to say."""

    def __init__(self, store: ArtifactStore, patience: float, stopwatch: Stopwatch) -> None:
        """Write to `store`; ride out outages of `patience` seconds."""
        self._store = store
        self._stopwatch = stopwatch
        self.storage_outage = Outage(StorageUnavailableError, patience=patience)
        self.store_outage = Outage(ArtifactError, patience=patience)

    def deliver(self, jobs: Collection[Job], *, at_once: bool = False) -> list[Job]:
        """Send what there is to send, as far as storage and store are in reach.

        A job that the pruner ended has its `ending` set.

        Args:
            jobs: those in hand.
            at_once: try even if the last try failed a moment ago.

        Returns:
            Jobs that are over: told, or another worker's now.

        Raises:
            StorageUnavailableError: the storage has been away for longer than patience allows.
            ArtifactError: likewise the artifact store.
        """
        over: list[Job] = []
        if at_once or self.storage_outage.is_due:
            with self.storage_outage.ridden_out():
                over += self._report(jobs)
                over += [job for job in jobs if job not in over and self._tell(job)]
        return over

    def keep_log(self, job: Job) -> None:
        """Write a trial's log beside its weights; a store that is away does without."""
        if job.lines:
            with suppress(ArtifactError):
                self._store.put(job.path(LOG), "\n".join([*job.lines, ""]).encode())

    def _report(self, jobs: Collection[Job]) -> list[Job]:
        """Report, and set what the pruner ended; the jobs that belong to others now."""
        batches: dict[Study, dict[Claim, Sequence[Measurement]]] = {}
        by_claim = {job.claim: job for job in jobs}
        for job in jobs:
            if job.reports:
                batches.setdefault(job.study, {})[job.claim] = list(job.reports)
        lost = []
        for study, batch in batches.items():
            with self._stopwatch("report"):
                verdicts = study.report(batch)
            for claim in batch:
                job = by_claim[claim]
                job.reports.clear()
                last = verdicts.prune.get(claim, math.inf)
                job.note([measured for measured in batch[claim] if measured.step <= last])
                if claim in verdicts.prune:
                    # Pruned comes before finished: what becomes of a trial must not hang on how
                    # many of its epochs fell into one report.
                    reason = f"{study.definition.pruner.name} pruner"
                    job.ending = Ending(state="PRUNED", attrs={"reason": reason})
            lost += [by_claim[claim] for claim in verdicts.lost]
        for job in lost:
            log.info("trial %d belongs to another worker now", job.claim.number)
        return lost

    def _tell(self, job: Job) -> bool:
        """Tell how a job ended; whether it is over."""
        if job.ending is None or (saved := self._saved(job, job.ending)) is None:
            return False
        state, value = job.ending.state, job.best.value if job.best else None
        try:
            with self._stopwatch("tell"):
                job.study.finish(job.claim, state, None if state == "FAIL" else value, saved)
        except LeaseLostError:
            log.info("trial %d belongs to another worker now", job.claim.number)
            self._clear(job, own=True)
            return True
        self._say(job, job.ending, value)
        self._clear(job, own=False)
        return True

    def _saved(self, job: Job, ending: Ending) -> dict[str, Any] | None:
        """The attributes to tell, the weights durable; None while the store is away."""
        if ending.weights is None:
            return ending.attrs
        path = job.path(WEIGHTS)
        if self.store_outage.is_due:
            with self.store_outage.ridden_out(), self._stopwatch("save"):
                digest = self._store.put(path, ending.weights)
                return {**ending.attrs, "artifact": path, "sha256": digest}
        return None

    def _say(self, job: Job, ending: Ending, value: float | None) -> None:
        definition = job.study.definition
        shown = "" if value is None else f" {definition.objective.metric} {value:.5g}"
        reason = f" ({ending.attrs['reason']})" if "reason" in ending.attrs else ""
        line = f"trial {job.claim.number} {ending.state}{shown}{reason}"
        log.info("%s: %s", job.study.name, line)
        job.log(line)
        if ending.state == "FAIL":
            self.keep_log(job)

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
