"""Quota: how many trials the workers of one command may claim together.

A pipe holds one byte for each claim that is left, and a worker reads a byte to claim a trial. The
kernel gives each byte to one reader, so the count is exact across processes without a coordinator.
GNU make's jobserver uses the same protocol.
"""

import os
import select
from collections.abc import Sequence

from hpo.config.errors import InputError

MAX_QUOTA = 65_536  # capacity of a pipe on Linux


class Quota:
    """A count of claims shared by processes; unlimited without a pipe."""

    def __init__(self, pipe: Sequence[int] | None = None) -> None:
        """Share the pipe of a limited quota: its read end and its write end."""
        self.pipe = pipe

    @classmethod
    def limited(cls, n_trials: int) -> "Quota":
        """Create a quota of `n_trials` claims.

        Raises:
            InputError: the number exceeds the capacity of a pipe.
        """
        if not 0 < n_trials <= MAX_QUOTA:
            raise InputError(f"--n-trials must be from 1 to {MAX_QUOTA}, but got {n_trials}")
        quota = cls(os.pipe())
        quota.give_back(n_trials)
        return quota

    def take(self, n_trials: int = 1) -> int:
        """Take up to `n_trials` claims; returns how many were left to take."""
        if self.pipe is None:
            return n_trials
        reader, _ = self.pipe
        os.set_blocking(reader, False)  # another process may empty the pipe at any moment
        try:
            return len(os.read(reader, n_trials))
        except BlockingIOError:
            return 0

    def give_back(self, n_trials: int = 1) -> None:
        """Return claims for which no trial was started."""
        if self.pipe is not None:
            os.write(self.pipe[1], b"." * n_trials)

    def is_spent(self) -> bool:
        """Whether no claims are left."""
        return self.pipe is not None and not select.select([self.pipe[0]], [], [], 0)[0]
