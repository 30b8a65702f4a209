"""Waiting for other threads and processes."""

import time
from collections.abc import Callable

LIMIT_SECONDS = 120.0


def wait_until(condition: Callable[[], object], what: str = "met") -> None:
    """Poll until a condition is true.

    Raises:
        AssertionError: it is still false after `LIMIT_SECONDS`.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"after {LIMIT_SECONDS:g} s: not {what}"
        time.sleep(0.05)
