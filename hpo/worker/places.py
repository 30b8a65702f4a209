"""Places: which of a worker's jobs the trainer has, and which are claimed and wait for one.

Trials are claimed before there is a place for them, as many as are likely to end in a slice: the
next begins in the moment that one ends, and drawing its params delays no other.

Does not know: studies, what a trial is doing.
"""

from collections import deque
from collections.abc import Collection

from hpo.training import Checkpoint, Trainer
from hpo.worker.job import Ending, Job

AHEAD = 1.5
"""How many trials are claimed ahead for each that ended in a slice, on the average."""
MEMORY = 0.8
"""How much of that average is of earlier slices."""


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
        self._over: list[Job] = []
        self._n_over = 0.0

    def n_wanted(self, n_jobs: int) -> int:
        """How many trials to claim beside those in hand; with one slot none ahead."""
        n_ahead = round(AHEAD * self._n_over) if self.n > 1 else 0
        return max(0, self.n + n_ahead - n_jobs)

    def take(self, job: Job, checkpoint: Checkpoint | None) -> None:
        """Give a job a place at the next `settle` that has one, to go on from a checkpoint."""
        self._ready.append((job, checkpoint))

    def leave(self, job: Job) -> None:
        """Take a job's place, or its turn, from it at the next `settle`."""
        self._over.append(job)

    def settle(self, jobs: Collection[Job]) -> bool:
        """Let the trainer drop what is over, and take what is ready, between two slices.

        Args:
            jobs: those in hand; one that the trainer refuses ends WAITING.

        Returns:
            Whether it refused none.
        """
        for job in (*self._over, *(job for job in jobs if job.ending is not None)):
            if job.is_placed:
                self._trainer.evict(job.run.key)
        self._n_over = MEMORY * self._n_over + (1 - MEMORY) * len(self._over)
        self._ready = deque(each for each in self._ready if each[0] not in self._over)
        self._over.clear()
        n_free = self.n - n_training(jobs)
        for _ in range(min(n_free, len(self._ready))):
            job, checkpoint = self._ready.popleft()
            job.is_placed = self._trainer.admit(job.run, checkpoint)
            if not job.is_placed:
                job.ending = Ending(state="WAITING")
                return False
        return True

    def shrink(self, jobs: Collection[Job]) -> None:
        """Make do with as many slots as jobs have places now, the last having found none."""
        self.n = max(1, sum(job.is_placed and not job.is_waiting for job in jobs))


def n_training(jobs: Collection[Job]) -> int:
    """How many jobs the trainer has that go on."""
    return sum(job.is_training for job in jobs)
