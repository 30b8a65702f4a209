"""How a study's best value came about, kept from one look to the next.

A look reads what completed since the last one, and not what is there: whoever watches looks every
second, at ten thousand trials as well.
"""

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from hpo.config.trial import Direction
from hpo.storage.best import complete, loss_of, with_metrics
from hpo.storage.schema import TRIAL_VALUES, TRIALS
from hpo.storage.snapshot import read_revision

OVERLAP = timedelta(minutes=1)
"""A trial that ended so long ago may have been written since the last look."""


@dataclass(kw_only=True)
class Trend:
    """How the best value came about, kept from one look to the next.

    Attributes:
        best: the best value so far after each trial that completed, in the order of their ends.
        leader: the best trial's number, among equals the one with the lowest loss; None while
            there is none.
    """

    best: list[float] = field(default_factory=list)
    leader: int | None = None
    _ended: dict[int, tuple[datetime, float]] = field(default_factory=dict)
    _losses: dict[int, float] = field(default_factory=dict)
    _revision: int = 0
    _until: datetime | None = None

    def refresh(self, connection: Connection, study_id: int, direction: Direction) -> None:
        """Add what completed since the last look."""
        if (revision := read_revision(connection, study_id)) != self._revision:
            self._revision, self._until = revision, None
            self._ended.clear()
        columns = TRIALS.c.number, TRIALS.c.datetime_complete, TRIAL_VALUES.c.value
        query = with_metrics(complete(study_id, *columns))
        if self._until is not None:
            query = query.where(TRIALS.c.datetime_complete > self._until - OVERLAP)
        rows = connection.execute(query).all()
        found = {row.number: (row.datetime_complete, row.value) for row in rows}
        if found.keys() <= self._ended.keys() and len(self.best) == len(self._ended):
            return
        self._ended |= found
        self._losses |= {row.number: loss_of(row.metrics_json) for row in rows}
        self._until = max((moment for moment, _ in self._ended.values()), default=None)
        sign = direction.sign
        values = [sign * value for _, value in sorted(self._ended.values())]
        self.best = [sign * value for value in itertools.accumulate(values, min)]
        ranked = ((sign * value, self._losses[n], n) for n, (_, value) in self._ended.items())
        self.leader = min(ranked, default=(0.0, 0.0, None))[2]
