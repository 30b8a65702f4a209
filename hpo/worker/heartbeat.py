"""Heartbeat: a thread that renews the leases of a worker's trials while the worker trains.

It survives database errors: it logs them and retries. The worker drops trials whose lease is in
`lost()`. A slice of training that exceeds its time limit hangs, perhaps in a driver call: the
heartbeat then kills the process, and other workers take up its trials.
"""

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.config.errors import StorageError
from hpo.storage.leases import Lease
from hpo.study.study import Study

log = logging.getLogger(__name__)

_BEATS_PER_LEASE = 3
_JOIN_SECONDS = 2.0
_RETRIES_PER_BEAT = 4
"""A failed renewal is retried sooner: it is urgent once an outage is over."""


class Heartbeat:
    """Renews leases in the background, from `__enter__` to `__exit__`."""

    def __init__(self, lease: float, hang: float) -> None:
        """Renew leases of `lease` seconds, and kill the process after `hang` seconds of hanging."""
        self._lease = lease
        self._hang = hang
        self._entered: float | None = None
        self._held: dict[str, tuple[Lease, Study]] = {}
        self._lost: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the thread, and wait briefly for a renewal in progress."""
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Kill the process if the block hangs."""
        self._entered = time.monotonic()
        try:
            yield
        finally:
            self._entered = None

    def seconds_in_slice(self) -> float:
        """How long the slice in progress has taken; 0 between slices. Any thread may call this."""
        entered = self._entered
        return 0.0 if entered is None else time.monotonic() - entered

    def release_all(self) -> None:
        """Give all trials back beside a slice that does not end; the process must end then.

        Raises:
            StorageError: the storage cannot be written.
        """
        with self._lock:
            held = list(self._held.values())
        for study in {study for _, study in held}:
            study.release(*(lease for lease, owner in held if owner is study))

    def hold(self, lease: Lease, study: Study) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held[lease.token] = lease, study

    def drop(self, lease: Lease) -> None:
        """Stop renewing this lease."""
        with self._lock:
            self._held.pop(lease.token, None)
            self._lost.discard(lease.token)

    def lost(self) -> set[str]:
        """Tokens of the leases that this worker has lost."""
        with self._lock:
            return set(self._lost)

    def _beat(self) -> None:
        interval = min(self._lease / _BEATS_PER_LEASE, self._hang)
        pause = random.uniform(0.5, 1.0) * interval  # workers that start together spread out
        while not self._stop.wait(pause):
            self._kill_if_hanging()
            with self._lock:
                held = list(self._held.values())
            renewed = [
                self._renew(study, [lease for lease, owner in held if owner is study])
                for study in {study for _, study in held}
            ]
            pause = interval if all(renewed) else interval / _RETRIES_PER_BEAT

    def _kill_if_hanging(self) -> None:
        """Kill a hanging process: an exception cannot interrupt a thread stuck in a call."""
        if (stuck := self.seconds_in_slice()) >= self._hang:
            with self._lock:
                numbers = ", ".join(str(lease.number) for lease, _ in self._held.values())
            log.error("no progress for %.0f s, killed; trials in progress: %s", stuck, numbers)
            os.kill(os.getpid(), signal.SIGKILL)

    def _renew(self, study: Study, held: list[Lease]) -> bool:
        """Renew leases of a study; whether the storage answered."""
        try:
            lost = study.renew(held, self._lease)
        except StorageError as error:
            log.debug("cannot renew leases, retrying: %s", error)
            return False
        except Exception:  # if the thread ended, live trials would be lost
            log.exception("cannot renew leases, retrying")
            return False
        with self._lock:
            self._lost |= lost & self._held.keys()
        return True
