"""PostgreSQL behind a pooler, where no session is a client's own: transactions are."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from hpo.config.trial import Measurement
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.server import read_server_info
from hpo.storage.upgrade import upgrade
from hpo.study.catalog import create_study, open_study
from tests.support import machine, servers
from tests.support.definitions import definition

N_CLIENTS, N_CONNECTIONS = 12, 3


@pytest.fixture
def pooled_url(postgresql: servers.PostgresqlServer) -> Iterator[str]:
    machine.POOLER.or_skip()
    with servers.pooler(postgresql, N_CONNECTIONS) as url:
        yield url


def test_many_open_a_new_storage_at_once_and_leave_no_lock(pooled_url: str) -> None:
    def work(pid: int) -> int:
        with closing(open_storage(pooled_url, patience=30)) as storage:
            study = create_study(storage, definition(n_trials=N_CLIENTS), "store")
            claim = study.ask(WorkerId(host="here", pid=pid, device="cpu"), 60.0)
            assert claim is not None
            assert study.renew([claim], 60.0) == set()
            measured = [Measurement(step=1, value=1.0)]
            assert not study.report({claim: measured}).lost
            study.finish(claim, "COMPLETE", 1.0, {})
            return claim.number

    with ThreadPoolExecutor(N_CLIENTS) as clients:
        assert sorted(clients.map(work, range(N_CLIENTS))) == list(range(N_CLIENTS))
    with closing(open_storage(pooled_url)) as storage:
        assert open_study(storage, "study").progress().is_finished
        with storage.read() as connection:
            held = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert connection.scalar(held) == 0
    assert upgrade(pooled_url) == []


def test_the_server_s_limit_of_connections_does_not_count(
    pooled_url: str, postgresql_url: str
) -> None:
    with closing(open_storage(pooled_url)) as storage:
        storage.check_room(10_000)
        assert read_server_info(storage).is_pooled
    with closing(open_storage(postgresql_url)) as storage:
        assert not read_server_info(storage).is_pooled
