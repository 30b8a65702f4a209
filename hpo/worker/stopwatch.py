"""A stopwatch that says where a worker's time went."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by what was done in them."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the block's wall time under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def __str__(self) -> str:
        """Shares of the time that was counted, largest first."""
        total = sum(self.seconds.values()) or 1.0
        return ", ".join(
            f"{name} {s / total:.1%}"
            for name, s in sorted(self.seconds.items(), key=lambda item: -item[1])
        )
