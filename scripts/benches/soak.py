"""A long study: times of calls and memory of processes against the number of trials.

A search of 20,000 trials with 8 workers, and a dashboard beside it. The workers have their loop,
leases, outbox, TPE, median pruner and an artifact store on the local disk. The search is the code
of `hpo run` with its panel, and `hpo dashboard` is asked for the study as its page asks. Only
training is replaced, by learning curves of 10 epochs on average and a short sleep.

Each worker records its calls and its memory. The first table shows them by intervals of the number
of trials: the median of the time that passed, and the mean of the CPU time in the worker. Other
processes share the cores, so that the CPU time tells more. A call does not contain the others:
`report` asks the pruner, and does not refresh the snapshot.

At the end every row and file is audited: each trial finished once, and nothing else is left. Then
the study's page is opened in Chromium until its history shows all COMPLETE trials: in a new
browser, once again, and with a dashboard that has just been started.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benches.records import Record, read_records
from benches.server_load import server_seconds
from benches.soak_dashboard import ALL, NEW, PROCESS, Dashboard, dashboard, seconds_to_open
from benches.soak_figure import draw
from benches.storage import STORAGES, databases
from rich.console import Console
from rich.table import Table

from hpo.storage import dialects
from tests.support import machine
from tests.support.faults.audit import audit, orphans
from tests.support.faults.setting import Setting, make_setting

NAME = "soak"
SPACE = 'search_space = "mlp_small"'
SHARES = (0.05, 0.125, 0.25, 0.5, 0.75, 1.0)
"""Ends of the intervals, as shares of the budget."""
CALLS = (
    "claim",
    "draw params",
    "report",
    "tell",
    "refresh the snapshot",
    "read the status",
    NEW,
    ALL,
)
SERVER = "server, per trial"
MEMORY = ("worker", "hpo run", PROCESS)
POLL_SECONDS = 5.0
_MAX_SAID = 4000
"""Characters to print of what a failed search said."""


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What a soak gave.

    Attributes:
        seconds: duration of the search.
        pages: seconds to open the page: first, again, and with a new dashboard; empty without
            Chromium.
    """

    storage: str
    seconds: float
    records: Sequence[Record]
    counts: Counter[str]
    faults: Sequence[str]
    pages: Sequence[float]


def main(arguments: list[str]) -> None:
    """Soak each storage; print a table for each, and draw the figure of all."""
    parser = argparse.ArgumentParser(prog="scripts/bench soak", description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=list(STORAGES[:2]))
    parser.add_argument("--n-trials", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10, help="of a trial, on average")
    parser.add_argument("--epoch-seconds", type=float, default=0.02)
    parser.add_argument("--figure", type=Path, metavar="PATH.png", help="also draw the tables")
    options = parser.parse_args(arguments)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    if machine.CHROMIUM.lack is not None:
        print(f"no pages and no figure: {machine.CHROMIUM.lack}")
    console, soaks = Console(width=120), list[Soak]()
    ends = [max(1, round(share * options.n_trials)) for share in SHARES]
    for storage in options.storages:
        with databases(storage) as fresh:
            if fresh is None:
                console.print(f"{storage}: skipped, its server is not installed here\n")
                continue
            soaks.append(soak(storage, fresh(), options, ends))
        for line in report(soaks[-1], ends):
            console.print(line)
    if options.figure is not None and machine.CHROMIUM.lack is None:
        draw({each.storage: each.records for each in soaks}, options.n_trials, options.figure)
    sys.exit(any(each.faults for each in soaks))


