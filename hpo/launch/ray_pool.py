"""A pool of workers on a Ray cluster, one actor each, which Ray places and the pool polls.

Ray gives each actor its device, and restarts it, on another node if need be, when its process or
its node dies. Unless the number of workers is fixed, it follows the size of the cluster. All state
is in the study's storage: if the cluster is lost, the same pool continues on another cluster.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from hpo.config.errors import InputError, first_line
from hpo.launch.ray_actor import ActorStatus, WorkerActor, WorkerSpec
from hpo.launch.ray_cluster import NAMESPACE
from hpo.worker.supervisor import EXIT_RELEASED, GRACE_SECONDS, to_stderr

_POLL_SECONDS = 1.0
_MAX_DEATHS = 10
"""Deaths in a row of an actor without a status between them, after which the pool drops it."""
_STATUS_SECONDS = 5.0
WAIT_SECONDS = 15.0
"""Time after which workers that wait for resources are reported."""
_RUNTIME_ENV = {"env_vars": {"RAY_kill_child_processes_on_worker_exit": "0"}}
"""Otherwise Ray would kill a worker together with its actor, before it releases its trials."""


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """A pool of workers on a cluster.

    Attributes:
        key: name of the pool on its cluster, and in messages.
        worker: specification of each worker.
        n_workers: number of workers; None follows the size of the cluster.
        is_finite: whether the pool ends when its workers find no more work.
    """

    key: str
    worker: WorkerSpec
    n_workers: int | None
    is_finite: bool


@dataclass(kw_only=True)
class ActorRecord:
    """State of an actor.

    Attributes:
        last: its last status; None while the actor does not respond.
        pending: reference to the status that was requested from Ray.
        code: exit code of the worker, if it ended by itself.
        n_deaths: deaths in a row without a status between them.
    """

    actor: Any
    last: ActorStatus | None = None
    pending: Any = None
    code: int | None = None
    n_deaths: int = 0


@dataclass(kw_only=True)
class RayWorkerPool:
    """Workers on the cluster that this process is connected to.

    Attributes:
        spec: the pool.
        is_detached: whether the actors are named and outlive this process.
        on_line: called with each line that workers log, and with messages about their actors.
        is_head_responding: whether the cluster can place actors now; raises when it is lost.
        records: the actors by the number of their worker.
    """

    spec: PoolSpec
    is_detached: bool = False
    on_line: Callable[[str], None] = to_stderr
    is_head_responding: Callable[[], bool] = lambda: True
    records: dict[int, ActorRecord] = field(default_factory=dict)
    _all_placed_at: float = field(default_factory=time.monotonic)
    _is_wait_reported: bool = False

    def __enter__(self) -> "RayWorkerPool":
        """Create the first actors."""
        self._create_missing()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop all actors."""
        _stop([record.actor for record in self.records.values()], self._relay)

    def n_alive(self) -> int:
        """Replace dead actors, and return how many work or wait to be placed."""
        if is_responding := self.is_head_responding():
            self._create_missing()
        self._poll()
        if is_responding:
            self._remove_surplus()
        self._report_waiting()
        active = self._active()
        if self._is_done():
            return sum(record.last is not None for record in active)
        return len(active) or (not self.records)

    def exit_code(self) -> int:
        """Return the most serious of the workers' codes.

        From the most serious: 2 wrong input, 1 failed, 0 done, 75 released.
        """
        codes = {record.code for record in self.records.values()}
        return next((code for code in (2, 1, 0) if code in codes), EXIT_RELEASED)

    def _active(self) -> list[ActorRecord]:
        return [record for record in self.records.values() if record.code is None]

    def _is_done(self) -> bool:
        """Whether a worker found no more work, so that no further actor is needed."""
        return self.spec.is_finite and any(record.code == 0 for record in self.records.values())

    def _n_wanted(self) -> int:
        if self.spec.n_workers is not None:
            return self.spec.n_workers
        return capacity(ray.nodes(), self.spec.worker)

    def _create_missing(self) -> None:
        if not self._is_done():
            for index in range(self._n_wanted()):
                if index not in self.records:
                    self.records[index] = ActorRecord(actor=self._create_actor(index))

    def _create_actor(self, index: int) -> Any:
        worker = self.spec.worker
        options: dict[str, Any] = {
            "num_gpus": worker.gpus,
            "num_cpus": worker.cpus,
            "max_restarts": -1,
            "max_concurrency": 2,  # it can return its status while it stops
            "runtime_env": _RUNTIME_ENV,
        }
        if self.is_detached:
            options |= {"name": f"{self.spec.key}:{index}", "namespace": NAMESPACE}
            options |= {"lifetime": "detached", "get_if_exists": True}
        return ray.remote(WorkerActor).options(**options).remote(worker)

    def _poll(self) -> None:
        pending = {}
        for index, record in self.records.items():
            if record.code is None:
                record.pending = record.pending or record.actor.status.remote()
                pending[record.pending] = index
        if not pending:
            return
        ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=_POLL_SECONDS)
        for ref in ready:
            self._receive(pending[ref], ref)

    def _receive(self, index: int, ref: Any) -> None:
        """Take an actor's status, or find that it is unavailable or dead."""
        record = self.records[index]
        record.pending = None
        try:
            status: ActorStatus = ray.get(ref)
        except ActorUnavailableError:
            self._mark_lost(index, "Ray restarts it")
        except RayActorError as error:  # Ray does not restart it: it was killed or cannot start
            self._mark_lost(index, "the pool replaces it")
            record.n_deaths += 1
            if record.n_deaths < _MAX_DEATHS:
                record.actor = self._create_actor(index)
                return
            record.code = 1
            self.on_line(f"worker {index} failed {_MAX_DEATHS} times: {first_line(error)}")
        else:
            if record.last is None or record.last.pid != status.pid:
                gpu = f", GPU {status.gpu}" if status.gpu else ""
                self.on_line(f"worker {index} runs on {status.host}{gpu}")
            record.last, record.code, record.n_deaths = status, status.code, 0
            self._relay(status)

    def _mark_lost(self, index: int, then: str) -> None:
        if self.records[index].last is not None:
            self.on_line(f"worker {index} lost its process; {then}")
        self.records[index].last = None

    def _relay(self, status: ActorStatus) -> None:
        for line in status.lines:
            self.on_line(line)

    def _report_waiting(self) -> None:
        """Report once that workers have waited for resources for a while."""
        active, now = self._active(), time.monotonic()
        n_waiting = sum(record.last is None for record in active)
        if self._is_done() or not n_waiting:
            self._all_placed_at, self._is_wait_reported = now, False
        elif not self._is_wait_reported and now - self._all_placed_at >= WAIT_SECONDS:
            self._is_wait_reported = True
            self.on_line(
                f"{n_waiting} of {len(active)} workers wait for {self.spec.worker.resources} each "
                "on the cluster"
            )

    def _remove_surplus(self) -> None:
        """Remove waiting actors that the cluster no longer has room for."""
        surplus = len(self.records) - self._n_wanted()
        if self.spec.n_workers is None and surplus > 0:
            waiting = [index for index, record in self.records.items() if record.last is None]
            for index in sorted(waiting, reverse=True)[:surplus]:
                ray.kill(self.records.pop(index).actor, no_restart=True)


