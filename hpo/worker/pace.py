"""The pace of reports: how often what trials measured goes to the storage.

With many small trials at once an epoch takes milliseconds, and a report of every slice's epochs
would cost more time than it is worth. Reports wait, so that sending them takes a few per cent of
the time whatever the storage, and never for long: until then a trial trains on that the pruner
would have ended. How often reports are sent changes nothing in what the pruner decides.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

REST = 20.0
"""How many times as long as the last sending took is waited until the next."""
LONGEST_SECONDS = 5.0


class Pace:
    """When the next reports are due."""

    def __init__(self) -> None:
        """They are due at once."""
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether to send now."""
        return time.monotonic() >= self._next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Send in this block; how long it takes decides when to send again."""
        start = time.monotonic()
        yield
        end = time.monotonic()
        self._next = end + rest(end - start)


def rest(seconds: float) -> float:
    """How long to leave the storage alone that had to be waited for so long."""
    return min(REST * seconds, LONGEST_SECONDS)
