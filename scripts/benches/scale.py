"""Trials per hour by the number of worker processes on one study.

Each is a real worker with its loop, heartbeat, leases, outbox, TPE, median pruner and an artifact
store on the local disk. Only training is simulated, by curves of 10 to 30 epochs and a sleep, so
that few cores suffice. The ideal is what the workers would do if they never waited. The largest
number of workers is measured again with shorter epochs, which put more load on the storage.

Workers start together and are measured after a warm-up. Then they give their trials back and finish
the study's budget with short epochs. Every row and file is audited: each trial of the budget
finished once, and nothing else is left.

A second table shows the cost of a worker's single calls, for worker and server, by the number of
running trials. The load of larger numbers of workers can be computed from it.

The database server runs with its defaults and shares this machine's cores with the workers.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import sqlalchemy as sa
from benches.curve_worker import Account, Shift, work
from benches.held import Cost, measure_held
from benches.server_load import Load, watch
from benches.storage import STORAGES, databases
from rich.console import Console
from rich.table import Table

from hpo.lifecycle.housekeeping import sweep
from hpo.storage.schema import REPORTS, TRIALS
from hpo.study.artifacts import StudyArtifacts
from tests.support.faults.audit import audit, orphans
from tests.support.faults.setting import Setting, make_setting
from tests.support.gate import CONTEXT, gather

N_EPOCHS = 20
SECONDS, LAST_SECONDS = 15.0, 60.0
MANY = 64
NOT_STORAGE = ("train", "save", "prepare")
SPACE = 'search_space = "mlp_small"'
HEADINGS = (
    *("workers", "epoch\ns", "trials\nan hour", "of ideal", "in\nstorage", "report\np95, ms"),
    *("transac-\ntions/s", "connec-\ntions", "server", "workers", "others", "audit"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Result of one number of workers."""

    n_workers: int
    epoch_seconds: float
    trial_epochs: float
    load: Load
    accounts: Sequence[Account]
    counts: Counter[str]
    faults: Sequence[str]

    @property
    def cells(self) -> Iterator[str]:
        """Cells of the table's row."""
        epochs = sum(account.epochs for account in self.accounts)
        passed = sum(account.passed for account in self.accounts)
        spent = sum((Counter(account.seconds) for account in self.accounts), Counter[str]())
        storage = 1 - sum(spent[name] for name in NOT_STORAGE) / passed
        own = self.n_workers * sum(account.processor for account in self.accounts) / passed
        others = self.load.machine - own - (self.load.processor or 0.0)
        reports = sorted(1000 * seconds for a in self.accounts for seconds in a.reports)
        yield str(self.n_workers)
        yield f"{self.epoch_seconds:g}"
        yield f"{3600 * epochs / self.trial_epochs:,.0f}"
        yield f"{epochs * self.epoch_seconds / self.n_workers:.1%}"
        yield f"{storage:.1%}"
        yield f"{statistics.quantiles(reports, n=20)[-1]:.0f}" if len(reports) > 1 else "-"
        yield _format_number(self.load.transactions, ".0f")
        yield _format_number(self.load.n_connections, "d")
        yield _format_number(self.load.processor, ".2f")
        yield f"{own:.2f}"
        yield f"{others:.2f}"
        yield f"{self.counts.total()} ok" if not self.faults else f"{len(self.faults)} FAULTS"


def main(arguments: list[str]) -> None:
    """Measure each number of workers, and print a table."""
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__)
    parser.add_argument("--storage", default="postgresql", help=f"{', '.join(STORAGES)} or a URL")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, help="per row; default 15, and 60 from 64 workers")
    parser.add_argument("--warm", type=float, default=3.0, help="seconds of warm-up")
    parser.add_argument(
        "--epochs", nargs="+", type=float, default=[0.5, 0.1], metavar="SECONDS", help="per epoch"
    )
    parser.add_argument(
        "--held",
        nargs="*",
        type=int,
        default=[64, 1_000, 10_000],
        help="running trials",
    )
    options = parser.parse_args(arguments)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    first, *shorter = options.epochs
    plan = [(n, first) for n in options.workers] + [(options.workers[-1], s) for s in shorter]
    rows, console = [], Console(width=120)
    with _addresses(options.storage) as fresh:
        for index, (n_workers, epoch_seconds) in enumerate(plan):
            is_last = index == len(options.workers) - 1 and n_workers >= MANY
            seconds = options.seconds or (LAST_SECONDS if is_last else SECONDS)
            shift = Shift(
                warm=options.warm,
                seconds=seconds,
                epoch_seconds=epoch_seconds,
                n_epochs=N_EPOCHS,
            )
            rows.append(measure(fresh(), n_workers, shift))
        console.print(_table(options.storage, rows))
        if options.held and "://" not in options.storage:
            console.print(_costs(options.storage, measure_held(fresh(), sorted(options.held))))
    for row in rows:
        for fault in row.faults[:10]:
            print(f"{row.n_workers} workers: {fault}")
    sys.exit(any(row.faults for row in rows))


