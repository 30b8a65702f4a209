"""The heartbeat: a thread that renews the leases of a worker's trials while the worker trains.

It survives database errors: it says so and tries again at the next beat. Trials whose lease turns
out to be lost are left in `lost` for the worker to drop. A slice of training that does not end in
time hangs in a call that will not return, in a driver perhaps: the heartbeat kills its process,
whose trials then go to others.
"""

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from hpo.config.errors import StorageError
from hpo.storage.leases import Lease
from hpo.study.study import Study

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
JOIN_SECONDS = 2.0
TRIES_PER_BEAT = 4
"""A beat that failed is tried again sooner: when an outage is over, a sign of life is urgent."""


class Heartbeat:
    """Renews leases in the background, from `__enter__` to `__exit__`."""

    def __init__(self, lease: float, hang: float) -> None:
        """Beat often enough for leases of `lease` seconds; `hang` seconds are no progress."""
        self._lease = lease
        self._hang = hang
        self._entered: float | None = None
        self._held: dict[str, tuple[Lease, Study]] = {}
        self._lost: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        """Start beating."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, after the renewal in progress if that ends soon."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take a block that does not end in time for a hanging one."""
        self._entered = time.monotonic()
        try:
            yield
        finally:
            self._entered = None

    def hold(self, lease: Lease, study: Study) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held[lease.token] = lease, study

    def drop(self, lease: Lease) -> None:
        """Renew this lease no more."""
        with self._lock:
            self._held.pop(lease.token, None)
            self._lost.discard(lease.token)

    def lost(self) -> set[str]:
        """Tokens of the leases that were taken away."""
        with self._lock:
            return set(self._lost)

    def _beat(self) -> None:
        beat = min(self._lease / BEATS_PER_LEASE, self._hang)
        pause = random.uniform(0.5, 1.0) * beat  # lest those that started together beat together
        while not self._stop.wait(pause):
            self._watch()
            with self._lock:
                held = list(self._held.values())
            is_known = [
                self._renew(study, [lease for lease, owner in held if owner is study])
                for study in {study for _, study in held}
            ]
            pause = beat if all(is_known) else beat / TRIES_PER_BEAT

    def _watch(self) -> None:
        """Kill a process that hangs: no exception reaches a thread that is stuck in a call."""
        entered = self._entered
        if entered is not None and (stuck := time.monotonic() - entered) >= self._hang:
            with self._lock:
                numbers = ", ".join(str(lease.number) for lease, _ in self._held.values())
            log.error("no progress for %.0f s, killed; trials in hand: %s", stuck, numbers)
            os.kill(os.getpid(), signal.SIGKILL)

    def _renew(self, study: Study, held: list[Lease]) -> bool:
        """Renew leases of a study; whether the storage answered."""
        try:
            lost = study.renew(held, self._lease)
        except StorageError as error:
            log.debug("cannot renew leases, trying again: %s", error)
            return False
        except Exception:  # whatever it is, a thread that ended would cost live trials
            log.exception("cannot renew leases, trying again")
            return False
        with self._lock:
            self._lost |= lost & self._held.keys()
        return True
