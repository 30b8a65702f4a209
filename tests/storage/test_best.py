"""The best trial, also among trials with equal values."""

import time

import pytest

from hpo.storage.best import OptimizationHistory, best_trial, count_since_best
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study
from hpo.study.study import Study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
METRIC = {"minimize": "rmse", "maximize": "r2"}


def make(storage: Storage, direction: str = "minimize") -> Study:
    objective = {"metric": METRIC[direction]}
    budget = {"n_trials": 100, "no_improvement": 50}
    return create_study(storage, definition(objective=objective, budget=budget), "store")


def complete(study: Study, value: float, loss: float | None) -> None:
    """A trial with this value; of a stranger's no loss is known."""
    claim = study.ask(ME, 60.0)
    assert claim is not None
    attrs = {} if loss is None else {"metrics": {"mae": 0.0, "rmse": loss}}
    study.finish(claim, "COMPLETE", value, attrs)
    time.sleep(0.002)  # ends are told apart


def best(study: Study) -> int | None:
    """By the database, by a study's status, and by a trend that looks at it all at once."""
    with study.storage.read() as connection:
        found = best_trial(connection, study.id, study.definition.direction)
    status, trend = study.progress().best, study.progress(OptimizationHistory()).best
    numbers = {None if each is None else each.number for each in (found, status, trend)}
    (number,) = numbers
    return number


def since_best(study: Study) -> int:
    with study.storage.read() as connection:
        return count_since_best(connection, study.id, study.definition.direction)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_of_equals_the_one_with_the_lower_loss_is_the_best(
    storage: Storage, direction: str
) -> None:
    study, trend = make(storage, direction), OptimizationHistory()
    better = {"minimize": 0.1, "maximize": 0.9}[direction]
    assert (best(study), since_best(study)) == (None, 0)
    steps = [
        (0.5, None, 0),
        (0.5, 0.7, 1),
        (0.5, 0.8, 1),
        (0.5, 0.6, 3),
        (0.5, 0.6, 3),
        (1 / 3 if direction == "maximize" else 2 / 3, 0.1, 3),
        (better, 0.9, 6),
        (better, float("nan"), 6),
        (better, None, 6),
    ]
    for number, (value, loss, expected) in enumerate(steps):
        complete(study, value, loss)
        assert best(study) == expected
        assert since_best(study) == study.progress().n_since_best == number - expected
        assert study.progress(trend).best.number == expected
