"""The studies that a worker without named studies serves, and in which order.

Studies of higher priority come first, and among equals those with the fewest running trials, so
that each gets its share. The queries that workers repeat are two statements for all studies.
"""

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.config.errors import DamagedStudyError, StudyNotFoundError
from hpo.config.parsing import format_list
from hpo.storage.engine import Storage
from hpo.storage.progress import count_trials
from hpo.study.row import StudyRow, read_rows
from hpo.study.study import Study

_log = logging.getLogger(__name__)

_FRESH_SECONDS = 0.2
"""How long the counts of trials may be used to share out trials."""

_MAX_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that has trials left to run.

    Attributes:
        priority: studies of higher priority come first.
        n_running: number of trials under a live lease.
        n_left: number of trials that can be claimed now or after the reaper took them back.
    """

    study: Study
    priority: int
    n_running: int
    n_left: int


class Fleet:
    """The open studies of a storage whose artifacts are in the same store."""

    def __init__(self, storage: Storage, store_id: str) -> None:
        """Start without reading the storage."""
        self._storage = storage
        self._store_id = store_id
        self._opened: dict[str, Study] = {}
        self._open_studies: list[OpenStudy] = []
        self._counted_at = 0.0
        self._is_waiting = False
        self._logged: set[str] = set()

    def studies(self) -> list[Study]:
        """Every study with trials left to run, in the order to serve them, each opened once."""
        with self._storage.read() as connection:
            rows = read_rows(connection, self._storage.safe_url)
            openable = [row for row in rows if row.obstacle is None]
            for row in rows:
                if isinstance(row.obstacle, DamagedStudyError):
                    self._log_damage(row.obstacle)
            fitting = [row for row in openable if row.artifact_store_id == self._store_id]
            counts = count_trials(connection, [row.id for row in fitting])
        opened = [self._opened.get(str(row.uuid)) or Study(self._storage, row) for row in fitting]
        open_studies = []
        for row, study in zip(fitting, opened, strict=True):
            work = counts.get(row.id)  # None if the study was just deleted
            if row.standing != "open" or work is None:
                continue
            n_room = max(0, row.budget.n_trials - work.n_trials)
            n_left = n_room + work.n_waiting + work.n_silent
            if (n_left or work.n_running) and not self._is_spent(study, row, work.n_trials):
                about = {"priority": row.priority, "n_running": work.n_running, "n_left": n_left}
                open_studies.append(OpenStudy(study=study, **about))
        self._opened = {study.uuid: study for study in opened}
        self._log_waiting(open_studies, [row.name for row in openable])
        random.shuffle(open_studies)  # so that workers choose different ones among equals
        open_studies.sort(key=lambda each: (-each.priority, each.n_running))
        self._open_studies, self._counted_at = open_studies, time.monotonic()
        return [each.study for each in open_studies]

    def _log_waiting(self, open_studies: Sequence[OpenStudy], names: Sequence[str]) -> None:
        """Log once that there is nothing to do, and which studies need another artifact store."""
        if not open_studies and not self._is_waiting:
            own = {study.name for study in self._opened.values()}
            elsewhere = [name for name in names if name not in own]
            listed = format_list(elsewhere, _MAX_SHOWN)
            why = f"; the artifacts of {listed} are in another store" if elsewhere else ""
            _log.info("no open study has a trial to run, waiting for one%s", why)
        self._is_waiting = not open_studies

    def _is_spent(self, study: Study, row: StudyRow, n_trials: int) -> bool:
        """Whether a study with trials left is finished for another reason, such as time."""
        is_limited = row.budget.is_timed or row.budget.no_improvement is not None
        if not is_limited and n_trials < (study.n_points or math.inf):
            return False
        try:
            return study.progress().is_finished
        except StudyNotFoundError:  # just deleted
            return True
        except DamagedStudyError as error:
            self._log_damage(error)
            return True

    def _log_damage(self, error: DamagedStudyError) -> None:
        """Log once why a study is left alone."""
        if str(error) not in self._logged:
            self._logged.add(str(error))
            _log.error("%s", error)

    def shares(self, studies: Sequence[Study], n: int) -> list[tuple[Study, int]]:
        """How many of `n` trials to claim from each of some studies, in the order to claim."""
        if time.monotonic() - self._counted_at > _FRESH_SECONDS:
            self.studies()
        return share_out([each for each in self._open_studies if each.study in studies], n)


def share_out(open_studies: Sequence[OpenStudy], n: int) -> list[tuple[Study, int]]:
    """Share out `n` free slots among studies, each slot to the study that then comes first.

    Returns:
        Studies and the number of trials to claim from each, in the order to claim.
    """
    wanted: Counter[Study] = Counter()
    for _ in range(n):
        free = [each for each in open_studies if wanted[each.study] < each.n_left]
        if not free:
            break
        first = min(free, key=lambda each: (-each.priority, each.n_running + wanted[each.study]))
        wanted[first.study] += 1
    return list(wanted.items())
