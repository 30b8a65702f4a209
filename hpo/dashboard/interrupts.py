"""Ctrl-C as something to wait for.

As a KeyboardInterrupt it may be raised within a lock's own code, which then keeps the lock or loses
a wake-up, and a server whose queue that befell never stops.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """What has not happened yet: `wait` for it, or let it happen by `come`."""

    def __init__(self) -> None:
        """Have a pipe, which a signal handler may write to wherever it was called."""
        self._heard, self._said = os.pipe()

    def come(self) -> None:
        """Let `wait` return."""
        os.write(self._said, b".")

    def wait(self) -> None:
        """Return once it came."""
        os.read(self._heard, 1)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._heard)
        os.close(self._said)


@contextmanager
def ctrl_c() -> Iterator[Interrupt]:
    """The next Ctrl-C, in the main thread; one after it raises KeyboardInterrupt as ever."""
    interrupt = Interrupt()

    def handle(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        interrupt.come()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
        interrupt.close()
