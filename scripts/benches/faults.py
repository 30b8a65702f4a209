"""Fault injection: searches studies of short trials while faults hit their workers.

Workers and supervisors are killed, terminated, or suspended for longer than their lease. The
database server is stopped and started. The disk of the artifacts is filled. Each round searches a
new study to its end and audits it: every trial of the budget finished once, the weights of every
COMPLETE trial give its recorded metric, and no other files are left. Rounds repeat until the time
is over. A seed reproduces a schedule.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from tests.support.faults.rounds import Tally, play
from tests.support.servers import Server, mariadb_server, postgresql_server
from tests.support.small_disk import small_disk

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
    options = parser.parse_args(arguments)
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


def play_round(options: argparse.Namespace, seed: int) -> Tally:
    """Play one round with its own study, storage and disk."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hpo-faults-")))
        (folder / "disk").mkdir()
        disk = stack.enter_context(small_disk(folder / "disk", "64m"))
        if disk is None:
            print("no full disks: this machine does not permit mounts", file=sys.stderr)
        server = stack.enter_context(SERVERS[options.storage]())
        if server is None and options.storage != "sqlite":
            sys.exit(f"the server of {options.storage} is not installed here")
        url = server.database() if server else f"sqlite:///{folder}/hpo.db"
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
