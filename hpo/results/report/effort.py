"""What a search cost, what pruning saved of it, and how many trials ran at once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What the pruner saved, as an estimate.

    A pruned trial would have trained as many epochs as COMPLETE ones did in the mean, each as
    long as its own epochs took. What it did not train of them is saved.

    Attributes:
        n_pruned: trials that the pruner ended; diverged ones are not among them.
        mean_epochs: of COMPLETE trials.
        epochs_trained: by all finished trials together.
        epochs: saved.
        seconds: saved, of trials' time.
    """

    n_pruned: int
    mean_epochs: float
    epochs_trained: int
    epochs: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Busy:
    """The time of some trials.

    Attributes:
        n_trials: that have a start and an end.
        wall: seconds in which at least one of them ran.
        held: seconds of each of them, added up.
        peak: most of them at one moment.
    """

    n_trials: int
    wall: float
    held: float
    peak: int

    @property
    def at_once(self) -> float:
        """Trials at once, in the mean over the time in which any ran."""
        return self.held / self.wall if self.wall else 0.0


@dataclass(frozen=True, kw_only=True)
class WorkerBusy:
    """A worker's part."""

    worker: str
    device: str
    busy: Busy


@dataclass(frozen=True, kw_only=True)
class Occupancy:
    """How many trials ran when, by the last attempt of each finished one.

    Attributes:
        all: the trials of every worker.
        workers: each worker's, the busiest first.
        training_share: training's part of the time that COMPLETE trials were held; None where
            none says how long it trained.
        changes: seconds since the first start at which the number of running trials changed.
        running: how many ran from each of these moments on.
    """

    all: Busy
    workers: tuple[WorkerBusy, ...]
    training_share: float | None
    changes: Floats
    running: Floats


def n_epochs(trial: FrozenTrial) -> int:
    """Epochs that a trial reported."""
    return max(trial.intermediate_values, default=0)


def saved_by_pruning(trials: Sequence[FrozenTrial]) -> Saved | None:
    """Estimate what pruning saved; None where nothing was pruned, or no trial is COMPLETE."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if is_pruned_by_pruner(trial)]
    if not (complete and pruned):
        return None
    finished = [trial for trial in trials if trial.state.is_finished()]
    mean = sum(map(n_epochs, complete)) / len(complete)
    rate = _seconds_an_epoch(finished)
    left = [(trial, max(0.0, mean - n_epochs(trial))) for trial in pruned]
    return Saved(
        n_pruned=len(pruned),
        mean_epochs=mean,
        epochs_trained=sum(map(n_epochs, finished)),
        epochs=sum(epochs for _, epochs in left),
        seconds=sum(epochs * (_seconds_an_epoch([trial]) or rate) for trial, epochs in left),
    )


def is_pruned_by_pruner(trial: FrozenTrial) -> bool:
    """Whether the pruner ended a trial, rather than its own divergence."""
    reason = str(trial.user_attrs.get("reason", ""))
    return trial.state == TrialState.PRUNED and reason.endswith(" pruner")


def occupancy(trials: Iterable[FrozenTrial]) -> Occupancy | None:
    """Look at when finished trials ran; None where none did."""
    ran = [trial for trial in trials if held_seconds(trial) > 0]
    if not ran:
        return None
    by_worker = defaultdict(list)
    for trial in ran:
        by_worker[str(trial.user_attrs.get("worker", "unknown"))].append(trial)
    workers = [
        WorkerBusy(
            worker=name,
            device=str(own[-1].user_attrs.get("device", "")),
            busy=_busy(*_steps(own), own),
        )
        for name, own in by_worker.items()
    ]
    changes, running = _steps(ran)
    return Occupancy(
        all=_busy(changes, running, ran),
        workers=tuple(sorted(workers, key=lambda each: -each.busy.held)),
        training_share=_training_share(ran),
        changes=changes,
        running=running,
    )


def mean_running(occupancy: Occupancy, n_bins: int) -> tuple[Floats, Floats]:
    """The mean number of running trials in equal bins of time: their edges, and the means."""
    edges = np.linspace(0.0, occupancy.changes[-1], n_bins + 1)
    area = np.concatenate(
        [[0.0], np.cumsum(np.diff(occupancy.changes) * occupancy.running[:-1])],
    )
    return edges, np.diff(np.interp(edges, occupancy.changes, area)) / np.diff(edges)


def held_seconds(trial: FrozenTrial) -> float:
    """How long the last attempt at a finished trial took; 0 where that is not known."""
    start, end = trial.datetime_start, trial.datetime_complete
    if not trial.state.is_finished() or start is None or end is None:
        return 0.0
    return max(0.0, (end - start).total_seconds())


def _seconds_an_epoch(trials: Sequence[FrozenTrial]) -> float:
    """Of trials that were never handed on: what they reported then falls into the time known."""
    own = [t for t in trials if t.user_attrs.get("attempt", 1) == 1 and n_epochs(t)]
    epochs = sum(map(n_epochs, own))
    return sum(map(held_seconds, own)) / epochs if epochs else 0.0


def _training_share(trials: Sequence[FrozenTrial]) -> float | None:
    own = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and trial.user_attrs.get("attempt") == 1
        and "seconds" in trial.user_attrs
    ]
    held = sum(map(held_seconds, own))
    return sum(trial.user_attrs["seconds"] for trial in own) / held if held else None


def _steps(trials: Sequence[FrozenTrial]) -> tuple[Floats, Floats]:
    """Seconds since the first start at which the number of running trials changed, and it."""
    starts = [_stamp(trial.datetime_start) for trial in trials]
    ends = [_stamp(trial.datetime_complete) for trial in trials]
    moments = np.array(starts + ends)
    steps = np.repeat([1.0, -1.0], len(trials))
    changes, place = np.unique(moments, return_inverse=True)
    return changes - changes[0], np.cumsum(np.bincount(place, weights=steps))


def _busy(changes: Floats, running: Floats, trials: Sequence[FrozenTrial]) -> Busy:
    lengths = np.diff(changes)
    return Busy(
        n_trials=len(trials),
        wall=float(lengths[running[:-1] > 0].sum()),
        held=float(lengths @ running[:-1]),
        peak=int(running.max()),
    )


def _stamp(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - datetime(1970, 1, 1)).total_seconds()
