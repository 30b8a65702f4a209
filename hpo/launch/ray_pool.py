"""Workers on a Ray cluster: seats that Ray places, one a worker, watched and made up for.

A seat is an actor: Ray gives it a device of its own, and starts it again, elsewhere if need be,
when its process or its node dies. How many seats there are follows the cluster where nobody fixed
their number. All that is worth keeping is in the study's storage: when a whole cluster is lost,
the same pool on another goes on.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from hpo.config.errors import InputError, first_line
from hpo.launch.ray_cluster import NAMESPACE
from hpo.launch.ray_actor import Seat, SeatStatus
from hpo.launch.ray_actor import Seating as Seating
from hpo.worker.supervisor import EXIT_RELEASED, GRACE_SECONDS

LOOK_SECONDS = 1.0
MAX_DEATHS = 10
"""Ends in a row of a seat that never answered, after which its place is left empty."""
ANSWER_SECONDS = 5.0
WAIT_SECONDS = 15.0
"""After so long it is said that a seat still has no place."""
OUTLIVED = {"env_vars": {"RAY_kill_child_processes_on_worker_exit": "0"}}
"""Ray would kill a seat's worker together with the seat, before it hands its trials back."""


class RaySeat(Seat):
    """A seat in the process of an actor."""

    def __init__(self, seating: Seating) -> None:
        """Take the device that Ray chose; without a share of one Ray hides none."""
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") if seating.gpus else ""
        super().__init__(seating, gpu)


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """What workers to keep on a cluster.

    Attributes:
        key: names the pool on its cluster, and in messages.
        n_workers: how many; None for as many as there is room for.
        is_finite: whether workers that find nothing left to do end the pool.
    """

    key: str
    seating: Seating
    n_workers: int | None
    is_finite: bool


@dataclass(kw_only=True)
class SeatRecord:
    """What the pool knows of a seat; `last` is None while its actor does not answer."""

    actor: Any
    last: SeatStatus | None = None
    asked: Any = None
    code: int | None = None
    n_deaths: int = 0


@dataclass(kw_only=True)
class RayWorkerPool:
    """Workers on the cluster that this process is connected to.

    Attributes:
        is_detached: whether the seats outlive this process; they then have names.
        on_line: takes what workers log, and what becomes of their seats.
        head_answers: whether the cluster can place seats now; raises when it is lost.
    """

    spec: PoolSpec
    is_detached: bool = False
    on_line: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)
    head_answers: Callable[[], bool] = lambda: True
    seats: dict[int, SeatRecord] = field(default_factory=dict)
    _all_placed_at: float = field(default_factory=time.monotonic)
    _is_told: bool = False

    def __enter__(self) -> "RayWorkerPool":
        """Place the first seats."""
        self._place()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave no seat behind."""
        stop([seat.actor for seat in self.seats.values()], self._relay)

    def n_alive(self) -> int:
        """Make up for what died; how many seats have work, or wait to be placed."""
        is_there = self.head_answers()
        if is_there:
            self._place()
        self._poll()
        if is_there:
            self._drop_surplus()
        self._tell_who_waits()
        if self._is_done():
            return sum(seat.last is not None for seat in self._at_work())
        return len(self._at_work()) or (not self.seats)

    def exit_code(self) -> int:
        """The most serious of the workers' codes: 2 wrong input, 1 failed, 75 released, 0 done."""
        codes = {EXIT_RELEASED if p.code is None else p.code for p in self.seats.values()}
        for code in (2, 1, 0):
            if code in codes:
                return code
        return EXIT_RELEASED

    def _at_work(self) -> list[SeatRecord]:
        return [seat for seat in self.seats.values() if seat.code is None]

    def _is_done(self) -> bool:
        """Whether a worker found that nothing is left to do: no further seat is needed."""
        return self.spec.is_finite and any(seat.code == 0 for seat in self.seats.values())

    def _n_wanted(self) -> int:
        if self.spec.n_workers is not None:
            return self.spec.n_workers
        return room(ray.nodes(), self.spec.seating)

    def _place(self) -> None:
        if self._is_done():
            return
        for index in range(self._n_wanted()):
            if index not in self.seats:
                self.seats[index] = SeatRecord(actor=self._make_actor(index))

    def _make_actor(self, index: int) -> Any:
        seating = self.spec.seating
        options: dict[str, Any] = {
            "num_gpus": seating.gpus,
            "num_cpus": seating.cpus,
            "max_restarts": -1,
            "max_concurrency": 2,  # it is looked at while it stops
            "runtime_env": OUTLIVED,
        }
        if self.is_detached:
            options |= {"name": f"{self.spec.key}:{index}", "namespace": NAMESPACE}
            options |= {"lifetime": "detached", "get_if_exists": True}
        return ray.remote(RaySeat).options(**options).remote(seating)

    def _poll(self) -> None:
        asked = {}
        for index, seat in self.seats.items():
            if seat.code is None:
                seat.asked = seat.asked or seat.actor.status.remote()
                asked[seat.asked] = index
        if not asked:
            return
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS)
        for ref in ready:
            self._hear(asked[ref], ref)

    def _hear(self, index: int, ref: Any) -> None:
        """Take a seat's answer, or learn that it is away or dead."""
        seat = self.seats[index]
        seat.asked = None
        try:
            status: SeatStatus = ray.get(ref)
        except ActorUnavailableError:
            self._miss(index, "looks for another")
        except RayActorError as error:  # dead for good: it was killed, or could not start
            self._miss(index, "makes another")
            seat.n_deaths += 1
            if seat.n_deaths < MAX_DEATHS:
                seat.actor = self._make_actor(index)
                return
            seat.code = 1
            self.on_line(f"worker {index} is given up: {first_line(error)}")
        else:
            self._welcome(index, status)

    def _miss(self, index: int, then: str) -> None:
        if self.seats[index].last is not None:
            self.on_line(f"worker {index} lost its place, Ray {then}")
        self.seats[index].last = None

    def _welcome(self, index: int, status: SeatStatus) -> None:
        seat = self.seats[index]
        if seat.last is None or seat.last.pid != status.pid:
            gpu = f", GPU {status.gpu}" if status.gpu else ""
            self.on_line(f"worker {index} has a place on {status.host}{gpu}")
        seat.last, seat.code, seat.n_deaths = status, status.code, 0
        self._relay(status)

    def _relay(self, status: SeatStatus) -> None:
        for line in status.lines:
            self.on_line(line)

    def _tell_who_waits(self) -> None:
        """Say once that seats have had no place for a while."""
        at_work, now = self._at_work(), time.monotonic()
        if self._is_done() or all(seat.last is not None for seat in at_work):
            self._all_placed_at, self._is_told = now, False
        elif not self._is_told and now - self._all_placed_at >= WAIT_SECONDS:
            self._is_told = True
            n_waiting = sum(seat.last is None for seat in at_work)
            text = f"{n_waiting} of {len(at_work)} workers wait for a place"
            self.on_line(f"{text} with {self.spec.seating.wanted} on the cluster")

    def _drop_surplus(self) -> None:
        """Take back seats that the cluster has no room for any more, lest they wait for it."""
        surplus = len(self.seats) - self._n_wanted()
        for index in sorted(self.seats, reverse=True):
            seat = self.seats[index]
            if surplus > 0 and self.spec.n_workers is None and seat.last is None:
                ray.kill(seat.actor, no_restart=True)
                del self.seats[index]
                surplus -= 1


