"""Places: which of a worker's jobs the trainer has, and which are claimed and wait for one.

Trials are claimed before there is a place for them, as many as are likely to end in a slice: the
next begins in the moment that one ends, and drawing its params delays no other. Where fewer end
than was likely, those that wait in vain are idle after a while.

A worker that dies costs all of its trials an attempt, whichever it died of. One that has few of
them left trains among few others, and with its last one alone: what kills its workers is failed for
it, and its neighbours are not. Meanwhile nobody else is in the worker's hands.
"""

import time
from collections import Counter, deque
from collections.abc import Collection

from hpo.training.checkpoint import Checkpoint
from hpo.training.trainer import Trainer
from hpo.worker.job import Ending, Job

AHEAD = 1.5
"""How many trials are claimed ahead for each that ended in a slice, on the average."""
MEMORY = 0.8
"""How much of that average is of earlier slices."""
FEW = 8
"""Of so many slots one is used beside a trial that may cost two workers yet."""
LARGE = 3
"""How often one trial finds no memory until it is taken for a large one."""
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
        self._n_refusals = Counter[int]()
        self._rooms: dict[int, int] = {}

    def n_wanted(self, jobs: Collection[Job]) -> int:
        """How many trials to claim beside those in hand; with one slot none ahead."""
        room = min([self.n, *(self._room(job) for job in jobs if not job.is_over)])
        n_ahead = round(AHEAD * self._n_ended) if room == self.n > 1 else 0
        return max(0, room + n_ahead - len(jobs))

    def take(self, job: Job, checkpoint: Checkpoint | None) -> None:
        """Give a job a place at the next `settle` that has one, to go on from a checkpoint."""
        self._ready.append((job, checkpoint))

    def leave(self, job: Job) -> None:
        """Take a job's place, or its turn, from it at the next `settle`."""
        self._leaving.append(job)

    def idle(self) -> list[Job]:
        """Jobs that have waited for a place too long, the last ones to have their turn first."""
        latest = time.monotonic() - IDLE_SECONDS
        waiting = [job for job, _ in self._ready]
        if waiting and self._room(waiting[0]) < self.n:
            del waiting[0]  # its turn comes as others end, none of whom is replaced meanwhile
        return [job for job in reversed(waiting) if job.kept_at <= latest]

    def settle(self, jobs: Collection[Job]) -> bool:
        """Let the trainer drop what is over, and take what is ready, between two slices.

        Args:
            jobs: those in hand; one that there is no place for, even later, ends WAITING.

        Returns:
            Whether none was refused.
        """
        for job in (*self._leaving, *(job for job in jobs if job.ending is not None)):
            if job.is_placed:
                self._trainer.evict(job.run.key)
        n_ended = sum(job.is_placed and job.is_over and not job.is_refused for job in self._leaving)
        self._n_ended = MEMORY * self._n_ended + (1 - MEMORY) * n_ended
        self._ready = deque(each for each in self._ready if each[0] not in self._leaving)
        self._leaving.clear()
        self._n_taken = n_training(jobs)
        n_next, room = self._next(jobs)
        if room < self.n and self._refuse_behind(max(1, n_next)):
            return False  # they go back before anything is trained that may cost them an attempt
        for _ in range(n_next):
            job, checkpoint = self._ready.popleft()
            job.is_placed = self._trainer.admit(job.run, checkpoint)
            if not job.is_placed:
                job.ending = Ending(state="WAITING")
                return False
            self._n_taken += 1
        return True

    def _next(self, jobs: Collection[Job]) -> tuple[int, int]:
        """How many of those that are ready have their turn, and for how many there is room."""
        room = min([self.n, *(self._room(job) for job in jobs if job.is_training)])
        for n_next, (job, _) in enumerate(self._ready):
            room = min(room, self._room(job))
            if self._n_taken + n_next >= room:
                return n_next, room
        return len(self._ready), room

    def _room(self, job: Job) -> int:
        """How many trials may be in training while this one is."""
        room = min(self.n, self._rooms.get(job.run.key, self.n))
        if job.n_chances > 2:
            return room
        return max(1, min(room, self.n // FEW)) if job.n_chances > 1 else 1

    def _refuse_behind(self, n: int) -> bool:
        """Let all but the first `n` of those that are ready go back; whether there are others."""
        for job, _ in list(self._ready)[n:]:
            job.ending = Ending(state="WAITING")
        return len(self._ready) > n

    def shrink(self, job: Job) -> str:
        """Make do with the slots of those that the trainer has, one of which found no memory.

        Args:
            job: the one. When it is turned away time and again it is that one that is large, and
                not the slots that are many: they stay, and it trains among half as many.

        Returns:
            What became of it, in a few words.
        """
        self._n_taken -= 1
        n, key = max(1, self._n_taken), job.run.key
        self._n_refusals[key] += 1
        if self._n_refusals[key] < LARGE:
            self.n = n
            return f"from now on {n} slots"
        self._rooms[key] = max(1, n // 2)
        return f"it waits until there are {self._rooms[key]} in training with it"


def n_training(jobs: Collection[Job]) -> int:
    """How many jobs the trainer has that go on."""
    return sum(job.is_training for job in jobs)
