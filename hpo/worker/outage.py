"""Outages of the storage and of the artifact store: when to retry, and when to give up.

Retries use exponential backoff with jitter, so that many workers do not return at the same moment.
"""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.config.errors import HpoError

log = logging.getLogger(__name__)

_FIRST_SECONDS = 0.5
_MAX_SECONDS = 10.0


class Outage:
    """Tracks whether a service is away, since when, and when to retry."""

    def __init__(self, *transient: type[HpoError], patience: float) -> None:
        """Tolerate errors of the kinds `transient` for `patience` seconds without a success."""
        self._transient = transient
        self._patience = patience
        self._since: float | None = None
        self._backoff = _FIRST_SECONDS
        self._next_try = 0.0

    @property
    def is_due(self) -> bool:
        """Whether to try now: always, except during the backoff after a failure."""
        return time.monotonic() >= self._next_try

    @contextmanager
    def tolerated(self, *, ends: bool = True) -> Iterator[None]:
        """Suppress transient errors of a block.

        Args:
            ends: whether success ends the outage. A database that answers reads may still refuse
                writes.

        Raises:
            HpoError: the block's error, once patience is over.
        """
        try:
            yield
        except self._transient as error:
            self._note(error)
        else:
            if ends:
                self._end()

    def _note(self, error: HpoError) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
            log.warning("%s; going on without it, for up to %.0f s", error, self._patience)
        if (lasted := now - self._since) >= self._patience:
            raise type(error)(f"{error}; given up after {lasted:.0f} s") from error
        self._next_try = now + random.uniform(0.5, 1.0) * self._backoff
        self._backoff = min(2 * self._backoff, _MAX_SECONDS)

    def _end(self) -> None:
        if self._since is not None:
            log.warning("available again after %.0f s", time.monotonic() - self._since)
        self._since, self._backoff, self._next_try = None, _FIRST_SECONDS, 0.0
