"""Pages of trials, as people look at them."""

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.config.trial import Measurement
from hpo.storage.cached_storage import CachedStorage
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.storage.schema import TRIALS
from hpo.study.catalog import create_study
from hpo.study.claim import Claim
from hpo.study.study import Study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")


@pytest.fixture
def study(storage: Storage) -> Study:
    return create_study(storage, definition(), "store")


def ask(study: Study) -> Claim:
    claim = study.ask(ME, 60.0)
    assert claim is not None
    return claim


def test_they_are_whole_and_as_they_are_now(storage: Storage, study: Study) -> None:
    cached, plain = CachedStorage(storage.plain), storage.plain
    first, second = ask(study), ask(study)
    study.report({second: [Measurement(step=1, value=0.5)]})
    study.finish(first, "COMPLETE", 0.25, {"note": "of a worker"})
    assert cached.get_all_trials(study.id) == plain.get_all_trials(study.id)
    study.report({second: [Measurement(step=2, value=0.4)]})
    study.finish(second, "PRUNED", 0.4, {})
    third = ask(study)
    study.enqueue({"model.depth": 1})
    assert cached.get_all_trials(study.id) == plain.get_all_trials(study.id)
    assert cached.get_best_trial(study.id) == plain.get_best_trial(study.id)
    assert cached.get_trial(third.trial_id) == plain.get_trial(third.trial_id)
    complete = cached.get_all_trials(study.id, states=(TrialState.COMPLETE,))
    assert [trial.number for trial in complete] == [0]


def test_finished_ones_are_read_once_until_they_change(storage: Storage, study: Study) -> None:
    cached = CachedStorage(storage.plain)
    claim = ask(study)
    study.finish(claim, "COMPLETE", 0.25, {})
    (before,) = cached.get_all_trials(study.id, deepcopy=False)
    assert cached.get_all_trials(study.id, deepcopy=False)[0] is before
    assert cached.get_trial(claim.trial_id) is before
    again = sa.update(TRIALS).where(TRIALS.c.trial_id == claim.trial_id)
    storage.write(lambda connection: connection.execute(again.values(state=TrialState.FAIL)))
    (after,) = cached.get_all_trials(study.id)
    assert after.state == TrialState.FAIL


def test_of_a_deleted_study_are_gone(storage: Storage, study: Study) -> None:
    cached = CachedStorage(storage.plain)
    claim = ask(study)
    study.finish(claim, "COMPLETE", 0.25, {})
    cached.get_all_trials(study.id)
    cached.delete_study(study.id)
    for look in (
        lambda: cached.get_all_trials(study.id),
        lambda: cached.get_trial(claim.trial_id),
    ):
        with pytest.raises(KeyError):
            look()
