"""Rounds of faults: workers finish a study under faults, and an audit follows."""

import math
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hpo.config.errors import StorageError
from tests.support.faults.audit import audit, checkpoints, files, is_draft, orphans
from tests.support.faults.chaos import Chaos
from tests.support.faults.clocks import Clock
from tests.support.faults.processes import WorkerGroup, hpo_command
from tests.support.faults.setting import Setting, make_setting
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.small_disk import SmallDisk

CHECKPOINTS_PER_TRIAL = 3
"""One, its successor, and one by a worker that has lost its lease."""

END_SECONDS = 60.0
"""Time for workers to end after their study is finished; one may have just started."""


@dataclass(kw_only=True)
class Tally:
    """Counts of one or more rounds.

    Attributes:
        faults: injected, by kind.
        n_starts: worker commands started.
        trials: by final state.
        n_attempts: claims of the trials.
        n_checkpoints: files left when the study was finished, before `hpo gc`.
        n_drafts: unfinished files that killed processes left.
        losses: a sentence for each failure.
    """

    faults: Counter[str] = field(default_factory=Counter)
    n_starts: int = 0
    trials: Counter[str] = field(default_factory=Counter)
    n_attempts: int = 0
    n_checkpoints: int = 0
    n_drafts: int = 0
    losses: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add the counts of another round."""
        self.faults += other.faults
        self.n_starts += other.n_starts
        self.trials += other.trials
        self.n_attempts += other.n_attempts
        self.n_checkpoints += other.n_checkpoints
        self.n_drafts += other.n_drafts
        self.losses += other.losses


def play(
    folder: Path,
    storage_url: str,
    *,
    seed: int,
    n_trials: int,
    limit: float,
    n_workers: int = 3,
    every: float = 4.0,
    max_faults: float = math.inf,
    database: Server | None = None,
    disk: SmallDisk | None = None,
    every_kind: bool = False,
) -> Tally:
    """Search a study under faults, and audit it.

    Args:
        folder: an empty folder for files and logs.
        storage_url: a storage without a study of this name.
        seed: of the faults.
        n_trials: the study's budget.
        limit: seconds after which an unfinished study is a loss, and is not audited.
        n_workers: number of worker commands.
        every: mean seconds between faults.
        max_faults: number of faults after which no more occur.
        database: the storage's server, for outages.
        disk: a disk for the artifacts, to be filled.
        every_kind: whether also the network between each worker and a server fails, or, with
            SQLite, the clock of each worker.
    """
    name = f"faults-{seed}"
    artifacts = disk.folder / name if disk else None
    made = make_setting(
        folder, storage_url, artifacts, n_trials=n_trials, pruner="median", name=name
    )
    with ExitStack() as stack:
        setting = stack.enter_context(closing(made))
        proxies: list[Proxy] = []
        clocks: list[Clock] = []
        for index in range(n_workers if every_kind else 0):
            if database:
                proxies.append(stack.enter_context(closing(Proxy(storage_url))))
            else:
                clocks.append(Clock(folder / f"clock-{index}"))
        environments = [
            *({"HPO_STORAGE": proxy.url} for proxy in proxies),
            *(clock.environment for clock in clocks),
        ]
        group = stack.enter_context(
            WorkerGroup(
                setting=setting,
                folder=folder / "logs",
                size=n_workers,
                environments=environments,
            )
        )
        deadline = time.monotonic() + limit
        chaos = Chaos(
            group=group,
            seed=seed,
            every=every,
            max_faults=max_faults,
            database=database,
            disk=disk,
            proxies=proxies,
            clocks=clocks,
        )
        try:
            while time.monotonic() < deadline and not _is_finished(setting):
                group.tend()
                chaos.tend()
                time.sleep(0.1)
        finally:
            chaos.end()
        if not _is_finished(setting):
            unfinished = f"the study was not finished after {limit:.0f} s"
            return Tally(
                faults=chaos.counts, n_starts=group.n_starts, losses=[*group.losses, unfinished]
            )
        over = time.monotonic() + END_SECONDS
        while (n_left := group.tend()) and time.monotonic() < over:
            time.sleep(0.1)
        if n_left:
            group.losses.append(f"{n_left} workers did not end with their study")
        return _count(setting, group, chaos)


def _count(setting: Setting, group: WorkerGroup, chaos: Chaos) -> Tally:
    found = audit(setting)
    losses = [*group.losses, *found.faults]
    left = checkpoints(setting)
    losses += [
        f"trial {number} has {n} checkpoints left"
        for number, n in left.items()
        if n > CHECKPOINTS_PER_TRIAL
    ]
    swept = hpo_command(setting, "gc")
    if swept.returncode != 0:
        losses.append(f"hpo gc ended with {swept.returncode}: {swept.stderr.strip()}")
    losses += [f"{path} is named by nothing" for path in orphans(setting)]
    return Tally(
        faults=chaos.counts,
        n_starts=group.n_starts,
        trials=found.counts,
        n_attempts=found.n_attempts,
        n_checkpoints=left.total(),
        n_drafts=sum(map(is_draft, files(setting.store))),
        losses=losses,
    )


def _is_finished(setting: Setting) -> bool:
    with suppress(StorageError):  # the database is away
        return setting.study.progress().is_finished
    return False
