"""A seat on some machine: one worker under its supervisor, looked at from afar.

Whoever placed the seat asks it now and then what its worker said and whether it ended. A seat that
dies takes its worker along, which hands its trials back: its standard input has ended.
"""

import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hpo.config.errors import HpoError
from hpo.files.store import ArtifactStore
from hpo.launch.workers import bury_worker
from hpo.launch.local import REPEATABLE
from hpo.storage.engine import open_storage
from hpo.worker.supervisor import (
    EXIT_RELEASED,
    GRACE_SECONDS,
    POLL_SECONDS,
    Death,
    Slot,
    Supervisor,
)

MAX_LINES = 1000


@dataclass(frozen=True, kw_only=True)
class Seating:
    """What a worker in a seat is given.

    Attributes:
        arguments: of `python -m hpo.worker`, the device aside.
        urls: of the storage, password included, and of the artifact store, as its environment.
        gpus: the part of a GPU that is the worker's; 0 for one on the processor.
        cpus: processor cores that are.
    """

    arguments: Sequence[str]
    urls: dict[str, str] = field(repr=False)
    gpus: float
    cpus: int

    @property
    def wanted(self) -> str:
        """What Ray is asked for, in words."""
        cores = f"{self.cpus} core{'s' if self.cpus > 1 else ''}"
        return f"{self.gpus:g} GPU and {cores}" if self.gpus else cores


@dataclass(frozen=True, kw_only=True)
class SeatStatus:
    """A seat at one moment.

    Attributes:
        pid: of the seat's own process.
        gpu: CUDA's name of the worker's; empty without one.
        workers: process ids of workers.
        lines: that workers logged since the last status.
        code: the worker's exit code when it ended by its own decision.
    """

    host: str
    pid: int
    gpu: str
    workers: tuple[int, ...]
    lines: tuple[str, ...]
    code: int | None


class Seat:
    """One worker, kept alive."""

    def __init__(
        self, seating: Seating, gpu: str, leave: Callable[[int], object] = os._exit
    ) -> None:
        """Start the worker on the GPU of that name, or on the processor where there is none.

        Args:
            seating: what it is given.
            gpu: the only one that it may see; empty for none.
            leave: called with the exit code of a worker that was released by a signal of somebody
                else's, to end the seat so that another is placed.
        """
        self._seating = seating
        self._gpu = gpu
        self._leave = leave
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._is_stopping = threading.Event()
        self._code: int | None = None
        self._supervisor = Supervisor(
            arguments=seating.arguments,
            environment=seating.urls,
            slots=[_slot(seating, gpu)],
            on_line=self._lines.append,
            on_death=self._bury,
        )
        self._supervisor.__enter__()
        self._watch = threading.Thread(target=self._keep, daemon=True)
        self._watch.start()

    def status(self) -> SeatStatus:
        """What there is to see; lines are handed out once."""
        lines = []
        with suppress(IndexError):
            while True:
                lines.append(self._lines.popleft())
        return SeatStatus(
            host=platform.node(),
            pid=os.getpid(),
            gpu=self._gpu,
            workers=tuple(child.process.pid for child in self._supervisor.children),
            lines=tuple(lines),
            code=self._code,
        )

    def stop(self) -> SeatStatus:
        """Let the worker hand its trials back, or kill it when it does not; what is left to see."""
        self._is_stopping.set()
        self._watch.join()
        self._supervisor.stop(GRACE_SECONDS)
        if self._code is None:
            self._code = self._supervisor.exit_code()
        return self.status()

    def _keep(self) -> None:
        while not self._is_stopping.is_set():
            if not self._supervisor.n_alive():
                code = self._supervisor.exit_code()
                if code == EXIT_RELEASED:
                    self._leave(code)
                self._code = code
                return
            time.sleep(POLL_SECONDS)

    def _bury(self, death: Death) -> None:
        urls = self._seating.urls
        try:
            storage = open_storage(urls["HPO_STORAGE"], create=False)
            store = ArtifactStore(urls["HPO_ARTIFACTS"], create=False)
        except HpoError as error:  # its leases run out by themselves
            self._lines.append(str(error))
            return
        bury_worker(storage, store, death)
        storage.close()


def _slot(seating: Seating, gpu: str) -> Slot:
    """Where there is no GPU that torch can use, the worker's own look at it decides."""
    n_threads = str(seating.cpus)
    environment = {
        "CUDA_VISIBLE_DEVICES": gpu,
        "OMP_NUM_THREADS": n_threads,
        "MKL_NUM_THREADS": n_threads,
        **REPEATABLE,
    }
    share = seating.gpus if seating.gpus else 1.0
    return Slot(device="auto" if gpu else "cpu", environment=environment, share=share)
