"""Short rounds of faults; `scripts/bench faults` plays long ones."""

from pathlib import Path

import pytest

from tests.support.faults.rounds import play
from tests.support.servers import postgresql_server
from tests.support.small_disk import small_disk

N_TRIALS = 14
N_FAULTS = 7
"""Each kind once, and one more."""


@pytest.mark.slow
def test_sqlite_loses_nothing_under_faults(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        tally = play(
            tmp_path,
            f"sqlite:///{tmp_path}/hpo.db",
            seed=1,
            n_trials=N_TRIALS,
            limit=200,
            every=0.7,
            max_faults=N_FAULTS,
            disk=disk,
        )
    print(tally)
    assert tally.losses == []
    assert tally.faults.total() >= 6
    assert tally.trials.total() == N_TRIALS


@pytest.mark.slow
def test_postgresql_loses_nothing_under_faults_and_restarts(tmp_path: Path) -> None:
    with postgresql_server() as server:
        tally = play(
            tmp_path,
            server.database(),
            seed=2,
            n_trials=N_TRIALS,
            limit=200,
            every=0.7,
            max_faults=N_FAULTS,
            database=server,
        )
    print(tally)
    assert tally.losses == []
    assert tally.faults["database outage"] >= 1
    assert tally.trials.total() == N_TRIALS
