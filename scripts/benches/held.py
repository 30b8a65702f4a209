"""Cost of a worker's single calls in a study with many running trials, each held by another worker.

A cost that grows with the number of workers grows quadratically for all of them together.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from benches.history import add_finished, add_running
from benches.latency import writing
from benches.noop import NAME, create_hpo
from benches.server_load import server_seconds
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.config.strategies import TpeSampler
from hpo.config.trial import Measurement
from hpo.storage import dialects
from hpo.storage.engine import open_storage
from hpo.storage.leases import Lease, WorkerId
from hpo.storage.trials import read_heads, read_trials
from hpo.study.catalog import open_study
from hpo.study.claim import Claim
from hpo.study.orders import read_orders
from hpo.study.study import Study

N_FINISHED = 1_000
SECONDS, MOST = 1.0, 200
"""How long, and how often at most, a call is repeated."""
N_CLAIMED = 20
N_READ = 100
ME = WorkerId(host="here", pid=os.getpid(), device="none")
LEASE = 600.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Average milliseconds of a call.

    Attributes:
        passed: wall time.
        worker: CPU time of the worker.
        server: CPU time of the server; None if unknown.
    """

    passed: float
    worker: float
    server: float | None


def measure_held(url: str, counts: Sequence[int]) -> Iterator[tuple[int, dict[str, Cost]]]:
    """The cost of each call by name, for each number of running trials in increasing order."""
    create_hpo(url)
    n_before = 0
    with dialects.read_only_engine(dialects.parse(url)).connect() as watcher:
        watcher.execution_options(isolation_level="AUTOCOMMIT")
        for n_held in counts:
            with writing(url) as connection:
                add_running(connection, n_held - n_before, alive=True, leased=True)
                add_finished(connection, N_FINISHED if n_before == 0 else 0)
            n_before = n_held
            with closing(open_storage(url)) as storage:
                yield n_held, _costs(watcher, open_study(storage, NAME))


def _costs(watcher: Connection, study: Study) -> dict[str, Cost]:
    """Measure a worker's calls in a study."""
    study.definition = replace(study.definition, sampler=TpeSampler())
    granted, claims = list[Lease](), list[Claim]()
    steps = iter(range(1, 10 * MOST))

    def report() -> None:
        study.report({claims[0]: [Measurement(step=next(steps), value=1.0)]})

    def report_anew() -> None:
        study.storage.reader.invalidate(study.id)
        report()

    with study.storage.read() as connection:
        heads = [h for h in read_heads(connection, study.id) if h.state is TrialState.COMPLETE]

    def read_finished() -> None:
        with study.storage.read() as connection:
            list(read_trials(connection, heads[:N_READ], user_attrs=False))

    calls: dict[str, Callable[[], object]] = {
        "claim": lambda: granted.extend(study.claim(ME, LEASE)),
        "draw params by TPE": lambda: claims.extend(study.draw([granted.pop()])),
        "report": report,
        "report, the first in 5 s": report_anew,
        f"read {N_READ} trials that ended": read_finished,
        "renew leases": lambda: study.renew(claims[:1], LEASE),
        "look for orders": lambda: read_orders(study, claims[:1]),
        "look for dead workers": study.reaper.reap,
        "tell": lambda: study.finish(claims.pop(), "COMPLETE", 1.0, {}),
        "look whether all is done": study.progress,
    }
    costs = {}
    for name, call in calls.items():
        limits = {"claim": N_CLAIMED, "draw params by TPE": len(granted), "tell": len(claims)}
        costs[name] = _cost(watcher, call, limits.get(name, MOST))
    study.release(*granted, *claims)
    return costs


def _cost(watcher: Connection, call: Callable[[], object], most: int) -> Cost:
    """Average over as many calls as time allows, after a first one."""
    call()
    server, worker, start = server_seconds(watcher), time.process_time(), time.perf_counter()
    n_calls = 0
    while n_calls == 0 or (n_calls < most - 1 and time.perf_counter() < start + SECONDS):
        call()
        n_calls += 1
    passed, worker = time.perf_counter() - start, time.process_time() - worker
    after = server_seconds(watcher)
    return Cost(
        passed=1000 * passed / n_calls,
        worker=1000 * worker / n_calls,
        server=None if server is None or after is None else 1000 * (after - server) / n_calls,
    )
