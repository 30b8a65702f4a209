"""Fault injection: searches studies of short trials while faults hit their workers.

Workers and supervisors are killed, terminated, or suspended for longer than their lease. The
database server is stopped and started. The disk of the artifacts is filled; SQLite's database is on
it too. The network between a worker and a server loses, delays or resets everything; with SQLite,
the clock of a worker jumps by an hour. Each round searches a new study to its end and audits it:
every trial of the budget finished once, the weights of every COMPLETE trial give its recorded
metric, and no other files are left. Rounds repeat until the time is over.

`--commands N` harms other commands instead, N times: create, export, confirm, refit, storage copy,
storage upgrade, gc and delete. At a random SQL statement, commit or change of a file, the command
is killed, its disk is full, or its database is gone. Then it runs again. What it leaves is compared
with an undisturbed run. A seed reproduces a schedule.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import islice
from pathlib import Path
from typing import NoReturn

from tests.support.faults.harms import harm_commands
from tests.support.faults.rounds import Tally, play
from tests.support.forked import forking
from tests.support.servers import Server, mariadb_server, postgresql_server
from tests.support.small_disk import SmallDisk, enter_namespace, small_disk

SERVERS: dict[str, Callable[[], AbstractContextManager[Server | None]]] = {
    "sqlite": nullcontext,
    "postgresql": postgresql_server,
    "mariadb": mariadb_server,
}


def main(arguments: list[str]) -> None:
    """Play rounds and print what happened."""
    parser = argparse.ArgumentParser(prog="scripts/bench faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--storage", choices=list(SERVERS), default="postgresql")
    parser.add_argument("--n-trials", type=int, default=200, help="trials of each round")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, metavar="N", help="harm commands N times instead")
    options = parser.parse_args(arguments)
    if options.storage == "sqlite":
        enter_namespace()
    if options.commands is not None:
        play_commands(options)
    deadline = time.monotonic() + 60 * options.minutes
    total, seed = Tally(), options.seed
    while time.monotonic() < deadline:
        start = time.monotonic()
        tally = play_round(options, seed)
        total.add(tally)
        print(f"round {seed}: {time.monotonic() - start:.0f} s; {sentence(tally)}", flush=True)
        seed += 1
    print(f"\n{options.storage}, {seed - options.seed} rounds in all: {sentence(total)}")
    for loss in total.losses:
        print(f"  loss: {loss}")
    sys.exit(1 if total.losses else 0)


def play_commands(options: argparse.Namespace) -> NoReturn:
    """Harm commands, print what became of each, and end."""
    counts, n_late, losses = Counter[str](), 0, 0
    with ExitStack() as stack:
        folder, server, disk = setting(stack, options.storage)
        stack.enter_context(forking())
        harms = harm_commands(
            folder, seed=options.seed, server=server, disk=None if server else disk
        )
        for found in islice(harms, options.commands):
            counts[found.name] += found.was_hit
            n_late += not found.was_hit
            losses += len(found.losses)
            print(f"{found.name}: {'; '.join(found.losses) or 'no loss'}", flush=True)
    print(f"\n{options.storage}, faults: {counts.total()}, after the end of a command: {n_late}")
    for name, n in sorted(counts.items()):
        print(f"  {n} x {name}")
    print(f"{losses} losses")
    sys.exit(1 if losses else 0)


def setting(stack: ExitStack, storage: str) -> tuple[Path, Server | None, SmallDisk | None]:
    """Make an empty folder with a small disk, and start the server of the storage."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hpo-faults-")))
    (folder / "disk").mkdir()
    disk = stack.enter_context(small_disk(folder / "disk", "64m"))
    if disk is None:
        print("no full disks: this machine does not permit mounts", file=sys.stderr)
    server = stack.enter_context(SERVERS[storage]())
    if server is None and storage != "sqlite":
        sys.exit(f"the server of {storage} is not installed here")
    return folder, server, disk


def play_round(options: argparse.Namespace, seed: int) -> Tally:
    """Play one round with its own study, storage and disk."""
    with ExitStack() as stack:
        folder, server, disk = setting(stack, options.storage)
        place = disk.folder if disk else folder
        url = server.database() if server else f"sqlite:///{place}/hpo.db"
        return play(
            folder,
            url,
            seed=seed,
            n_trials=options.n_trials,
            limit=60 + 5 * options.n_trials,
            n_workers=options.workers,
            every=options.every,
            database=server,
            disk=disk,
            every_kind=True,
        )


def sentence(tally: Tally) -> str:
    """A summary in one line."""
    faults = ", ".join(f"{n} x {name}" for name, n in sorted(tally.faults.items()))
    trials = ", ".join(f"{n} {state}" for state, n in sorted(tally.trials.items()))
    return (
        f"{tally.faults.total()} faults ({faults}); {tally.n_starts} worker starts; "
        f"trials: {trials} in {tally.n_attempts} attempts; "
        f"{tally.n_checkpoints} checkpoints and {tally.n_drafts} drafts left before gc; "
        f"{len(tally.losses)} losses"
    )
