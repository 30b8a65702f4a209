"""Speed of the storage: hpo beside plain Optuna, with a free objective.

The first table shows trials per second of 1 to 64 worker processes. A trial draws six random
params, reports 20 values one by one, asks the median pruner after each, and finishes. Plain Optuna
runs `study.optimize` on the same kind of storage. Workers start together. Trials are counted by
their reports, so that unfinished ones count in part. Workers that died are listed.

The second table shows the latency of single calls in studies with finished trials, 64 running ones
and 1,000 abandoned ones. A third one shows the time of the TPE sampler alone.

Servers run on this machine with their defaults: PostgreSQL with fsync on.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from benches.latency import Scene, Timings, measure_calls, tpe_alone
from benches.noop import STEPS, SYSTEMS, work
from rich.console import Console
from rich.table import Table

from hpo.storage.schema import REPORTS
from tests.support.gate import CONTEXT, gather
from tests.support.servers import Server, mariadb_server, postgresql_server

STORAGES = ("sqlite", "postgresql", "mariadb")
SCENES = (
    Scene(n_finished=0),
    Scene(n_finished=1_000),
    Scene(n_finished=10_000),
    Scene(n_finished=10_000, n_abandoned=1_000),
)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Trials per second of some workers, how many of them died, and the first one's error."""

    per_second: float
    n_dead: int
    reasons: Sequence[str]

    def __str__(self) -> str:
        dead = f" ({self.n_dead} died)" if self.n_dead else ""
        return f"{self.per_second:.2f}{dead}"


def main(arguments: list[str]) -> None:
    """Run both parts on each storage, and print their tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench storage", description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=4.0, help="per number of workers")
    parser.add_argument("--call-seconds", type=float, default=2.0, help="per row of table 2")
    options = parser.parse_args(arguments)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    console = Console(width=100)
    console.print(sampler_times())
    for storage in options.storages:
        with databases(storage) as fresh:
            if fresh is None:
                console.print(f"{storage}: skipped, its server is not installed here\n")
                continue
            if options.workers:
                console.print(throughput(storage, fresh, options.workers, options.seconds))
            console.print(latencies(storage, fresh, options.call_seconds))


@contextmanager
def databases(storage: str) -> Iterator[Callable[[], str] | None]:
    """Something that makes a fresh database and returns its URL; None without a server."""
    with ExitStack() as stack:
        match storage:
            case "sqlite":
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hpo-bench-"))
                numbers = iter(range(sys.maxsize))
                yield lambda: f"sqlite:///{folder}/{next(numbers)}.db"
            case "postgresql":
                yield partial(_plain_url, stack.enter_context(postgresql_server()))
            case _:
                server = stack.enter_context(mariadb_server())
                yield None if server is None else partial(_plain_url, server)


def _plain_url(server: Server) -> str:
    """URL of a new database, with the driver's name for SQLAlchemy and Optuna."""
    url = server.database()
    for ours, theirs in (("postgresql:", "postgresql+psycopg:"), ("mariadb:", "mysql+pymysql:")):
        url = url.replace(ours, theirs, 1) if url.startswith(ours) else url
    return url


def throughput(storage: str, fresh: Callable[[], str], counts: list[int], seconds: float) -> Table:
    """Trials per second by the number of workers."""
    table = Table(
        title=f"{storage}: trials per second, {seconds:g} s each",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("workers", *SYSTEMS, "hpo / Optuna"):
        table.add_column(heading, justify="right")
    said: list[str] = []
    for n_workers in counts:
        paces = [pace(system, fresh(), n_workers, seconds) for system in SYSTEMS]
        ours, theirs = (pace.per_second for pace in paces)
        ratio = f"{ours / theirs:.1f} x" if theirs else "-"
        table.add_row(str(n_workers), *map(str, paces), ratio)
        said += [f"{n_workers} workers: {reason}" for pace in paces for reason in pace.reasons]
    table.caption = "\n".join(said)
    return table


def pace(system: str, url: str, n_workers: int, seconds: float) -> Pace:
    """Start workers together, and count the trials that they finish."""
    SYSTEMS[system].create(url)
    errors = CONTEXT.SimpleQueue()
    workers, gate = gather(n_workers, work, system, url, errors, preload=[work.__module__])
    gate.open(workers)
    start = time.perf_counter()
    time.sleep(seconds)
    reasons = [] if errors.empty() else [errors.get()]
    n_dead = sum(not worker.is_alive() for worker in workers)
    passed = time.perf_counter() - start
    for worker in workers:
        if worker.is_alive() and worker.pid is not None:
            os.kill(worker.pid, signal.SIGKILL)
    for worker in workers:
        worker.join()
    return Pace(per_second=_n_trials(url) / passed, n_dead=n_dead, reasons=reasons)


def _n_trials(url: str) -> float:
    """Number of trials, counted by reports."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        n_reports = connection.scalar(sa.select(sa.func.count()).select_from(REPORTS))
    return (n_reports or 0) / len(STEPS)


def latencies(storage: str, fresh: Callable[[], str], seconds: float) -> Table:
    """Latencies of calls in studies of several sizes."""
    table = Table(
        title=f"{storage}: ms per call of one worker; report includes the pruner",
        title_justify="left",
    )
    for heading in ("finished", "RUNNING", "call"):
        table.add_column(heading)
    for system in SYSTEMS:
        table.add_column(f"{system} median", justify="right")
        table.add_column("p95", justify="right")
    table.add_column("hpo / Optuna", justify="right")
    measured = (measure_calls(system, fresh(), SCENES, seconds) for system in SYSTEMS)
    for scene, *timings in zip(SCENES, *measured, strict=True):
        for index, call in enumerate(timings[0]):
            shown = scene.labels if index == 0 else ("", "")
            _add_row(table, shown, call, [times[call] for times in timings])
        table.add_section()
    return table


def sampler_times() -> Table:
    """Time of the TPE sampler alone, without a storage."""
    table = Table(title="TPE alone: ms per trial, history in memory", title_justify="left")
    for heading in ("finished", "median", "p95"):
        table.add_column(heading, justify="right")
    for n_finished in (0, 1_000, 10_000):
        times = tpe_alone(n_finished)
        table.add_row(f"{n_finished:,}", f"{times.median:.1f}", f"{times.p95:.1f}")
    return table


def _add_row(table: Table, labels: tuple[str, str], call: str, times: list[Timings]) -> None:
    cells = [f"{number:.2f}" for each in times for number in (each.median, each.p95)]
    ours, theirs = (each.median for each in times)
    table.add_row(*labels, call, *cells, f"1 / {theirs / ours:.1f}")
