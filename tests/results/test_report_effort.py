"""Savings by pruning, and concurrency, of trials with known times."""

from datetime import datetime, timedelta

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.results.report.effort import concurrency, saved_by_pruning

BEGAN = datetime(2026, 1, 1)


def trial(state: str, epochs: int, start: float, end: float, **attrs: object) -> FrozenTrial:
    """A trial that ran from `start` to `end` seconds."""
    made = create_trial(
        state=TrialState[state],
        value=None if state in ("FAIL", "RUNNING") else 1.0,
        intermediate_values=dict.fromkeys(range(1, epochs + 1), 1.0),
        user_attrs={"attempt": 1, "worker": "a", "device": "cpu", **attrs},
    )
    made.datetime_start = BEGAN + timedelta(seconds=start)
    made.datetime_complete = None if state == "RUNNING" else BEGAN + timedelta(seconds=end)
    return made


TRIALS = [
    trial("COMPLETE", 10, 0, 20, seconds=18.0),
    trial("COMPLETE", 20, 0, 40, seconds=36.0),
    trial("PRUNED", 5, 20, 35, reason="median pruner", worker="b"),  # 3 s an epoch
    trial("PRUNED", 18, 40, 58, reason="median pruner", worker="b"),  # more than the mean
    trial("PRUNED", 1, 60, 70, reason="the loss diverged"),
    trial("FAIL", 0, 100, 110, reason="no luck"),
    trial("RUNNING", 3, 0, 0),
]


def test_what_pruning_saved_is_what_complete_trials_would_have_trained() -> None:
    saved = saved_by_pruning(TRIALS)
    assert saved is not None
    assert (saved.n_pruned, saved.mean_epochs, saved.epochs_trained) == (2, 15.0, 54)
    assert (saved.epochs, saved.seconds) == (10.0, 30.0)


def test_a_trial_that_was_handed_on_counts_by_the_others_pace() -> None:
    handed_on = trial("PRUNED", 5, 0, 1, reason="median pruner", attempt=2)
    saved = saved_by_pruning([*TRIALS[:2], handed_on])
    assert saved is not None
    assert saved.seconds == pytest.approx(10 * 60 / 30)


def test_without_pruned_or_complete_trials_nothing_is_known() -> None:
    assert saved_by_pruning(TRIALS[:2]) is None
    assert saved_by_pruning(TRIALS[2:]) is None


def test_trials_at_once_are_their_time_over_the_time_in_which_any_ran() -> None:
    found = concurrency(TRIALS)
    assert found is not None
    assert (found.all.n_trials, found.all.peak) == (6, 2)
    assert (found.all.busy_seconds, found.all.trial_seconds) == (78.0, 113.0)
    assert found.all.mean_running == pytest.approx(113 / 78)
    assert found.training_share == pytest.approx(54 / 60)
    (first, busy), (second, other) = found.workers.items()
    assert (first, busy.busy_seconds, busy.trial_seconds) == (("a", "cpu"), 60.0, 80.0)
    assert (second, other.busy_seconds, other.mean_running) == (("b", "cpu"), 33.0, 1.0)


def test_running_trials_are_averaged_over_spans_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo.results.report.effort._N_BINS", 11)
    found = concurrency(TRIALS)
    assert found is not None
    assert list(found.edges[:3]) == [0.0, 10.0, 20.0]
    assert list(found.running[:5]) == pytest.approx([2.0, 2.0, 2.0, 1.5, 1.0])
    assert found.running.sum() * 10 == pytest.approx(found.all.trial_seconds)


def test_nothing_ran() -> None:
    assert concurrency(TRIALS[-1:]) is None