class DetachedPool:
    """An actor that keeps a pool after its launcher has exited."""

    def __init__(self, spec: PoolSpec) -> None:
        """Keep the pool until it has no more work."""
        with RayWorkerPool(spec=spec, is_detached=True) as pool:
            while pool.n_alive():
                time.sleep(_POLL_SECONDS)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def capacity(nodes: Sequence[Mapping[str, Any]], worker: WorkerSpec) -> int:
    """Return how many workers the nodes of a cluster could hold if they were idle."""
    n_workers = 0
    for node in nodes:
        if node["Alive"]:
            has = node["Resources"]
            by_cpu = int(has.get("CPU", 0) // worker.cpus)
            per_gpu = int(1 / worker.gpus + 1e-9) if worker.gpus else 0
            by_gpu = int(has.get("GPU", 0)) * per_gpu if worker.gpus else by_cpu
            n_workers += min(by_cpu, by_gpu)
    return n_workers


def check_capacity(spec: PoolSpec) -> tuple[int, int]:
    """Check that the cluster can hold a worker, if the pool follows its size.

    Returns:
        The number of workers that the pool wants, and the number that the cluster could hold.

    Raises:
        InputError: no node can hold a worker.
    """
    n_places = capacity(ray.nodes(), spec.worker)
    if spec.n_workers is None and not n_places:
        raise InputError(
            f"no node of the cluster has {spec.worker.resources} for a worker: change "
            "--gpus-per-worker or --cpus-per-worker, or set with --workers N how many to wait for"
        )
    return n_places if spec.n_workers is None else spec.n_workers, n_places


def start_detached(spec: PoolSpec) -> None:
    """Start a pool that outlives this process.

    Raises:
        InputError: the pool exists already.
    """
    options = {"name": spec.key, "namespace": NAMESPACE, "lifetime": "detached"}
    try:
        ray.remote(DetachedPool).options(**options, num_cpus=0, max_restarts=-1).remote(spec)
    except ValueError:
        raise InputError(
            f"this cluster has workers of {spec.key} already: end them with --stop and the same "
            "names, or continue without another --detach"
        ) from None


def list_detached() -> list[str]:
    """Return the keys of the detached pools on the cluster."""
    names = ray.util.list_named_actors()  # pools, and their workers as KEY:NUMBER
    return sorted({name.partition(":")[0] for name in names})


def stop_detached(key: str, on_status: Callable[[ActorStatus], None]) -> int:
    """Stop a detached pool, and return the number of its workers; they release their trials."""
    with suppress(ValueError):
        ray.kill(ray.get_actor(key, namespace=NAMESPACE), no_restart=True)
    actors = []
    for name in ray.util.list_named_actors():
        if name.startswith(f"{key}:"):
            with suppress(ValueError):  # it ended in the meantime
                actors.append(ray.get_actor(name, namespace=NAMESPACE))
    _stop(actors, on_status)
    return len(actors)


def _stop(actors: Sequence[Any], on_status: Callable[[ActorStatus], None]) -> None:
    """Let the workers release their trials, then kill the actors.

    An actor that does not respond has no worker, and nothing to release.
    """
    try:
        stops = {actor.status.remote(): actor.stop.remote() for actor in actors}
        placed = _receive_all(list(stops), _STATUS_SECONDS, on_status)
        _receive_all([stops[ref] for ref in placed], GRACE_SECONDS + 5, on_status)
    finally:
        for actor in actors:
            ray.kill(actor, no_restart=True)


def _receive_all(
    refs: list[Any], timeout: float, on_status: Callable[[ActorStatus], None]
) -> list[Any]:
    """Pass on the statuses that arrive in time, and return their references."""
    if not refs:
        return []
    ready, _ = ray.wait(refs, num_returns=len(refs), timeout=timeout)
    for ref in ready:
        with suppress(RayActorError):
            on_status(ray.get(ref))
    return list(ready)
