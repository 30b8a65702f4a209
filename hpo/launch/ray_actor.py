"""The actor that runs one worker on a Ray cluster, under a supervisor.

The pool polls its status. When the actor's process dies, its worker's standard input ends, and the
worker releases its trials.
"""

import os
import platform
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from hpo.config.errors import HpoError
from hpo.files.store import ArtifactStore
from hpo.launch.local import REPRODUCIBLE
from hpo.launch.workers import release_trials
from hpo.storage.engine import open_storage
from hpo.worker.supervisor import (
    EXIT_RELEASED,
    GRACE_SECONDS,
    POLL_SECONDS,
    Death,
    Slot,
    Supervisor,
)

_MAX_LINES = 1000


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """A worker on a Ray cluster.

    Attributes:
        arguments: arguments of `python -m hpo.worker`, without the device.
        environment: URLs of the storage and the artifact store, which may hold passwords.
        gpus: share of a GPU; 0 for a worker on the processor.
        cpus: number of processor cores.
    """

    arguments: Sequence[str]
    environment: dict[str, str] = field(repr=False)
    gpus: float
    cpus: int

    @property
    def resources(self) -> str:
        """The resources to request from Ray, in words."""
        cores = f"{self.cpus} core{'s' if self.cpus > 1 else ''}"
        return f"{self.gpus:g} GPU and {cores}" if self.gpus else cores

    def slot(self) -> Slot:
        """Return the slot in this process, on the GPU that Ray assigned to it.

        The variable CUDA_VISIBLE_DEVICES names that GPU. Ray does not set it for actors that
        request no GPU. If torch cannot use the GPU, the worker trains on the processor.
        """
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") if self.gpus else ""
        n_threads = str(self.cpus)
        environment = {
            "CUDA_VISIBLE_DEVICES": gpu,
            "OMP_NUM_THREADS": n_threads,
            "MKL_NUM_THREADS": n_threads,
            **REPRODUCIBLE,
        }
        device = "auto" if gpu else "cpu"
        return Slot(device=device, environment=environment, share=self.gpus or 1.0)


@dataclass(frozen=True, kw_only=True)
class ActorStatus:
    """Status of an actor.

    Attributes:
        pid: process id of the actor.
        gpu: CUDA's name of its GPU; empty without one.
        lines: lines that the worker logged since the last status.
        code: exit code of the worker, if it ended by itself.
    """

    host: str
    pid: int
    gpu: str
    lines: tuple[str, ...]
    code: int | None


class WorkerActor:
    """Keeps one worker alive."""

    def __init__(self, spec: WorkerSpec, end: Callable[[int], object] = os._exit) -> None:
        """Start the worker.

        Args:
            spec: the worker.
            end: called with the exit code of a worker that a signal from elsewhere released. It
                ends this process, so that Ray starts the actor again.
        """
        self._spec = spec
        self._slot = spec.slot()
        self._end = end
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._is_stopping = threading.Event()
        self._code: int | None = None
        self._supervisor = Supervisor(
            arguments=spec.arguments,
            environment=spec.environment,
            slots=[self._slot],
            on_line=self._lines.append,
            on_death=self._release_trials,
        )
        self._supervisor.__enter__()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)
        self._thread.start()

    def status(self) -> ActorStatus:
        """Return the status; each line is returned once."""
        lines = []
        with suppress(IndexError):
            while True:
                lines.append(self._lines.popleft())
        return ActorStatus(
            host=platform.node(),
            pid=os.getpid(),
            gpu=self._slot.environment["CUDA_VISIBLE_DEVICES"],
            lines=tuple(lines),
            code=self._code,
        )

    def stop(self) -> ActorStatus:
        """Let the worker release its trials, kill it if it does not, and return the last status."""
        self._is_stopping.set()
        self._thread.join()
        return self.status()

    def _keep_alive(self) -> None:
        while self._supervisor.n_alive() and not self._is_stopping.wait(POLL_SECONDS):
            pass
        self._supervisor.stop(GRACE_SECONDS)
        code = self._supervisor.exit_code()
        if code == EXIT_RELEASED and not self._is_stopping.is_set():
            self._end(code)
        self._code = code

    def _release_trials(self, death: Death) -> None:
        environment = self._spec.environment
        try:
            with closing(open_storage(environment["HPO_STORAGE"], create=False)) as storage:
                store = ArtifactStore(environment["HPO_ARTIFACTS"], create=False)
                release_trials(storage, store, death)
        except HpoError as error:  # the trials come back when their leases expire
            self._lines.append(str(error))
