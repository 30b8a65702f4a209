"""Places: which of a worker's jobs the trainer has, and which are claimed and wait for one.

Trials are claimed before there is a place for them, as many as are likely to end in a slice: the
next begins in the moment that one ends, and drawing its params delays no other. Where fewer end
than was likely, those that wait in vain are idle after a while.

Does not know: studies, what a trial is doing.
"""

import time
from collections import deque
from collections.abc import Collection

from hpo.training import Checkpoint, Trainer
from hpo.worker.job import Ending, Job

AHEAD = 1.5
"""How many trials are claimed ahead for each that ended in a slice, on the average."""
MEMORY = 0.8
"""How much of that average is of earlier slices."""
IDLE_SECONDS = 10.0
"""For so long a trial waits for a place; in that time the average has gone down."""


class Places:
    """The slots of a trainer.

    Attributes:
        n: how many there are.
    """

    def __init__(self, trainer: Trainer, n: int) -> None:
        """Fill `n` slots of a trainer."""
        self.n = n
        self._trainer = trainer
        self._ready: deque[tuple[Job, Checkpoint | None]] = deque()
        self._leaving: list[Job] = []
        self._n_taken = 0
        self._n_ended = 0.0

    def n_wanted(self, n_jobs: int) -> int:
        """How many trials to claim beside those in hand; with one slot none ahead."""
        n_ahead = round(AHEAD * self._n_ended) if self.n > 1 else 0
        return max(0, self.n + n_ahead - n_jobs)

    def take(self, job: Job, checkpoint: Checkpoint | None) -> None:
        """Give a job a place at the next `settle` that has one, to go on from a checkpoint."""
        self._ready.append((job, checkpoint))

    def leave(self, job: Job) -> None:
        """Take a job's place, or its turn, from it at the next `settle`."""
        self._leaving.append(job)

    def idle(self) -> list[Job]:
        """Jobs that have waited for a place too long, the last ones to have their turn first."""
        latest = time.monotonic() - IDLE_SECONDS
        return [job for job, _ in reversed(self._ready) if job.kept_at <= latest]

    def settle(self, jobs: Collection[Job]) -> bool:
        """Let the trainer drop what is over, and take what is ready, between two slices.

        Args:
            jobs: those in hand; one that the trainer refuses ends WAITING.

        Returns:
            Whether it refused none.
        """
        for job in (*self._leaving, *(job for job in jobs if job.ending is not None)):
            if job.is_placed:
                self._trainer.evict(job.run.key)
        n_ended = sum(job.is_placed and job.is_over and not job.is_refused for job in self._leaving)
        self._n_ended = MEMORY * self._n_ended + (1 - MEMORY) * n_ended
        self._ready = deque(each for each in self._ready if each[0] not in self._leaving)
        self._leaving.clear()
        self._n_taken = n_training(jobs)
        for _ in range(min(self.n - self._n_taken, len(self._ready))):
            job, checkpoint = self._ready.popleft()
            job.is_placed = self._trainer.admit(job.run, checkpoint)
            if not job.is_placed:
                job.ending = Ending(state="WAITING")
                return False
            self._n_taken += 1
        return True

    def shrink(self) -> None:
        """Make do with the slots of those that the trainer has, one of which found no memory."""
        self._n_taken -= 1
        self.n = max(1, self._n_taken)


def n_training(jobs: Collection[Job]) -> int:
    """How many jobs the trainer has that go on."""
    return sum(job.is_training for job in jobs)
