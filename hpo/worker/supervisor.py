"""Supervisor: starts, watches, restarts and stops worker processes, one in each slot.

A worker that crashed or that a signal killed (out of memory, a driver fault) is reported to
`on_death` and started again. A worker that exited by itself is not.
"""

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hpo.worker.quota import Quota

log = logging.getLogger(__name__)

EXIT_RELEASED = 75
"""Exit code of a worker that was stopped and gave its trials back."""
CRASHED = 70
"""Exit code of a worker that raised an unexpected error."""
MAX_RESTARTS = 10
"""After this many deaths in a row, each soon after the start, a slot stays empty."""
_HEALTHY_SECONDS = 60.0
"""A worker that lived this long did not fail at its start."""
_MAX_LINES = 50
GRACE_SECONDS = 20.0
"""How long workers may take to give their trials back before they are killed."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for one worker.

    Attributes:
        device: a torch device.
        environment: additional environment variables of the worker.
        share: the fraction of the device that belongs to the slot.
    """

    device: str
    environment: dict[str, str]
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Death:
    """A worker that crashed or was killed.

    Attributes:
        nonce: distinguishes the process from others with the same process id.
        how: cause of death, in a few words.
        was_stopped: whether the supervisor killed it, because it did not end when it was asked to.
        lines: the last lines of its log.
    """

    pid: int
    nonce: str
    how: str
    lines: Sequence[str]
    was_stopped: bool = False


@dataclass(kw_only=True)
class Child:
    """A worker process in its slot."""

    slot: Slot
    process: subprocess.Popen[str]
    nonce: str
    started: float = field(default_factory=time.monotonic)
    n_restarts: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_LINES))
    relay: threading.Thread | None = None
    is_given_up: bool = False

    def is_dead(self) -> bool:
        """Whether it crashed or was killed."""
        code = self.process.poll()
        return code is not None and (code < 0 or code == CRASHED)

    def exit_code(self) -> int:
        """Its exit code. A dead worker that was not given up was about to be restarted."""
        if self.is_dead():
            return 1 if self.is_given_up else EXIT_RELEASED
        return self.process.returncode


def to_stderr(line: str) -> None:
    """Print a line of a worker's log."""
    print(line, file=sys.stderr, flush=True)


@dataclass(kw_only=True)
class Supervisor:
    """Worker processes on this machine.

    Attributes:
        arguments: of `python -m hpo.worker`, except for the device.
        environment: variables for every worker, including the storage's URL.
        slots: places for workers; one is started in each.
        quota: claims that the workers share.
        on_line: called with each line that a worker logs; prints to standard error by default.
        on_death: called with each worker that died, before its successor starts.
    """

    arguments: Sequence[str]
    environment: dict[str, str]
    slots: Sequence[Slot]
    quota: Quota = field(default_factory=Quota)
    on_line: Callable[[str], None] = to_stderr
    on_death: Callable[[Death], None] = lambda death: None
    children: list[Child] = field(default_factory=list)
    _lifeline: tuple[int, int] = (-1, -1)

    def __enter__(self) -> "Supervisor":
        """Start a worker in every slot."""
        self._lifeline = os.pipe()
        self.children = [self._spawn(slot) for slot in self.slots]
        return self

    def __exit__(self, *error: object) -> None:
        """Stop all workers."""
        try:
            self.stop(GRACE_SECONDS)
        finally:
            os.close(self._lifeline[0])

    def n_alive(self) -> int:
        """Restart dead workers; returns how many are running."""
        return sum(self._keep_alive(index) for index in range(len(self.children)))

    def _keep_alive(self, index: int) -> bool:
        """Restart the worker of a slot if it died; return whether the slot has a worker.

        A successor counts as running even if it is dead again already: the next call restarts it.
        """
        child = self.children[index]
        if child.process.poll() is None:
            return True
        if child.is_given_up or not child.is_dead():
            return False
        self._bury(child)
        if time.monotonic() - child.started >= _HEALTHY_SECONDS:
            child.n_restarts = 0
        if child.n_restarts == MAX_RESTARTS:
            child.is_given_up = True
            return False
        self.on_line("a worker died, starting another")
        self.children[index] = self._spawn(child.slot, child.n_restarts + 1)
        return True

    def wait(self) -> None:
        """Wait until no worker is left."""
        while self.n_alive():
            time.sleep(POLL_SECONDS)

    def stop(self, grace: float) -> None:
        """Ask every worker to give its trials back; after `grace` seconds or Ctrl-C, kill it.

        Closing their standard input asks them. A signal could be their second one, after one that
        was sent to all processes of a service, and would end them at once.
        """
        reader, writer = self._lifeline
        if writer >= 0:
            os.close(writer)
            self._lifeline = reader, -1
        deadline = time.monotonic() + grace
        try:
            for child in self.children:
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            stopped = [child for child in self.children if child.process.poll() is None]
            for child in self.children:
                child.process.kill()
                child.process.wait()
        for child in self.children:
            if child.is_dead():
                self._bury(child, was_stopped=child in stopped)

    def exit_code(self) -> int:
        """The most serious exit code: 2 invalid input, 1 failure, 75 released, 0 done."""
        codes = {child.exit_code() for child in self.children}
        if 2 in codes:
            return 2
        if codes - {0, EXIT_RELEASED}:
            return 1
        return max(codes, default=EXIT_RELEASED)

    def _bury(self, child: Child, *, was_stopped: bool = False) -> None:
        """Report a dead worker, with the last lines of its log."""
        code = child.process.returncode
        how = "crashed" if code == CRASHED else f"killed by {_name_of(-code)}"
        if child.relay is not None:
            child.relay.join(1.0)
        self.on_death(
            Death(
                pid=child.process.pid,
                nonce=child.nonce,
                how=how,
                lines=tuple(child.lines),
                was_stopped=was_stopped,
            )
        )

    def _spawn(self, slot: Slot, n_restarts: int = 0) -> Child:
        nonce = secrets.token_hex(4)
        command = [sys.executable, "-P", "-m", "hpo.worker", *self.arguments]
        command += ["--device", slot.device, "--share", str(slot.share), "--nonce", nonce]
        command += ["--lifeline"]
        descriptors = self.quota.pipe or ()
        if descriptors:
            command += ["--quota", *map(str, descriptors)]
        process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment, **slot.environment},
            stdin=self._lifeline[0],  # ends with this process, however it dies
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C reaches only this process
            text=True,
            errors="replace",
        )
        child = Child(slot=slot, process=process, nonce=nonce, n_restarts=n_restarts)
        child.relay = threading.Thread(target=self._pass_on, args=(child,), daemon=True)
        child.relay.start()
        return child

    def _pass_on(self, child: Child) -> None:
        assert child.process.stderr is not None
        with child.process.stderr as lines:
            for line in lines:
                child.lines.append(line.rstrip())
                self.on_line(line.rstrip())


def _name_of(number: int) -> str:
    """Name of a signal; real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