def measure(url: str, n_workers: int, shift: Shift) -> Row:
    """Start workers, watch them, have them finish their study, and audit it."""
    with (
        tempfile.TemporaryDirectory(prefix="hpo-scale-") as folder,
        closing(_study(Path(folder), url, n_workers, shift)) as setting,
    ):
        accounts: SimpleQueue[Account] = CONTEXT.SimpleQueue()
        address = url, setting.store.url, setting.study.name
        processes, gate = gather(
            n_workers, work, address, shift, accounts, preload=[work.__module__]
        )
        gate.open(processes)
        time.sleep(shift.warm)
        load = watch(url, shift.seconds - shift.warm)
        given = list(_collect(processes, accounts))
        for process in processes:
            process.join()
        sweep(StudyArtifacts(study=setting.study, store=setting.store))
        found = audit(setting, trained=False)
        codes = Counter(process.exitcode for process in processes if process.exitcode)
        return Row(
            n_workers=n_workers,
            epoch_seconds=shift.epoch_seconds,
            trial_epochs=_n_epochs(setting) / found.counts.total(),
            load=load,
            accounts=given,
            counts=found.counts,
            faults=[
                *(f"{n} workers ended with {code}" for code, n in codes.items()),
                *found.faults,
                *(f"no row refers to {path}" for path in orphans(setting)),
            ],
        )


@contextmanager
def _addresses(storage: str) -> Iterator[Callable[[], str]]:
    """URLs for new studies: of new databases, or always the given one."""
    if "://" in storage:
        yield lambda: storage
        return
    with databases(storage) as fresh:
        if fresh is None:
            sys.exit(f"the server of {storage} is not installed here")
        yield fresh


def _study(folder: Path, url: str, n_workers: int, shift: Shift) -> Setting:
    """A study whose budget lasts for the shift, and one more trial per worker."""
    n_trials = n_workers * (2 + int(shift.seconds / (shift.n_epochs * shift.epoch_seconds)))
    return make_setting(
        folder,
        url,
        n_trials=n_trials,
        max_epochs=2 * shift.n_epochs,
        pruner="median",
        name=f"scale-{uuid.uuid4().hex[:8]}",
        sampler="tpe",
        space=SPACE,
    )


def _n_epochs(setting: Setting) -> int:
    """Number of reported epochs."""
    own = TRIALS.c.study_id == setting.study.id
    reports = REPORTS.join(TRIALS, TRIALS.c.trial_id == REPORTS.c.trial_id)
    with setting.study.storage.read() as connection:
        counted = sa.select(sa.func.count()).select_from(reports).where(own)
        return int(connection.scalar(counted) or 0)


def _collect(
    processes: Sequence[ForkServerProcess], accounts: SimpleQueue[Account]
) -> Iterator[Account]:
    """Accounts of the workers that did not die."""
    n_given = 0
    while n_given < len(processes):
        if not accounts.empty():
            yield accounts.get()
            n_given += 1
        elif all(not process.is_alive() for process in processes):
            return
        else:
            time.sleep(0.05)


def _table(storage: str, rows: Sequence[Row]) -> Table:
    """The table of the measurements."""
    table = Table(
        title=f"{storage.partition(':')[0]}: workers on one study, beside the server",
        caption="server, workers, others: busy cores",
        title_justify="left",
        caption_justify="left",
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row.cells)
    return table


def _costs(storage: str, measured: Iterator[tuple[int, dict[str, Cost]]]) -> Table:
    """The table of the calls' costs."""
    found = dict(measured)
    table = Table(
        title=f"{storage.partition(':')[0]}: ms per call, by the number of running trials",
        caption="worker, server: their CPU time",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("call")
    for n_held in found:
        for heading in (f"{n_held:,} held", "worker", "server"):
            table.add_column(heading, justify="right")
    for call in next(iter(found.values())):
        costs = (costs[call] for costs in found.values())
        cells = ((cost.passed, cost.worker, cost.server) for cost in costs)
        table.add_row(call, *(_format_number(number, ".1f") for each in cells for number in each))
    return table


def _format_number(number: float | None, pattern: str) -> str:
    return "-" if number is None else format(number, pattern)
