"""Processes that start their work at the same moment.

A fork server imports their modules once, which saves most of a second for each process that needs
torch.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
READY_SECONDS = 120.0
WORKER_MODULES = ("tests.support.crowd", "tests.support.workers", "pytest")
"""Imports of test processes."""


class Gate:
    """A barrier that processes wait at; their first argument."""

    def __init__(self) -> None:
        """Create a closed gate."""
        self._ready, self._go = CONTEXT.Semaphore(0), CONTEXT.Event()

    def wait(self) -> None:
        """Wait until the gate opens."""
        self._ready.release()
        self._go.wait()

    def open(self, processes: Sequence[ForkServerProcess]) -> None:
        """Open the gate once every process waits at it or is dead.

        Raises:
            TimeoutError: a process is still starting.
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
    n: int,
    target: Callable[..., None],
    *arguments: Any,
    preload: Sequence[str] = WORKER_MODULES,
) -> tuple[list[ForkServerProcess], Gate]:
    """Start processes that wait at a gate.

    Args:
        n: number of processes.
        target: each process calls `target(gate, *arguments)`.
        arguments: of every process.
        preload: modules that the fork server imports; only the first call in a program counts.
    """
    multiprocessing.set_forkserver_preload(list(preload))
    gate = Gate()
    processes = [
        CONTEXT.Process(target=target, args=(gate, *arguments), daemon=True) for _ in range(n)
    ]
    for process in processes:
        process.start()
    return processes, gate
