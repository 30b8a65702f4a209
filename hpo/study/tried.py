"""Which points of a finite search space a study's trials have, whatever became of them.

A point is tried once: one that failed too is not drawn again, for what fails once mostly fails
again, and `hpo retry` is there for the rest. What is kept grows with the trials that end: a look
costs what is new.
"""

import random
from bisect import bisect_right
from collections.abc import Collection

from optuna.trial import FrozenTrial
from sqlalchemy.engine import Connection

from hpo.config.points import Points
from hpo.config.space import Params, SearchSpace
from hpo.storage.ledger import FIXED_PARAMS
from hpo.storage.reader import StudyReader
from hpo.storage.snapshot import Snapshot


class TriedPoints:
    """The points that trials of a study have, as of the last look.

    Attributes:
        points: of the study's space.
    """

    def __init__(self, points: Points, reader: StudyReader, study_id: int) -> None:
        """Look at nothing yet."""
        self.points = points
        self._reader = reader
        self._study_id = study_id
        self._log: list[FrozenTrial] = []
        self._n_read = 0
        self._ended: set[int] = set()
        self._open: set[int] = set()
        self._n_undrawn = 0

    @classmethod
    def of(cls, space: SearchSpace, reader: StudyReader, study_id: int) -> "TriedPoints | None":
        """Those of a study; None where its space is not finite."""
        points = Points.of(space)
        return None if points is None else cls(points, reader, study_id)

    def __contains__(self, number: int | None) -> bool:
        """Whether a trial has the point of that number."""
        return number in self._ended or number in self._open

    @property
    def n_left(self) -> int:
        """Points for which there is no trial, drawn or yet to be."""
        n_tried = len(self._ended) + len(self._open - self._ended)
        return max(0, self.points.n - n_tried - self._n_undrawn)

    def n_more(self, connection: Connection, n_trials: int, n: int) -> int:
        """How many of `n` further trials find a point of their own, beside those there are."""
        if n_trials + n <= self.points.n:
            return n
        self.refresh(connection)
        return min(n, self.n_left)

    def refresh(self, connection: Connection | None = None) -> None:
        """Take notice of the trials as a transaction sees them, or as the reader does."""
        if connection is None:
            self._update(self._reader.snapshot(self._study_id))
        else:
            self._update(self._reader.snapshot_within(self._study_id, connection))

    def pick(self, seed: int, taken: Collection[int]) -> Params | None:
        """One of the points that no trial has, at random; None where there is none.

        Args:
            seed: decides which.
            taken: further points that are not to be picked.
        """
        tried = sorted({*self._ended, *self._open, *taken})
        n_left = self.points.n - len(tried)
        if n_left <= 0:
            return None
        rank = random.Random(seed).randrange(n_left)
        n_before = bisect_right(range(len(tried)), rank, key=lambda place: tried[place] - place)
        return self.points.params(rank + n_before)

    def _update(self, snapshot: Snapshot) -> None:
        if snapshot.ended is not self._log:  # all were read anew
            self._log, self._n_read = snapshot.ended, 0
            self._ended.clear()
        new = map(self._number, self._log[self._n_read :])
        self._ended.update(number for number in new if number is not None)
        self._n_read = len(self._log)
        found = [self._number(trial) for trial in snapshot.open.values()]
        self._open = {number for number in found if number is not None}
        self._n_undrawn = found.count(None)

    def _number(self, trial: FrozenTrial) -> int | None:
        fixed = trial.system_attrs.get(FIXED_PARAMS, {})
        return self.points.number({**fixed, **trial.params})
