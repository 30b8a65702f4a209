"""Which values are among a study's best."""

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.storage.attributes import raise_revision
from hpo.storage.engine import Connection, Storage
from hpo.storage.leases import WorkerId
from hpo.storage.schema import TRIALS
from hpo.study.catalog import create_study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")


@pytest.mark.parametrize(("metric", "sign"), [("rmse", 1.0), ("r2", -1.0)])
def test_a_value_is_among_the_best_if_it_beats_one_of_them(
    storage: Storage, metric: str, sign: float
) -> None:
    study = create_study(storage, definition(objective={"metric": metric}), "store")
    assert not study.is_among_best(sign * 0.0, 2)
    claims = [study.ask(ME, 60.0) for _ in range(4)]
    for claim, value in zip(claims, (3.0, 1.0, 2.0), strict=False):
        assert claim is not None
        study.finish(claim, "COMPLETE", sign * value, {})
    assert claims[3] is not None
    study.finish(claims[3], "PRUNED", sign * 0.5, {})
    assert study.is_among_best(sign * 1.9, 2)
    assert not study.is_among_best(sign * 2.0, 2)
    assert study.is_among_best(sign * 2.9, 9)
    assert not study.is_among_best(sign * 3.0, 9)

    def retry(connection: Connection) -> None:
        waiting = sa.update(TRIALS).where(TRIALS.c.number == 1)
        connection.execute(waiting.values(state=TrialState.WAITING))
        raise_revision(connection, study.id)

    storage.write(retry)
    storage.reader.invalidate(study.id)
    assert study.is_among_best(sign * 2.9, 2)
