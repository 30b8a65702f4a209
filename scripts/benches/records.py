"""What the processes of a soak record: the times of their calls and their memory."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

PAGE = os.sysconf("SC_PAGE_SIZE")
MEMORY_SECONDS = 2.0


class Record(NamedTuple):
    """One measurement.

    Attributes:
        n_trials: trials of the study at that time.
        what: the call, or the process whose memory it is.
        value: milliseconds of the call, or MiB.
        cpu: CPU milliseconds of the call in this process; 0 for memory.
    """

    n_trials: int
    what: str
    value: float
    cpu: float


class Recorder:
    """Records the calls of this process, each without the other recorded calls within it.

    Attributes:
        n_trials: trials of the study, as far as this process knows.
    """

    def __init__(self, file: TextIO, process: str) -> None:
        """Write records to a file; those of the memory are named after the process."""
        self.n_trials = 0
        self._file = file
        self._process = process
        self._within: list[tuple[float, float]] = [(0.0, 0.0)]
        self._next_memory = 0.0
        self._main = threading.get_ident()

    def watch(
        self,
        owner: type,
        method: str,
        what: str,
        count: Callable[[Any], int] = lambda result: 0,
    ) -> None:
        """Record the calls of a method from now on.

        Args:
            owner: class of the method.
            method: its name.
            what: name of the records.
            count: the number of the study's trials, from the method's result; 0 if unknown.
        """
        original = getattr(owner, method)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._main:
                return original(*args, **kwargs)
            self._within.append((0.0, 0.0))
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                result = original(*args, **kwargs)
            finally:
                wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
                inner_wall, inner_cpu = self._within.pop()
                outer_wall, outer_cpu = self._within[-1]
                self._within[-1] = outer_wall + wall, outer_cpu + cpu
            self.n_trials = max(self.n_trials, count(result))
            self._write(what, 1000 * (wall - inner_wall), 1000 * (cpu - inner_cpu))
            if time.monotonic() >= self._next_memory:
                self._next_memory = time.monotonic() + MEMORY_SECONDS
                self._write(self._process, memory(), 0.0)
            return result

        setattr(owner, method, recorded)

    def _write(self, what: str, value: float, cpu: float) -> None:
        self._file.write(f"{self.n_trials},{what},{value:.4f},{cpu:.4f}\n")


def read_records(folder: Path) -> Iterator[Record]:
    """The records in all files of a folder."""
    for file in sorted(folder.iterdir()):
        for line in file.read_text().splitlines():
            n_trials, what, value, cpu = line.split(",")
            yield Record(int(n_trials), what, float(value), float(cpu))


def memory(pid: int | str = "self") -> float:
    """The current resident memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
