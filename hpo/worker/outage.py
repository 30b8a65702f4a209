"""Outages: what is out of reach for a while, when to try it again, and when to give up.

Tries are spread by a random backoff, so that many workers do not come back at the same moment.
"""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.config.errors import HpoError

log = logging.getLogger(__name__)

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0


class Outage:
    """Whether a thing is away, since when, and when it is worth another try."""

    def __init__(self, *passing: type[HpoError], patience: float) -> None:
        """Ride out errors of the kinds `passing`, for `patience` seconds without a success."""
        self._passing = passing
        self._patience = patience
        self._since: float | None = None
        self._backoff = FIRST_SECONDS
        self._next_try = 0.0

    @property
    def is_due(self) -> bool:
        """Whether to try now: always, unless the last try failed a moment ago."""
        return time.monotonic() >= self._next_try

    @contextmanager
    def ridden_out(self, *, proves: bool = True) -> Iterator[None]:
        """Let a block fail by the outage; the code behind it goes on.

        Args:
            proves: whether its success ends the outage; a database that can be read may refuse to
                be written.

        Raises:
            HpoError: the block's error, when patience is over.
        """
        try:
            yield
        except self._passing as error:
            self._note(error)
        else:
            if proves:
                self._end()

    def _note(self, error: HpoError) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
            log.warning("%s; going on without it, for up to %.0f s", error, self._patience)
        if (lasted := now - self._since) >= self._patience:
            raise type(error)(f"{error}; given up after {lasted:.0f} s") from error
        self._next_try = now + random.uniform(0.5, 1.0) * self._backoff
        self._backoff = min(2 * self._backoff, LONGEST_SECONDS)

    def _end(self) -> None:
        if self._since is not None:
            log.warning("in reach again after %.0f s", time.monotonic() - self._since)
        self._since, self._backoff, self._next_try = None, FIRST_SECONDS, 0.0
