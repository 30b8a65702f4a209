"""What a search cost: epochs saved by pruning, and how many trials ran concurrently."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from hpo.storage.attributes import ATTEMPT, DEVICE, REASON, WORKER

Floats = NDArray[np.float64]
_N_BINS = 400
"""Spans of time over which the number of running trials is averaged."""


@dataclass(frozen=True, kw_only=True)
class PruningSavings:
    """An estimate of what the pruner saved.

    It assumes that a pruned trial would have trained for the mean number of epochs of COMPLETE
    trials, at its own pace.

    Attributes:
        n_pruned: trials that the pruner ended; without those that diverged.
        mean_epochs: of COMPLETE trials.
        epochs_trained: by all finished trials together.
        epochs: saved epochs.
        seconds: saved trial time.
    """

    n_pruned: int
    mean_epochs: float
    epochs_trained: int
    epochs: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrialTime:
    """The time that some trials took.

    Attributes:
        n_trials: number of trials.
        busy_seconds: seconds in which at least one of them ran.
        trial_seconds: sum of the trials' durations in seconds.
        peak: largest number of trials at one moment.
    """

    n_trials: int
    busy_seconds: float
    trial_seconds: float
    peak: int

    @property
    def mean_running(self) -> float:
        """Mean number of running trials while any ran."""
        return self.trial_seconds / self.busy_seconds if self.busy_seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """How many trials ran when; of each finished trial, the last attempt counts.

    Attributes:
        all: trials of all workers.
        workers: trials by worker and device, the busiest worker first.
        training_share: share of training in the durations of COMPLETE trials; None if unknown.
        edges: (n + 1,) ends of equal spans of time, in seconds since the first start.
        running: (n,) mean number of running trials in each span.
    """

    all: TrialTime
    workers: dict[tuple[str, str], TrialTime]
    training_share: float | None
    edges: Floats
    running: Floats


def n_epochs(trial: FrozenTrial) -> int:
    """Number of epochs that a trial reported."""
    return trial.last_step or 0


def saved_by_pruning(trials: Sequence[FrozenTrial]) -> PruningSavings | None:
    """Estimate what pruning saved; None if no trial was pruned, or none is COMPLETE."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if is_pruned_by_pruner(trial)]
    if not (complete and pruned):
        return None
    finished = [trial for trial in trials if trial.state.is_finished()]
    mean = sum(map(n_epochs, complete)) / len(complete)
    rate = _seconds_an_epoch(finished)
    left = [(trial, max(0.0, mean - n_epochs(trial))) for trial in pruned]
    return PruningSavings(
        n_pruned=len(pruned),
        mean_epochs=mean,
        epochs_trained=sum(map(n_epochs, finished)),
        epochs=sum(epochs for _, epochs in left),
        seconds=sum(epochs * (_seconds_an_epoch([trial]) or rate) for trial, epochs in left),
    )


def is_pruned_by_pruner(trial: FrozenTrial) -> bool:
    """Whether the pruner ended a trial, rather than its own divergence."""
    reason = str(trial.user_attrs.get(REASON, ""))
    return trial.state == TrialState.PRUNED and reason.endswith(" pruner")


def concurrency(trials: Iterable[FrozenTrial]) -> Concurrency | None:
    """Find out when finished trials ran; None if none did."""
    ran = [trial for trial in trials if attempt_seconds(trial) > 0]
    if not ran:
        return None
    by_worker = defaultdict(list)
    for trial in ran:
        attrs = trial.user_attrs
        by_worker[str(attrs.get(WORKER, "unknown")), str(attrs.get(DEVICE, ""))].append(trial)
    workers = {worker: _busy(own) for worker, own in by_worker.items()}
    changes, running = _running(ran)
    edges = np.linspace(0.0, changes[-1], _N_BINS + 1)
    trial_seconds = np.append(0.0, np.cumsum(np.diff(changes) * running[:-1]))
    return Concurrency(
        all=_busy(ran),
        workers=dict(sorted(workers.items(), key=lambda item: -item[1].trial_seconds)),
        training_share=_training_share(ran),
        edges=edges,
        running=np.diff(np.interp(edges, changes, trial_seconds)) / np.diff(edges),
    )


def attempt_seconds(trial: FrozenTrial) -> float:
    """Duration of a finished trial's last attempt in seconds; 0 if unknown."""
    duration = trial.duration if trial.state.is_finished() else None
    return 0.0 if duration is None else max(0.0, duration.total_seconds())


def _seconds_an_epoch(trials: Sequence[FrozenTrial]) -> float:
    """Mean duration of an epoch; of trials with several attempts it is unknown."""
    own = [t for t in trials if t.user_attrs.get(ATTEMPT, 1) == 1 and n_epochs(t)]
    epochs = sum(map(n_epochs, own))
    return sum(map(attempt_seconds, own)) / epochs if epochs else 0.0


def _training_share(trials: Sequence[FrozenTrial]) -> float | None:
    own = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and trial.user_attrs.get(ATTEMPT) == 1
        and "seconds" in trial.user_attrs
    ]
    total = sum(map(attempt_seconds, own))
    return sum(trial.user_attrs["seconds"] for trial in own) / total if total else None


def _running(trials: Sequence[FrozenTrial]) -> tuple[Floats, Floats]:
    """Times at which trials started or ended, in seconds, and how many ran from then on."""
    starts = [t.datetime_start for t in trials if t.datetime_start]
    ends = [t.datetime_complete for t in trials if t.datetime_complete]
    moments = [moment.replace(tzinfo=UTC).timestamp() for moment in starts + ends]
    changes, place = np.unique(moments, return_inverse=True)
    steps = np.repeat([1.0, -1.0], len(trials))
    return changes - changes[0], np.cumsum(np.bincount(place, weights=steps))


def _busy(trials: Sequence[FrozenTrial]) -> TrialTime:
    changes, running = _running(trials)
    seconds = np.diff(changes)
    return TrialTime(
        n_trials=len(trials),
        busy_seconds=float(seconds[running[:-1] > 0].sum()),
        trial_seconds=float(seconds @ running[:-1]),
        peak=int(running.max()),
    )
