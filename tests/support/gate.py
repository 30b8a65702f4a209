"""A gate at which many processes wait for one another, so that all begin at the same moment.

They are forked from one process that has imported what they need, once for all of them: it shares
its memory with them, and where that is torch, it saves most of a second each.

Does not know: what they do. No torch here.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
READY_SECONDS = 120.0


class Gate:
    """Where processes wait; their first argument."""

    def __init__(self) -> None:
        """Be closed."""
        self._ready, self._go = CONTEXT.Semaphore(0), CONTEXT.Event()

    def wait(self) -> None:
        """Be ready, and wait until it opens."""
        self._ready.release()
        self._go.wait()

    def open(self, processes: Sequence[ForkServerProcess]) -> None:
        """Let all go at once, when every process is at the gate or dead.

        Raises:
            TimeoutError: some are neither.
        """
        n_ready, deadline = 0, time.monotonic() + READY_SECONDS
        while n_ready + sum(not process.is_alive() for process in processes) < len(processes):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{n_ready} of {len(processes)} processes were ready in {READY_SECONDS:g} s"
                )
            n_ready += self._ready.acquire(timeout=0.1)
        self._go.set()


def gather(
    n: int, target: Callable[..., None], *arguments: Any, preload: Sequence[str]
) -> tuple[list[ForkServerProcess], Gate]:
    """Start processes that wait at a gate.

    Args:
        n: how many.
        target: what each runs: `target(gate, *arguments)`.
        arguments: for all of them.
        preload: modules that they share in memory; those of the program's first call.
    """
    multiprocessing.set_forkserver_preload(list(preload))
    gate = Gate()
    processes = [
        CONTEXT.Process(target=target, args=(gate, *arguments), daemon=True) for _ in range(n)
    ]
    for process in processes:
        process.start()
    return processes, gate
