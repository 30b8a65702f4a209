"""Idle workers: what a worker waits for, announced in the storage for `hpo workers`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from hpo.config.errors import StorageError, StudyNotFoundError
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.storage.waiting import ANNOUNCE_SECONDS, announce, withdraw
from hpo.study.study import Study
from hpo.worker.damaged import DamagedStudies

_MAX_NAMED = 3
"""Studies that the announcement names."""


class Idleness:
    """Announces that a worker waits, as soon as it does and then now and then.

    Errors of the storage are ignored: whoever lists the workers then misses this one.
    """

    def __init__(self, storage: Storage, identity: WorkerId, damaged: DamagedStudies) -> None:
        """Start at work."""
        self._storage = storage
        self._identity = identity
        self._damaged = damaged
        self._is_announced = False
        self._next = 0.0

    def begin(self, studies: Sequence[Study], *, has_store: bool) -> None:
        """Announce that the worker waits, if that is due.

        Args:
            studies: the studies for which it works.
            has_store: whether the artifact store is available.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + ANNOUNCE_SECONDS
        with suppress(StorageError):
            reason = "; ".join(self._reasons(studies)) or "a study with a trial to run"
            if not has_store:
                reason = "the artifact store, which is away"
            self._storage.write(lambda connection: announce(connection, self._identity, reason))
            self._is_announced = True

    def close(self) -> None:
        """Withdraw the announcement, if there is one: the worker has a trial, or ends."""
        if self._is_announced:
            with suppress(StorageError):
                self._storage.write(lambda connection: withdraw(connection, self._identity))
            self._is_announced, self._next = False, 0.0

    def _reasons(self, studies: Sequence[Study]) -> Iterator[str]:
        """What each study lacks."""
        for study in studies[:_MAX_NAMED]:
            if study not in self._damaged:
                with self._damaged.set_aside(study), suppress(StudyNotFoundError):
                    is_paused = study.progress().standing == "paused"
                    what = "is paused" if is_paused else "has no trial that no worker holds"
                    yield f"{study.name} {what}"
