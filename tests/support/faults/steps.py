"""`python -m tests.support.faults.steps SOCKET STEP ARGUMENTS`: `hpo ARGUMENTS`, held at one step.

A step is a change that a fault may come before: an SQL statement, a commit, or a change of a file
or folder. At the chosen step the command sends "!" through the socket, and waits for an answer, so
that the other end can kill it or take its disk or database away. At its end it sends the number of
its steps.
"""

import os
import socket
import sys
import threading
from typing import Any

import sqlalchemy as sa

from hpo.cli import main
from hpo.storage import engine
from tests.support.databases import create_tables

FILE_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree")
CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
ELSEWHERE = ("/proc/self", "/dev/")


class Steps:
    """Counts the steps of this process."""

    def __init__(self, channel: socket.socket, chosen: int) -> None:
        """Stop at the chosen step, from 1; at none if it is 0."""
        self.n = 0
        self._channel, self._chosen = channel, chosen
        self._lock = threading.Lock()

    def count(self, *_: Any) -> None:
        """Count a step, and wait if it is the chosen one."""
        with self._lock:
            self.n += 1
            is_chosen = self.n == self._chosen
        if is_chosen:
            self._channel.sendall(b"!")
            self._channel.recv(1)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count a change of a file that Python is about to make."""
        if event in FILE_EVENTS:
            self.count()
        elif event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and flags & CHANGING and not path.startswith(ELSEWHERE):
                self.count()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        steps = Steps(channel, int(sys.argv[2]))
        engine._create_tables = create_tables  # step by step, where tests copy an empty storage
        sa.event.listen(sa.Engine, "before_cursor_execute", steps.count)
        sa.event.listen(sa.Engine, "commit", steps.count)
        sys.addaudithook(steps.hear)
        try:
            main(sys.argv[3:])
        finally:
            channel.sendall(f"{steps.n}".encode())
