"""Trials as people look at them, over every kind of database."""

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.config.trial import Measurement
from hpo.storage.engine import Storage
from hpo.storage.cached_storage import Pages
from hpo.storage.schema import TRIALS
from hpo.study.catalog import create_study
from hpo.study.study import Claim, Study, WorkerId
from tests.study_process import definition

ME = WorkerId(host="here", pid=1, device="cpu")


@pytest.fixture
def study(storage: Storage) -> Study:
    return create_study(storage, definition(), "store")


def ask(study: Study) -> Claim:
    claim = study.ask(ME, 60.0)
    assert claim is not None
    return claim


def test_they_are_whole_and_as_they_are_now(storage: Storage, study: Study) -> None:
    pages, plain = Pages(storage.plain), storage.plain
    first, second = ask(study), ask(study)
    study.report({second: [Measurement(step=1, value=0.5)]})
    study.finish(first, "COMPLETE", 0.25, {"note": "of a worker"})
    assert pages.get_all_trials(study._id) == plain.get_all_trials(study._id)
    study.report({second: [Measurement(step=2, value=0.4)]})
    study.finish(second, "PRUNED", 0.4, {})
    third = ask(study)
    study.enqueue({"model.depth": 1})
    assert pages.get_all_trials(study._id) == plain.get_all_trials(study._id)
    assert pages.get_best_trial(study._id) == plain.get_best_trial(study._id)
    assert pages.get_trial(third.trial_id) == plain.get_trial(third.trial_id)
    complete = pages.get_all_trials(study._id, states=(TrialState.COMPLETE,))
    assert [trial.number for trial in complete] == [0]


def test_finished_ones_are_read_once_until_they_change(storage: Storage, study: Study) -> None:
    pages = Pages(storage.plain)
    claim = ask(study)
    study.finish(claim, "COMPLETE", 0.25, {})
    (before,) = pages.get_all_trials(study._id, deepcopy=False)
    assert pages.get_all_trials(study._id, deepcopy=False)[0] is before
    assert pages.get_trial(claim.trial_id) is before
    again = sa.update(TRIALS).where(TRIALS.c.trial_id == claim.trial_id)
    storage.write(lambda connection: connection.execute(again.values(state=TrialState.FAIL)))
    (after,) = pages.get_all_trials(study._id)
    assert after.state == TrialState.FAIL


def test_of_a_deleted_study_are_gone(storage: Storage, study: Study) -> None:
    pages = Pages(storage.plain)
    claim = ask(study)
    study.finish(claim, "COMPLETE", 0.25, {})
    pages.get_all_trials(study._id)
    pages.delete_study(study._id)
    for look in (lambda: pages.get_all_trials(study._id), lambda: pages.get_trial(claim.trial_id)):
        with pytest.raises(KeyError):
            look()