def soak(storage: str, url: str, options: argparse.Namespace, ends: Sequence[int]) -> Soak:
    """Search a new study to its end, audit it, and open its page."""
    with (
        tempfile.TemporaryDirectory(prefix="hpo-soak-") as name,
        closing(_study(Path(name), url, options)) as setting,
    ):
        store, study_id = setting.store.url, setting.study.id
        folder = Path(name, "records")
        folder.mkdir()
        command = [sys.executable, "-m", "benches.soak_search"]
        command += [f"{name}/{NAME}.toml", url, store, str(folder)]
        command += ["--workers", str(options.workers), "--epochs", str(options.epochs)]
        command += ["--epoch-seconds", str(options.epoch_seconds)]
        with dashboard(url, store, study_id) as beside:
            start = time.perf_counter()
            # rich takes any output for a terminal, so that the search draws its panel
            environment = {**os.environ, "FORCE_COLOR": "1"}
            panel = Path(name, "panel")
            with (
                panel.open("w") as stderr,
                subprocess.Popen(command, stderr=stderr, env=environment) as search,
            ):
                records = list(_watch(search, beside, url, ends))
            if search.returncode:
                print(panel.read_text()[-_MAX_SAID:])
            seconds = time.perf_counter() - start
            records += beside.ask(anew=True)
            found = audit(setting, trained=False)
            pages = list[float]()
            if machine.CHROMIUM.lack is None:
                pages += seconds_to_open(beside.page, found.counts["COMPLETE"])
        if pages:
            with dashboard(url, store, study_id) as anew:
                pages.append(seconds_to_open(anew.page, found.counts["COMPLETE"])[0])
        return Soak(
            storage=storage,
            seconds=seconds,
            records=[*read_records(folder), *records],
            counts=found.counts,
            faults=[
                *([f"the search ended with {search.returncode}"] if search.returncode else []),
                *found.faults,
                *(f"no row refers to {path}" for path in orphans(setting)),
            ],
            pages=pages,
        )


def report(soak: Soak, ends: Sequence[int]) -> Iterator[Table | str]:
    """The table of a soak and what its end showed."""
    table = Table(
        title=f"{soak.storage}: ms per call (of them CPU), and MiB, by the number of trials",
        title_justify="left",
    )
    table.add_column("up to")
    for end in ends:
        table.add_column(f"{end:,}", justify="right")
    by_end = sorted_by(soak.records, ends)
    for call in CALLS:
        table.add_row(call, *(_times(found.get(call, ())) for found in by_end))
    table.add_row(SERVER, *(_mean(found.get(SERVER, ())) for found in by_end), end_section=True)
    for process in MEMORY:
        table.add_row(process, *(_mean(found.get(process, ())) for found in by_end))
    yield table
    counts = ", ".join(f"{n:,} {state}" for state, n in sorted(soak.counts.items()))
    yield f"{soak.storage}: {counts} in {soak.seconds:,.0f} s"
    if soak.pages:
        first, again, anew = soak.pages
        yield (
            f"{soak.storage}: the page opens in {first:.1f} s, again in {again:.1f} s, and with a "
            f"new dashboard in {anew:.1f} s"
        )
    yield from (f"{soak.storage}: {fault}" for fault in soak.faults[:10])
    yield f"{soak.storage}: audit: {len(soak.faults) or 'no'} faults\n"


def sorted_by(
    records: Sequence[Record], ends: Sequence[int]
) -> list[Mapping[str, Sequence[Record]]]:
    """The records by name, for each interval of the number of trials that ends at `ends`."""
    found = [dict[str, list[Record]]() for _ in ends]
    for record in records:
        index = next((i for i, end in enumerate(ends) if record.n_trials <= end), len(ends) - 1)
        found[index].setdefault(record.what, []).append(record)
    return list(found)


def _study(folder: Path, url: str, options: argparse.Namespace) -> Setting:
    return make_setting(
        folder,
        url,
        n_trials=options.n_trials,
        max_epochs=2 * options.epochs,
        pruner="median",
        name=NAME,
        sampler="tpe",
        space=SPACE,
    )


def _watch(
    search: "subprocess.Popen[bytes]", beside: Dashboard, url: str, ends: Sequence[int]
) -> Iterator[Record]:
    """Ask the dashboard, and measure the server's CPU time, until the search ends."""
    engine = dialects.read_only_engine(dialects.parse(url))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before, n_before = server_seconds(connection), 0
        due = list(ends)
        while search.poll() is None:
            time.sleep(POLL_SECONDS)
            yield from beside.ask()
            if due and beside.n_known >= due[0]:
                due = [end for end in due if end > beside.n_known]
                yield from beside.ask(anew=True)
            after, n_after = server_seconds(connection), beside.n_known
            if before is not None and after is not None and n_after > n_before:
                per_trial = 1000 * (after - before) / (n_after - n_before)
                yield Record(n_after, SERVER, per_trial, per_trial)
                before, n_before = after, n_after


def _times(records: Sequence[Record]) -> str:
    if not records:
        return "-"
    median = statistics.median(record.value for record in records)
    return f"{median:.1f} ({statistics.fmean(record.cpu for record in records):.1f})"


def _mean(records: Sequence[Record]) -> str:
    return f"{statistics.fmean(record.value for record in records):.1f}" if records else "-"
