"""The heart: a thread that renews the leases of a worker's trials while the worker trains.

It survives database errors: it says so and tries again at the next beat. Trials whose lease turns
out to be lost are left in `lost` for the worker to drop.

Does not know: what a trial is doing.
"""

import logging
import threading
from types import TracebackType

from hpo.errors import StorageError
from hpo.study import Claim, Study

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 3


class Heart:
    """Renews leases in the background, from `__enter__` to `__exit__`."""

    def __init__(self, lease: float) -> None:
        """Beat often enough for leases of `lease` seconds."""
        self._lease = lease
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
        while not self._stop.wait(self._lease / BEATS_PER_LEASE):
            with self._lock:
                held = dict(self._held)
            for study in dict.fromkeys(held.values()):
                self._renew(study, [claim for claim, owner in held.items() if owner is study])

    def _renew(self, study: Study, claims: list[Claim]) -> None:
        try:
            lost = study.renew(claims, self._lease)
        except StorageError as error:
            log.warning("cannot renew leases, trying again: %s", error)
            return
        with self._lock:
            self._lost |= lost & self._held.keys()
