"""The trainer's slots: which of a worker's jobs are in training and which are queued.

Trials are claimed ahead, about as many as usually end in a slice. When a trial ends, the next one
starts at once, and drawing its params delays no other trial. A trial that was claimed ahead and
found no free slot becomes idle.

When a worker dies, each of its trials loses an attempt, whichever trial was the cause. A trial with
few attempts left therefore trains beside few others, and with one attempt left it trains alone. A
trial that kills its workers then fails without its neighbors. Meanwhile the worker holds no other
trials.
"""

import time
from collections import Counter, deque
from collections.abc import Collection

from hpo.training.checkpoint import Checkpoint
from hpo.training.trainer import Trainer
from hpo.worker.job import Ending, Job

_CLAIMED_AHEAD = 1.5
"""Trials claimed ahead, as a multiple of the average number that end in a slice."""
_DECAY = 0.8
"""Weight of earlier slices in that exponential moving average."""
_SUSPECT_FACTOR = 8
"""A worker that holds a trial with two attempts left uses at most one slot in this many."""
_MAX_REFUSALS = 3
"""A trial refused this often for lack of memory is itself large."""
IDLE_SECONDS = 10.0
"""A trial queued for longer is idle. By then the moving average has gone down."""


class Slots:
    """The slots of a trainer.

    Attributes:
        n: number of slots.
    """

    def __init__(self, trainer: Trainer, n: int) -> None:
        """Manage `n` slots of a trainer."""
        self.n = n
        self._trainer = trainer
        self._queue: deque[tuple[Job, Checkpoint | None]] = deque()
        self._leaving: list[Job] = []
        self._n_used = 0
        self._mean_ended = 0.0
        self._n_refusals = Counter[int]()
        self._reduced: dict[int, int] = {}

    def n_wanted(self, jobs: Collection[Job]) -> int:
        """How many trials to claim besides `jobs`. A worker with one slot claims none ahead."""
        limit = min([self.n, *(self._limit(job) for job in jobs if not job.is_over)])
        n_ahead = round(_CLAIMED_AHEAD * self._mean_ended) if limit == self.n > 1 else 0
        return max(0, limit + n_ahead - len(jobs))

    def enqueue(self, job: Job, checkpoint: Checkpoint | None) -> None:
        """Queue a job for a slot. It starts, or resumes from its checkpoint, in `assign`."""
        self._queue.append((job, checkpoint))

    def free(self, job: Job) -> None:
        """Free a job's slot, or remove it from the queue, at the next `assign`."""
        self._leaving.append(job)

    def idle(self) -> list[Job]:
        """Jobs that have been queued for too long, the last of the queue first."""
        latest = time.monotonic() - IDLE_SECONDS
        waiting = [job for job, _ in self._queue]
        if waiting and self._limit(waiting[0]) < self.n:
            del waiting[0]  # it starts when others have ended, none of which is replaced
        return [job for job in reversed(waiting) if job.saved_at <= latest]

    def assign(self, jobs: Collection[Job]) -> bool:
        """Between two slices, free the slots of ended jobs and start queued ones.

        Args:
            jobs: all jobs of the worker. A job that cannot get a slot ends as WAITING.

        Returns:
            False if a job was refused.
        """
        for job in (*self._leaving, *(job for job in jobs if job.ending is not None)):
            if job.is_admitted:
                self._trainer.evict(job.run.key)
        n_ended = sum(j.is_admitted and j.is_over and not j.is_refused for j in self._leaving)
        self._mean_ended = _DECAY * self._mean_ended + (1 - _DECAY) * n_ended
        self._queue = deque(each for each in self._queue if each[0] not in self._leaving)
        self._leaving.clear()
        self._n_used = n_training(jobs)
        n_next, limit = self._next(jobs)
        if limit < self.n and self._refuse_behind(max(1, n_next)):
            return False  # they go back before training that may cost them an attempt
        for _ in range(n_next):
            job, checkpoint = self._queue.popleft()
            job.is_admitted = self._trainer.admit(job.run, checkpoint)
            if not job.is_admitted:
                job.ending = Ending(state="WAITING")
                return False
            self._n_used += 1
        return True

    def shrink(self, job: Job) -> str:
        """Reduce the slots after a job found no memory.

        Args:
            job: the refused job. If it was refused several times, the job itself is large: the
                slots stay, and the job trains beside half as many others.

        Returns:
            A short description of the new limit, for the log.
        """
        self._n_used -= 1
        n, key = max(1, self._n_used), job.run.key
        self._n_refusals[key] += 1
        if self._n_refusals[key] < _MAX_REFUSALS:
            self.n = n
            return f"continuing with {n} slots"
        self._reduced[key] = max(1, n // 2)
        return f"it now trains in at most {self._reduced[key]} slots together with others"

    def _next(self, jobs: Collection[Job]) -> tuple[int, int]:
        """How many queued jobs start now, and the limit on jobs in training."""
        limit = min([self.n, *(self._limit(job) for job in jobs if job.is_training)])
        for n_next, (job, _) in enumerate(self._queue):
            limit = min(limit, self._limit(job))
            if self._n_used + n_next >= limit:
                return n_next, limit
        return len(self._queue), limit

    def _limit(self, job: Job) -> int:
        """How many trials may be in training while this job is."""
        limit = min(self.n, self._reduced.get(job.run.key, self.n))
        if job.n_attempts_left > 2:
            return limit
        return max(1, min(limit, self.n // _SUSPECT_FACTOR)) if job.n_attempts_left > 1 else 1

    def _refuse_behind(self, n: int) -> bool:
        """Refuse all queued jobs but the first `n`; whether there were any."""
        for job, _ in list(self._queue)[n:]:
            job.ending = Ending(state="WAITING")
        return len(self._queue) > n


def n_training(jobs: Collection[Job]) -> int:
    """How many of the jobs are in training."""
    return sum(job.is_training for job in jobs)
