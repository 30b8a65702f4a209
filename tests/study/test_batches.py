"""Claims, draws and ends of many trials of a worker at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from hpo.config.trial import Measurement
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.storage.ledger import Outcome
from hpo.study.catalog import create_study
from hpo.study.study import Study
from tests.support.databases import every_database
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="there", pid=2, device="cpu")


def make(storage: Storage, **changes: object) -> Study:
    return create_study(storage, definition(**changes), "store")  # type: ignore[arg-type]


@contextmanager
def commits(storage: Storage) -> Iterator[list[object]]:
    """The transactions that are committed meanwhile."""
    found: list[object] = []

    def note(connection: object) -> None:
        found.append(connection)

    event.listen(storage._writes, "commit", note)
    yield found
    event.remove(storage._writes, "commit", note)


@every_database
def test_claims_and_params_are_a_transaction_each_within_the_budget(storage: Storage) -> None:
    study = make(storage, n_trials=6)
    study.release(*study.draw(study.claim(ME, 60.0, 2)))
    study.enqueue({"model.depth": 3})
    with commits(storage) as done:
        granted = study.claim(ME, 60.0, 64)
    assert len(done) == 1
    assert [lease.number for lease in granted] == list(range(6))
    assert [lease.attempt for lease in granted] == [2, 2, 1, 1, 1, 1]
    assert len({lease.token for lease in granted}) == 6
    with commits(storage) as done:
        claims = study.draw(granted)
    assert len(done) == 1
    assert [claim.token for claim in claims] == [lease.token for lease in granted]
    assert claims[2].params["model.depth"] == 3
    for trial, claim in zip(study.trials(), claims, strict=True):
        assert list(trial.params.items()) == list(claim.params.items())
    assert study.progress().workers == (ME,)
    assert study.progress().counts == {"RUNNING": 6}
    assert study.claim(OTHER, 60.0, 64) == []


@pytest.mark.parametrize("name", ["tpe", "qmc", "random"])
def test_trials_drawn_at_once_are_those_drawn_one_after_the_other(
    storage: Storage, name: str
) -> None:
    sampler = {"name": name, **({"n_startup_trials": 3} if name == "tpe" else {})}
    drawn = []
    for study_name, n in (("one", 1), ("four", 4)):
        study = make(storage, name=study_name, n_trials=20, sampler=sampler)
        for _ in range(6):
            (claim,) = study.draw(study.claim(ME, 60.0, 1))
            study.finish(claim, "COMPLETE", float(claim.params["model.depth"]), {})
        for _ in range(4 // n):
            drawn += [claim.params for claim in study.draw(study.claim(ME, 60.0, n))]
    assert drawn[:4] == drawn[4:]


@every_database
def test_a_lease_that_is_lost_takes_no_other_with_it(storage: Storage) -> None:
    study = make(storage)
    granted = study.claim(ME, 60.0, 3)
    lost = granted[1]
    sql = f"UPDATE hpo_leases SET token = 'x' WHERE trial_id = {lost.trial_id}"
    storage.write(lambda connection: connection.exec_driver_sql(sql))
    claims = study.draw(granted)
    assert [claim.number for claim in claims] == [0, 2]
    assert not study.trials()[1].params
    sql = f"UPDATE hpo_leases SET token = 'x' WHERE trial_id = {claims[0].trial_id}"
    storage.write(lambda connection: connection.exec_driver_sql(sql))
    reports = {claim: [Measurement(step=1, value=1.0)] for claim in claims}
    assert study.report(reports).lost == {claims[0]}
    outcome = Outcome(state="COMPLETE", value=1.0, user_attrs={"n": 1})
    with commits(storage) as done:
        assert study.finish_all(dict.fromkeys(claims, outcome)) == {claims[0]}
    assert len(done) == 1
    assert study.finish_all({claims[1]: outcome}) == set()  # told already
    assert study.progress().counts == {"RUNNING": 2, "COMPLETE": 1}


@every_database
def test_different_ends_are_told_in_one_transaction(storage: Storage) -> None:
    study = make(storage)
    claims = study.draw(study.claim(ME, 60.0, 3))
    outcomes = [
        Outcome(state="COMPLETE", value=1.0, user_attrs={"metrics": {"rmse": 1.0}}),
        Outcome(state="PRUNED", value=2.0, user_attrs={"reason": "median pruner"}),
        Outcome(state="FAIL", value=None, user_attrs={"reason": "no luck"}),
    ]
    with commits(storage) as done:
        assert study.finish_all(dict(zip(claims, outcomes, strict=True))) == set()
    assert len(done) == 1
    for trial, outcome in zip(study.trials(), outcomes, strict=True):
        assert (trial.state.name, trial.value) == (outcome.state, outcome.value)
        assert trial.user_attrs.items() >= outcome.user_attrs.items()
        assert trial.datetime_complete is not None
    assert study.progress().workers == ()
