"""The best values of a study's COMPLETE trials, as of the reader's snapshot."""

from bisect import insort

from optuna.trial import FrozenTrial, TrialState

from hpo.config.metrics import Direction
from hpo.storage.reader import StudyReader


class BestValues:
    """The values of a study's COMPLETE trials in order; an update costs only as much as is new."""

    def __init__(self, direction: Direction, reader: StudyReader, study_id: int) -> None:
        """Start empty."""
        self._direction = direction
        self._reader = reader
        self._study_id = study_id
        self._log: list[FrozenTrial] = []
        self._n_read = 0
        self._signed: list[float] = []

    def admit(self, value: float, n: int) -> bool:
        """Whether a value is better than one of the `n` best values."""
        self._update()
        best = self._signed[:n]
        return bool(best) and self._direction.sign * value < best[-1]

    def _update(self) -> None:
        ended = self._reader.snapshot(self._study_id).ended
        if ended is not self._log:  # all trials were read again
            self._log, self._n_read = ended, 0
            self._signed.clear()
        for trial in self._log[self._n_read :]:
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                insort(self._signed, self._direction.sign * trial.value)
        self._n_read = len(self._log)
