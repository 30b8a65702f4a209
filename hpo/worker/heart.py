"""The heart: a thread that renews the leases of a worker's trials while the worker trains.

It survives database errors: it says so and tries again at the next beat. Trials whose lease turns
out to be lost are left in `lost` for the worker to drop. A worker that shows no progress for too
long hangs in a call that will not return, in a driver perhaps: the heart kills its process, whose
trials then go to others.

Does not know: what a trial is doing.
"""

import logging
import os
import signal
import threading
import time
from types import TracebackType

from hpo.errors import StorageError
from hpo.study import Claim, Study

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
TRIES_PER_BEAT = 4
"""A beat that failed is tried again sooner: when an outage is over, a sign of life is urgent."""


class Heart:
    """Renews leases in the background, from `__enter__` to `__exit__`."""

    def __init__(self, lease: float, hang: float) -> None:
        """Beat often enough for leases of `lease` seconds; `hang` seconds are no progress."""
        self._lease = lease
        self._hang = hang
        self._progressed = time.monotonic()
        self._held: dict[Claim, Study] = {}
        self._lost: set[Claim] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> "Heart":
        """Start beating."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, after the renewal in progress."""
        self._stop.set()
        self._thread.join()

    def progress(self) -> None:
        """Take note that the worker is not stuck."""
        self._progressed = time.monotonic()

    def hold(self, claim: Claim, study: Study) -> None:
        """Renew this claim's lease from now on."""
        with self._lock:
            self._held[claim] = study

    def drop(self, claim: Claim) -> None:
        """Renew this claim's lease no more."""
        with self._lock:
            self._held.pop(claim, None)
            self._lost.discard(claim)

    def lost(self) -> set[Claim]:
        """Claims that belong to another worker now."""
        with self._lock:
            return set(self._lost)

    def _beat(self) -> None:
        beat = pause = self._lease / BEATS_PER_LEASE
        while not self._stop.wait(pause):
            self._watch()
            with self._lock:
                held = dict(self._held)
            is_known = [
                self._renew(study, [claim for claim, owner in held.items() if owner is study])
                for study in dict.fromkeys(held.values())
            ]
            pause = beat if all(is_known) else beat / TRIES_PER_BEAT

    def _watch(self) -> None:
        """Kill a process that hangs: no exception reaches a thread that is stuck in a call."""
        if (stuck := time.monotonic() - self._progressed) >= self._hang:
            with self._lock:
                numbers = ", ".join(str(claim.number) for claim in self._held) or "none"
            log.error("no progress for %.0f s, killed; trials in hand: %s", stuck, numbers)
            os.kill(os.getpid(), signal.SIGKILL)

    def _renew(self, study: Study, claims: list[Claim]) -> bool:
        """Renew leases of a study; whether the storage answered."""
        try:
            lost = study.renew(claims, self._lease)
        except StorageError as error:
            log.debug("cannot renew leases, trying again: %s", error)
            return False
        with self._lock:
            self._lost |= lost & self._held.keys()
        return True
