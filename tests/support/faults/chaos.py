"""Faults on a seeded schedule, in workers, their database, disk, network and clocks.

Faults follow one another in shuffled order: each kind occurs once before any occurs again. Faults
that last end after a time. A worker has one fault at a time, and the database and the disk do not
fail together.
"""

import heapq
import math
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hpo.config.errors import StorageError
from hpo.worker.supervisor import MAX_RESTARTS
from tests.support.faults.clocks import Clock
from tests.support.faults.processes import WorkerCommand, WorkerGroup, send
from tests.support.proxy import Proxy, State
from tests.support.servers import Server
from tests.support.small_disk import SmallDisk

STOP_SECONDS = (3.0, 7.0)
OUTAGE_SECONDS = (2.0, 6.0)
FULL_SECONDS = (2.0, 5.0)
NETWORK_SECONDS = (1.0, 8.0)
HOUR = 3600.0
BUSY_SHARE = 0.8


@dataclass(kw_only=True)
class Chaos:
    """A source of faults.

    Attributes:
        group: the workers.
        seed: of the schedule.
        every: mean seconds between faults.
        max_faults: number of faults after which no more occur.
        database: the server to stop and start; None for no outages.
        disk: the artifact store's disk, to be filled; None for no full disk.
        proxies: the network between each worker and the database.
        clocks: the clock of each worker.
        counts: faults so far, by kind.
    """

    group: WorkerGroup
    seed: int
    every: float = 4.0
    max_faults: float = math.inf
    database: Server | None = None
    disk: SmallDisk | None = None
    proxies: Sequence[Proxy] = ()
    clocks: Sequence[Clock] = ()
    counts: Counter[str] = field(default_factory=Counter)
    _ends: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _shared_is_away: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._deck = self._shuffled()
        self._next = time.monotonic() + self._pause()

    def tend(self) -> None:
        """Inject and end the faults that are due."""
        now = time.monotonic()
        while self._ends and self._ends[0][0] <= now:
            heapq.heappop(self._ends)[2]()
        if now >= self._next and self.counts.total() < self.max_faults:
            self._next = now + self._pause()
            name, inject = next(self._deck)
            if inject():
                self.counts[name] += 1

    def end(self) -> None:
        """End all faults."""
        while self._ends:
            heapq.heappop(self._ends)[2]()

    def _shuffled(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        kinds: dict[str, Callable[[], bool]] = {
            "worker killed": self._kill_both,
            "supervisor killed": self._kill_supervisor,
            "child killed": self._kill_child,
            "terminated": self._terminate,
            "stopped": self._stop,
        }
        if self.database:
            kinds["database outage"] = self._take_database
        if self.disk:
            kinds["full disk"] = self._fill_disk
        if self.proxies:
            kinds["network silent"] = lambda: self._disturb("silent")
            kinds["network slow"] = lambda: self._disturb("slow")
            kinds["network reset"] = lambda: self._disturb("reset")
        if self.clocks:
            kinds["clock jump"] = self._jump
        while True:
            yield from self._random.sample(list(kinds.items()), len(kinds))

    def _pause(self) -> float:
        return self.every * self._random.uniform(0.5, 1.5)

    def _pick(self) -> tuple[WorkerCommand, int] | None:
        """A worker and its child, preferably one that holds a trial."""
        able = [
            (worker, child)
            for worker in self.group.commands
            if not worker.is_stopped and (child := worker.child()) is not None
        ]
        busy = [(worker, child) for worker, child in able if child in self._holders()]
        if busy and self._random.random() < BUSY_SHARE:
            able = busy
        return self._random.choice(able) if able else None

    def _holders(self) -> set[int]:
        """Process ids of the workers that hold a trial; none during an outage."""
        try:
            return {worker.pid for worker in self.group.setting.study.progress().workers}
        except StorageError:
            return set()

    def _kill_both(self) -> bool:
        if picked := self._pick():
            worker, child = picked
            worker.signal(signal.SIGKILL)
            send(child, signal.SIGKILL)
        return picked is not None

    def _kill_supervisor(self) -> bool:
        if picked := self._pick():
            picked[0].signal(signal.SIGKILL)
        return picked is not None

    def _kill_child(self) -> bool:
        """Kill a child, up to the number of restarts that its supervisor allows."""
        picked = self._pick()
        if picked is None or picked[0].n_child_kills >= MAX_RESTARTS:
            return False
        picked[0].n_child_kills += 1
        return send(picked[1], signal.SIGKILL)

    def _terminate(self) -> bool:
        if picked := self._pick():
            picked[0].signal(signal.SIGTERM)
        return picked is not None

    def _stop(self) -> bool:
        """Suspend a child, or both processes, for longer than the lease."""
        picked = self._pick()
        if picked is None:
            return False
        worker, child = picked
        pids = [child] if self._random.random() < 0.5 else [worker.process.pid, child]
        worker.is_stopped = True
        for pid in pids:
            send(pid, signal.SIGSTOP)

        def go_on() -> None:
            for pid in pids:
                send(pid, signal.SIGCONT)
            worker.is_stopped = False

        self._after(STOP_SECONDS, go_on)
        return True

    def _take_database(self) -> bool:
        assert self.database is not None
        return self._take(self.database.stop, self.database.start, OUTAGE_SECONDS)

    def _fill_disk(self) -> bool:
        assert self.disk is not None
        return self._take(self.disk.fill, self.disk.free, FULL_SECONDS)

    def _disturb(self, state: State) -> bool:
        """Disturb the network of one worker, or that of all."""
        is_of_all = self._random.random() < 0.25
        hit = self.proxies if is_of_all else [self._random.choice(self.proxies)]
        if any(proxy.state != "open" for proxy in hit):
            return False
        for proxy in hit:
            proxy.state = state

        def come_back() -> None:
            for proxy in hit:
                proxy.state = "open"

        self._after(NETWORK_SECONDS, come_back)
        return True

    def _jump(self) -> bool:
        """Let the clock of one worker jump by an hour, or back."""
        clock = self._random.choice(self.clocks)
        clock.jump(self._random.choice([-HOUR, HOUR]) if clock.offset == 0 else 0.0)
        return True

    def _take(
        self, begin: Callable[[], None], mend: Callable[[], None], bounds: tuple[float, float]
    ) -> bool:
        """Interrupt the database or the disk, which all workers share."""
        if self._shared_is_away:
            return False
        self._shared_is_away = True
        begin()

        def come_back() -> None:
            mend()
            self._shared_is_away = False

        self._after(bounds, come_back)
        return True

    def _after(self, bounds: tuple[float, float], end: Callable[[], None]) -> None:
        due = time.monotonic() + self._random.uniform(*bounds)
        heapq.heappush(self._ends, (due, id(end), end))
