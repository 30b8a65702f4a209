"""The worker's loop: claim, train, report, save, tell.

One loop whether the trainer holds one trial or many: fill its free slots from the studies, let it
advance a slice, report all that it measured in one transaction, end what the pruner says, save and
tell what finished. A trial's weights are durable before it is told COMPLETE. A signal is looked for
between slices; trials in progress then go back to their study.

Does not know: what a trainer does inside, how processes are started.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpo.artifacts import ArtifactStore, table_path, trial_path
from hpo.data.sources import read_typed
from hpo.errors import HpoError, LeaseLostError
from hpo.experiment import Experiment
from hpo.study import Claim, FinalState, Study, WorkerId
from hpo.training import Event, Failed, Finished, Progress, Result, Run, Trainer
from hpo.trial import Measurement
from hpo.worker.heart import Heart
from hpo.worker.quota import Quota
from hpo.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.5
POLL_SECONDS = 1.0
MAX_FAILURES = 5
"""Failed trials in a row, without a success between them, after which a worker gives up."""


@dataclass(kw_only=True)
class Job:
    """A trial in progress, and the best it has measured."""

    claim: Claim
    study: Study
    run: Run
    best: Measurement | None = None

    def note(self, measurements: Sequence[Measurement]) -> None:
        """Remember the best of these and of those before."""
        pick = min if self.study.definition.direction == "minimize" else max
        seen = [*measurements, *([self.best] if self.best else [])]
        self.best = pick(seen, key=lambda measurement: measurement.value)


class Worker:
    """Works for some studies until they are finished, or until it is told to stop."""

    def __init__(
        self,
        *,
        studies: Callable[[], Sequence[Study]],
        store: ArtifactStore,
        trainer: Trainer,
        identity: WorkerId,
        lease: float,
        quota: Quota,
        deadline: float = math.inf,
        until_finished: bool = True,
    ) -> None:
        """Gather what a worker needs.

        Args:
            studies: those to work for, in the order to look for trials; asked again when idle.
            store: where tables are read and weights are written.
            trainer: the engine, on its device.
            identity: what the storage shows of this worker.
            lease: seconds after which a silent worker's trials are taken from it.
            quota: how many trials may be claimed.
            deadline: `time.monotonic()` at which to hand everything back.
            until_finished: end when every study is finished, rather than wait for new ones.
        """
        self._studies = studies
        self._store = store
        self._trainer = trainer
        self._identity = identity
        self._lease = lease
        self._quota = quota
        self._deadline = deadline
        self._until_finished = until_finished
        self._heart = Heart(lease)
        self._jobs: dict[int, Job] = {}
        self._experiments: dict[str, Experiment] = {}
        self._n_failures = 0
        self._next_look = 0.0
        self.stopwatch = Stopwatch()

    def work(self, stop: threading.Event) -> bool:
        """Run until there is nothing left to do, or `stop` is set.

        Returns:
            Whether the work ended by itself; False when a stop gave trials back.

        Raises:
            HpoError: it cannot go on; its trials were given back first.
        """
        with self._heart:
            try:
                while not stop.is_set() and time.monotonic() < self._deadline:
                    if not self._jobs and not self._fill():
                        if self._is_done():
                            return True
                        stop.wait(POLL_SECONDS)
                        continue
                    self._advance()
                return not stop.is_set()
            finally:
                self._release()

    def _fill(self) -> bool:
        """Claim a trial for the trainer; whether there was one."""
        with self.stopwatch("ask"):
            for study in self._studies():
                study.reap()
                if not self._quota.take():
                    return False
                claim = study.ask(self._identity, self._lease)
                if claim is None:
                    self._quota.give_back()
                    continue
                self._heart.hold(claim, study)
                self._admit(claim, study)
                return True
        return False

    def _admit(self, claim: Claim, study: Study) -> None:
        try:
            config = study.definition.trial_config(claim.params)
            with self.stopwatch("prepare"):
                _, data = self._experiment(study).prepared(config.preprocessing.numeric)
        except HpoError:
            study.release(claim)
            raise
        run = Run(key=claim.trial_id, config=config, data=data)
        self._jobs[run.key] = Job(claim=claim, study=study, run=run)
        self._trainer.admit(run)

    def _experiment(self, study: Study) -> Experiment:
        """The study's table, read once from the artifact store."""
        if study.uuid not in self._experiments:
            data = study.definition.data
            content = self._store.get(table_path(data.fingerprint), digest=None)
            self._experiments[study.uuid] = Experiment(read_typed(content), data)
        return self._experiments[study.uuid]

    def _advance(self) -> None:
        """Train for a slice and act on what happened in it."""
        with self.stopwatch("train"):
            events = self._trainer.advance(SLICE_SECONDS)
        for claim in self._heart.lost():
            self._abandon(claim)
        with self.stopwatch("report"):
            pruned = self._report(events)
        # Pruned comes before finished: what becomes of a trial must not hang on how many of its
        # epochs fell into one slice.
        for hopeless in pruned:
            self._prune(hopeless)
        for event in events:
            if (job := self._jobs.get(event.key)) and not isinstance(event, Progress):
                self._end(job, event)
        self._watch_time()

    def _report(self, events: Sequence[Event]) -> list[Job]:
        """Send what was measured, one transaction a study; the jobs that the pruner ends."""
        batches: dict[Study, dict[Claim, Sequence[Measurement]]] = {}
        for event in events:
            if isinstance(event, Progress) and (job := self._jobs.get(event.key)):
                batches.setdefault(job.study, {})[job.claim] = event.measurements
        pruned: list[Job] = []
        for study, batch in batches.items():
            verdicts = study.report(batch)
            for claim in verdicts.lost:
                self._abandon(claim)
            for claim in batch.keys() - verdicts.lost:
                last = verdicts.prune.get(claim, math.inf)
                held = self._jobs[claim.trial_id]
                held.note([measured for measured in batch[claim] if measured.step <= last])
                if claim in verdicts.prune:
                    pruned.append(held)
        return pruned

    def _end(self, job: Job, event: Finished | Failed) -> None:
        if isinstance(event, Failed):
            self._fail(job, event.reason)
        elif event.result.status == "diverged":
            self._tell(job, "PRUNED", {**_measured(event.result), "reason": event.result.reason})
        else:
            self._complete(job, event.result)

    def _complete(self, job: Job, result: Result) -> None:
        """Make the weights durable, then tell."""
        claim = job.claim
        with self.stopwatch("save"):
            model = self._experiment(job.study).model(job.run.config, result, self._trainer.device)
            path = trial_path(job.study.uuid, claim.number, claim.attempt, "model.safetensors")
            digest = self._store.put(path, model.to_bytes())
        environment = asdict(model.environment)
        attrs = {**_measured(result), **environment, "artifact": path, "sha256": digest}
        self._tell(job, "COMPLETE", {**attrs, "metrics": result.metrics})

    def _prune(self, job: Job) -> None:
        self._trainer.evict(job.run.key)
        self._tell(job, "PRUNED", {"reason": f"{job.study.definition.pruner.name} pruner"})

    def _fail(self, job: Job, reason: str) -> None:
        self._tell(job, "FAIL", {"reason": reason})
        self._n_failures += 1
        if self._n_failures >= MAX_FAILURES:
            raise HpoError(f"{MAX_FAILURES} trials in a row failed, the last one of: {reason}")

    def _tell(self, job: Job, state: FinalState, attrs: dict[str, Any]) -> None:
        """Finish a trial in the storage, unless it has become another worker's."""
        value = job.best.value if job.best and state != "FAIL" else None
        self._forget(job)
        try:
            with self.stopwatch("tell"):
                job.study.finish(job.claim, state, value, attrs)
        except LeaseLostError:
            log.info("trial %d belongs to another worker now", job.claim.number)
            return
        if state != "FAIL":
            self._n_failures = 0
        shown = "" if value is None else f" {job.study.definition.objective.metric} {value:.5g}"
        reason = f" ({attrs['reason']})" if "reason" in attrs else ""
        log.info("%s: trial %d %s%s%s", job.study.name, job.claim.number, state, shown, reason)

    def _abandon(self, claim: Claim) -> None:
        """Drop a trial whose lease another worker holds, and tell nothing."""
        if job := self._jobs.get(claim.trial_id):
            log.info("trial %d belongs to another worker now", claim.number)
            self._trainer.evict(job.run.key)
            self._forget(job)

    def _forget(self, job: Job) -> None:
        self._heart.drop(job.claim)
        del self._jobs[job.run.key]

    def _watch_time(self) -> None:
        """Give back the trials of studies whose time is used up; looked at once a second."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + POLL_SECONDS
        for job in list(self._jobs.values()):
            if job.study.progress().is_out_of_time:
                self._give_back(job)

    def _give_back(self, job: Job) -> None:
        self._trainer.evict(job.run.key)
        self._forget(job)
        job.study.release(job.claim)
        log.info("%s: trial %d goes back to the study", job.study.name, job.claim.number)

    def _release(self) -> None:
        for job in list(self._jobs.values()):
            self._give_back(job)

    def _is_done(self) -> bool:
        if self._quota.is_spent():
            return True
        return self._until_finished and all(s.progress().is_finished for s in self._studies())


def _measured(result: Result) -> dict[str, Any]:
    return {"n_epochs": result.n_epochs, "n_steps": result.n_steps, "seconds": result.seconds}
