"""The points of a finite search space that a study's trials have, in any state.

Each point is tried once. A point that failed is not drawn again, because it would probably fail
again; `hpo retry` runs it again by hand. A refresh costs only as much as is new.
"""

import random
from bisect import bisect_right
from collections.abc import Collection

from optuna.trial import FrozenTrial

from hpo.config.points import Points
from hpo.config.space import Params
from hpo.storage.engine import Connection
from hpo.storage.ledger import FIXED_PARAMS
from hpo.storage.reader import StudyReader
from hpo.storage.snapshot import EndedCursor


class TriedPoints:
    """The points that trials of a study have, as of the last refresh.

    Attributes:
        points: all points of the study's space.
    """

    def __init__(self, points: Points, reader: StudyReader, study_id: int) -> None:
        """Start empty."""
        self.points = points
        self._reader = reader
        self._study_id = study_id
        self._cursor = EndedCursor()
        self._ended: set[int] = set()
        self._open: set[int] = set()
        self._n_undrawn = 0

    def __contains__(self, number: int | None) -> bool:
        """Whether a trial has the point with this number."""
        return number in self._ended or number in self._open

    def n_more(self, connection: Connection, n_trials: int, n: int) -> int:
        """How many of `n` new trials, after `n_trials` existing ones, get an untried point."""
        if n_trials + n <= self.points.n:
            return n
        self.refresh(connection)
        n_left = self.points.n - len(self._ended | self._open) - self._n_undrawn
        return min(n, max(0, n_left))

    def refresh(self, connection: Connection | None = None) -> None:
        """Read the trials within a transaction or, without one, through the reader."""
        snapshot = self._reader.snapshot(self._study_id, connection)
        is_anew, new = self._cursor.advance(snapshot)
        if is_anew:
            self._ended.clear()
        self._ended.update(number for number in map(self._number, new) if number is not None)
        found = [self._number(trial) for trial in snapshot.open.values()]
        self._open = {number for number in found if number is not None}
        self._n_undrawn = found.count(None)

    def pick(self, seed: int, taken: Collection[int]) -> Params | None:
        """A random point that no trial has; None if there is none.

        Args:
            seed: seed of the choice.
            taken: further points to exclude.
        """
        tried = sorted({*self._ended, *self._open, *taken})
        n_left = self.points.n - len(tried)
        if n_left <= 0:
            return None
        rank = random.Random(seed).randrange(n_left)
        n_before = bisect_right(range(len(tried)), rank, key=lambda place: tried[place] - place)
        return self.points.params(rank + n_before)

    def _number(self, trial: FrozenTrial) -> int | None:
        fixed = trial.system_attrs.get(FIXED_PARAMS, {})
        return self.points.number({**fixed, **trial.params})