class DetachedPool:
    """A pool that nobody waits for, in an actor of its own."""

    def __init__(self, spec: PoolSpec) -> None:
        """Keep the pool until it has nothing left to do."""
        with RayWorkerPool(spec=spec, is_detached=True) as pool:
            while pool.n_alive():
                time.sleep(LOOK_SECONDS)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def room(nodes: Sequence[Mapping[str, Any]], seating: Seating) -> int:
    """How many seats the nodes of a cluster have room for, were nothing else there."""
    n_seats = 0
    for node in nodes:
        if node["Alive"]:
            has = node["Resources"]
            by_cpu = int(has.get("CPU", 0) // seating.cpus)
            per_gpu = int(1 / seating.gpus + 1e-9) if seating.gpus else 0
            by_gpu = int(has.get("GPU", 0)) * per_gpu if seating.gpus else by_cpu
            n_seats += min(by_cpu, by_gpu)
    return n_seats


def check_room(spec: PoolSpec) -> tuple[int, int]:
    """See that a pool that follows the cluster has a place to begin with.

    Returns:
        How many seats it wants, and for how many the cluster has room, were nothing else there.

    Raises:
        InputError: no node has room for a single worker.
    """
    n_places = room(ray.nodes(), spec.seating)
    if spec.n_workers is None and not n_places:
        raise InputError(
            f"no node of the cluster has {spec.seating.wanted} for a worker: change "
            "--gpus-per-worker or --cpus-per-worker, or say by --workers N how many to wait for"
        )
    return n_places if spec.n_workers is None else spec.n_workers, n_places


def leave_running(spec: PoolSpec) -> None:
    """Start a pool that outlives this process.

    Raises:
        InputError: it is there already.
    """
    options = {"name": spec.key, "namespace": NAMESPACE, "lifetime": "detached"}
    try:
        ray.remote(DetachedPool).options(**options, num_cpus=0, max_restarts=-1).remote(spec)
    except ValueError:
        raise InputError(
            f"this cluster has workers of {spec.key} already: end them by --stop, with the same "
            "names, or go on without another --detach"
        ) from None


def left_running() -> list[str]:
    """The keys of the pools that were left running here."""
    names = ray.util.list_named_actors()  # theirs, and of their seats
    return sorted({name.partition(":")[0] for name in names})


def stop_running(key: str, on_status: Callable[[SeatStatus], None]) -> int:
    """End a pool that was left running: its trials are handed back; how many seats it had."""
    with suppress(ValueError):
        ray.kill(ray.get_actor(key, namespace=NAMESPACE), no_restart=True)
    names = [name for name in ray.util.list_named_actors() if name.startswith(f"{key}:")]
    found = []
    for name in names:
        with suppress(ValueError):  # gone a moment ago
            found.append(ray.get_actor(name, namespace=NAMESPACE))
    stop(found, on_status)
    return len(found)


def stop(actors: Sequence[Any], on_status: Callable[[SeatStatus], None]) -> None:
    """Let seats' workers hand their trials back; then end the seats, by force what is left.

    A seat that does not answer has no place, and nothing to hand back.
    """
    try:
        stops = {actor.status.remote(): actor.stop.remote() for actor in actors}
        placed = _hear_all(list(stops), ANSWER_SECONDS, on_status)
        _hear_all([stops[ref] for ref in placed], GRACE_SECONDS + 5, on_status)
    finally:
        for actor in actors:
            ray.kill(actor, no_restart=True)


def _hear_all(
    refs: list[Any], patience: float, on_status: Callable[[SeatStatus], None]
) -> list[Any]:
    """Take the answers that come in time; which of them did."""
    if not refs:
        return []
    ready, _ = ray.wait(refs, num_returns=len(refs), timeout=patience)
    for ref in ready:
        with suppress(RayActorError):
            on_status(ray.get(ref))
    return list(ready)
