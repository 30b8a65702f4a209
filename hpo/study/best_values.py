"""The best values of a study's COMPLETE trials, as of the reader's snapshot."""

from bisect import insort

from optuna.trial import TrialState

from hpo.config.metrics import Direction
from hpo.storage.reader import StudyReader
from hpo.storage.snapshot import EndedCursor


class BestValues:
    """The values of a study's COMPLETE trials in order; an update costs only as much as is new."""

    def __init__(self, direction: Direction, reader: StudyReader, study_id: int) -> None:
        """Start empty."""
        self._direction = direction
        self._reader = reader
        self._study_id = study_id
        self._cursor = EndedCursor()
        self._signed: list[float] = []

    def admit(self, value: float, n: int) -> bool:
        """Whether a value is better than one of the `n` best values."""
        self._update()
        best = self._signed[:n]
        return bool(best) and self._direction.sign * value < best[-1]

    def _update(self) -> None:
        is_anew, new = self._cursor.advance(self._reader.snapshot(self._study_id))
        if is_anew:
            self._signed.clear()
        for trial in new:
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                insort(self._signed, self._direction.sign * trial.value)
