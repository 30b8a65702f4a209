"""Jobs: a worker's trials, what each has still to report, and how each ended."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import torch

from hpo.config.trial import Measurement
from hpo.files.store import trial_path
from hpo.models.experiment import Experiment
from hpo.storage.attributes import BEST_EPOCH, CALIBRATION, FOLD_METRICS, METRICS, REASON
from hpo.storage.ledger import FinalState, Outcome
from hpo.study.claim import Claim
from hpo.study.study import Study
from hpo.training.record import Result
from hpo.training.trainer import Event, Failed, Finished, Progress, Run, Unplaced

_MAX_LINES = 200
"""Lines kept of a trial's log."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial ended; not yet told to the study.

    Attributes:
        state: final state, or WAITING for a trial that found no slot and goes back to its study.
        attrs: user attributes of the trial; plain JSON.
        weights: content of the model file, written before the trial is told.
    """

    state: FinalState | Literal["WAITING"]
    attrs: dict[str, Any] = field(default_factory=dict)
    weights: bytes | None = None


@dataclass(kw_only=True, eq=False)
class Job:
    """A trial that a worker has claimed.

    Attributes:
        experiment: the study's table.
        best: best measurement that the pruner accepted.
        reports: measurements that are not yet reported.
        is_admitted: whether the trainer accepted it.
        result: of a training that has finished.
        ending: set once it is known how the trial ends.
        wants_weights: whether the pruner ended it, and its weights are still in the trainer.
        saved_at: `time.monotonic()` of the last checkpoint, or of the start.
        has_checkpoint: whether the store may hold a checkpoint of it.
        n_attempts_left: workers that the trial may still cost; infinite if it has cost none.
        lines: the last lines of its log.
    """

    claim: Claim
    study: Study
    experiment: Experiment
    run: Run
    best: Measurement | None = None
    reports: list[Measurement] = field(default_factory=list)
    is_admitted: bool = False
    result: Result | None = None
    ending: Ending | None = None
    wants_weights: bool = False
    saved_at: float = field(default_factory=time.monotonic)
    has_checkpoint: bool = False
    n_attempts_left: float = math.inf
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_LINES))

    @property
    def is_over(self) -> bool:
        """Whether its training has ended."""
        return self.result is not None or self.ending is not None

    @property
    def is_training(self) -> bool:
        """Whether the trainer is training it."""
        return self.is_admitted and not self.is_over

    @property
    def is_refused(self) -> bool:
        """Whether it found no slot and goes back to its study."""
        return self.ending is not None and self.ending.state == "WAITING"

    def update_best(self, measurements: Sequence[Measurement]) -> None:
        """Update `best` from further measurements."""
        sign = self.study.definition.direction.sign
        seen = [*([self.best] if self.best else []), *measurements]
        self.best = min(seen, key=lambda each: sign * each.value, default=None)

    def record(self, event: Event) -> None:
        """Record what the trainer says of the trial."""
        match event:
            case Progress():
                self.reports += event.measurements
                for measured in event.measurements:
                    self.log(f"epoch {measured.step}: {measured.value:.6g}")
            case Failed():
                self.ending = Ending(state="FAIL", attrs={REASON: event.reason})
            case Finished() if event.result.status == "diverged":
                attrs = {**_effort(event.result), REASON: event.result.reason}
                self.ending = Ending(state="PRUNED", attrs=attrs)
            case Finished():
                self.result = event.result
            case Unplaced():
                self.ending = Ending(state="WAITING")

    def log(self, line: str) -> None:
        """Add a line to the trial's log."""
        self.lines.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}")

    def outcome(self, attrs: Mapping[str, Any]) -> Outcome:
        """What to tell the study, with additional user attributes."""
        assert self.ending is not None
        assert self.ending.state != "WAITING"
        is_failed = self.ending.state == "FAIL"
        value = None if is_failed or self.best is None else self.best.value
        attrs = {**self.ending.attrs, **attrs}
        return Outcome(state=self.ending.state, value=value, user_attrs=attrs)

    def path(self, name: str) -> str:
        """Path of a file of this attempt in the artifact store."""
        return trial_path(self.study.uuid, self.claim.number, self.claim.attempt, name)

    def complete(
        self, result: Result, device: torch.device, n_slots: int, *, is_early: bool = False
    ) -> None:
        """End the trial with its weights and a configuration that reproduces them.

        Args:
            result: of its training.
            device: on which it was trained.
            n_slots: of its worker.
            is_early: the study's time is up. The configuration gets the epochs trained so far.
        """
        self.ending = self._with_weights("COMPLETE", result, device, n_slots, is_early=is_early)
        if is_early:
            n_planned = self.run.config.training.max_epochs
            text = f"time was up after epoch {result.n_epochs} of {n_planned}"
            self.ending.attrs[REASON] = f"{text}: the best of them counts"

    def keep_weights(self, result: Result, device: torch.device, n_slots: int) -> None:
        """Add the weights of the best epoch to the ending of a pruned trial.

        The trainer may be some epochs ahead of the pruner.

        Args:
            result: of its training so far.
            device: on which it was trained.
            n_slots: of its worker.
        """
        assert self.ending is not None
        kept = self._with_weights("PRUNED", result, device, n_slots, is_early=True)
        self.ending = replace(kept, attrs={**kept.attrs, **self.ending.attrs})

    def prune(self, *, keep: bool) -> None:
        """End the trial because its pruner says so.

        Args:
            keep: whether to keep its weights, if it was trained to its end meanwhile or still is in
                training.
        """
        reason = {REASON: f"{self.study.definition.pruner.name} pruner"}
        if keep and self.ending is not None:
            attrs = {**self.ending.attrs, **reason}
            self.ending = Ending(state="PRUNED", attrs=attrs, weights=self.ending.weights)
        else:
            self.wants_weights = keep and self.is_training
            self.ending = Ending(state="PRUNED", attrs=reason)

    def _with_weights(
        self,
        state: Literal["COMPLETE", "PRUNED"],
        result: Result,
        device: torch.device,
        n_slots: int,
        *,
        is_early: bool,
    ) -> Ending:
        config = self.run.config
        if is_early:
            training = replace(config.training, max_epochs=result.n_epochs)
            config = replace(config, training=training)
        model = self.experiment.model(config, result, device)
        environment = {**asdict(model.environment), "slots": n_slots}
        found = {BEST_EPOCH: result.best_step, METRICS: result.metrics}
        if kept := result.calibration.to_tree():
            found[CALIBRATION] = kept
        if len(result.folds) > 1:
            of_each = [fold.metrics for fold in result.folds]
            found[FOLD_METRICS] = {
                name: [each.get(name) for each in of_each] for name in result.metrics
            }
        attrs = {**_effort(result), **environment, **found}
        return Ending(state=state, attrs=attrs, weights=model.to_bytes())


def _effort(result: Result) -> dict[str, Any]:
    return {"n_epochs": result.n_epochs, "n_steps": result.n_steps, "seconds": result.seconds}


def by_study(jobs: Iterable[Job]) -> dict[Study, list[Job]]:
    """Group jobs by their study."""
    groups = defaultdict[Study, list[Job]](list)
    for job in jobs:
        groups[job.study].append(job)
    return groups
