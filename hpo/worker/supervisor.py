"""The supervisor: one worker process a slot, started, watched, restarted and stopped.

A worker that a signal killed (out of memory, a fault in a driver) is started again; its trials come
back by their leases. A worker that ended by its own decision is not.

Does not know: studies, SQL, tensors.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from hpo.worker.quota import Quota

log = logging.getLogger(__name__)

MAX_RESTARTS = 3
GRACE_SECONDS = 20.0
"""How long workers have to hand their trials back before they are killed."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for one worker: its device as torch names it, and the environment it sees."""

    device: str
    environment: dict[str, str]


@dataclass(kw_only=True)
class Child:
    """A worker process in its slot."""

    slot: Slot
    process: subprocess.Popen[str]
    n_restarts: int = 0


@dataclass(kw_only=True)
class Supervisor:
    """Worker processes on this machine.

    Attributes:
        arguments: what `python -m hpo.worker` is given, the device aside.
        environment: variables for every worker; the storage's URL among them.
        slots: one worker is started in each.
        quota: claims that the workers share.
        on_line: takes each line that a worker logs; None lets them write to standard error.
    """

    arguments: Sequence[str]
    environment: dict[str, str]
    slots: Sequence[Slot]
    quota: Quota = field(default_factory=Quota)
    on_line: Callable[[str], None] | None = None
    children: list[Child] = field(default_factory=list)
    _lifeline: tuple[int, int] = (-1, -1)

    def __enter__(self) -> "Supervisor":
        """Start a worker in every slot."""
        self._lifeline = os.pipe()
        self.children = [Child(slot=slot, process=self._spawn(slot)) for slot in self.slots]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave no worker behind."""
        self.stop(GRACE_SECONDS)
        for end in self._lifeline:
            os.close(end)

    def n_alive(self) -> int:
        """Start killed workers again; how many are at work."""
        for child in self.children:
            code = child.process.poll()
            if code is not None and code < 0 and child.n_restarts < MAX_RESTARTS:
                name = signal.Signals(-code).name
                log.warning("a worker was killed by %s, starting another", name)
                child.process = self._spawn(child.slot)
                child.n_restarts += 1
        return sum(child.process.poll() is None for child in self.children)

    def wait(self) -> None:
        """Return when no worker is left."""
        while self.n_alive():
            time.sleep(POLL_SECONDS)

    def stop(self, grace: float) -> None:
        """Ask every worker to hand its trials back; after `grace` seconds, kill."""
        for child in self.children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + grace
        for child in self.children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def exit_code(self) -> int:
        """The most serious of the workers' codes: 2 wrong input, 1 failed, 75 released, 0 done."""
        codes = {child.process.returncode for child in self.children}
        if 2 in codes:
            return 2
        if codes - {0, 75}:
            return 1
        return max(codes)

    def _spawn(self, slot: Slot) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "hpo.worker", *self.arguments]
        command += ["--device", slot.device, "--lifeline"]
        descriptors = self.quota.pipe or ()
        if descriptors:
            command += ["--quota", ",".join(map(str, descriptors))]
        process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment, **slot.environment},
            stdin=self._lifeline[0],  # ends when this process does, however it dies
            stderr=subprocess.PIPE if self.on_line else None,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C reaches the workers through this process alone
            text=True,
        )
        if self.on_line:
            threading.Thread(target=self._relay, args=(process,), daemon=True).start()
        return process

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        assert self.on_line is not None
        with process.stderr as lines:
            for line in lines:
                self.on_line(line.rstrip())
