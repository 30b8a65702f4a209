"""How many trials one command's workers may claim together.

A pipe holds one byte for each claim that is left; whoever reads a byte may claim. The kernel hands
each byte to one reader, so the count is exact over processes without a coordinator (GNU make's
jobserver works so).
"""

import os
import select

from hpo.config.errors import InputError

MAX_QUOTA = 65_536  # what a pipe holds on Linux


class Quota:
    """A shared count of claims; without a limit, endless."""

    def __init__(self, pipe: tuple[int, int] | None = None) -> None:
        """Share the pipe (its reading and its writing end) of `limited`; None has no limit."""
        self.pipe = pipe

    @classmethod
    def limited(cls, n_trials: int) -> "Quota":
        """A fresh quota of `n_trials` claims.

        Raises:
            InputError: more than a pipe holds.
        """
        if not 0 < n_trials <= MAX_QUOTA:
            raise InputError(f"--n-trials must be from 1 to {MAX_QUOTA}, but got {n_trials}")
        quota = cls(os.pipe())
        quota.give_back(n_trials)
        return quota

    def take(self, n_trials: int = 1) -> int:
        """Take up to so many claims; how many there were."""
        if self.pipe is None:
            return n_trials
        reader, _ = self.pipe
        os.set_blocking(reader, False)  # between a look and a read another process may be first
        try:
            return len(os.read(reader, n_trials))
        except BlockingIOError:
            return 0

    def give_back(self, n_trials: int = 1) -> None:
        """Return claims that found no trial."""
        if self.pipe is not None:
            os.write(self.pipe[1], b"." * n_trials)

    def is_spent(self) -> bool:
        """Whether nothing is left to take."""
        return self.pipe is not None and not select.select([self.pipe[0]], [], [], 0)[0]
