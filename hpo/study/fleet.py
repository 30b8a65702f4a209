"""One fleet for many studies: which of them a worker without a name serves, and in which order.

Those of higher priority come first; among equals the ones with the fewest trials under way, so that
each gets its share whoever asks and whenever it was created. What is asked again and again is two
statements over all studies together.
"""

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hpo.config.definition import Budget
from hpo.config.errors import StudyNotFoundError
from hpo.storage import attributes
from hpo.storage.engine import Storage
from hpo.storage.progress import TrialCounts, count_trials, read_attrs
from hpo.study.catalog import study_row
from hpo.study.budget import GIVEN, STANDING, Settings
from hpo.study.study import DEFINITION, FORMAT, MOVED, STORE, UUID, VERSION, Study

log = logging.getLogger(__name__)

PRIORITY = "hpo:priority"
"""System attribute of a study; 0 where there is none."""
KEYS = (DEFINITION, UUID, STORE, VERSION, FORMAT, MOVED, STANDING, GIVEN, PRIORITY)
FRESH_SECONDS = 0.2
"""For so long what a look found is good enough to share out trials by."""

MAX_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study with something to do.

    Attributes:
        priority: higher comes first.
        n_running: its trials under a live lease.
        n_left: trials that can be claimed, or could once a dead worker's lease is taken back.
    """

    study: Study
    priority: int
    n_running: int
    n_left: int


class Fleet:
    """The open studies of a storage whose artifacts are in one store."""

    def __init__(self, storage: Storage, store_id: str) -> None:
        """Look at nothing yet."""
        self._storage = storage
        self._store_id = store_id
        self._opened: dict[str, Study] = {}
        self._open_studies: list[OpenStudy] = []
        self._looked_at = 0.0
        self._is_waiting = False

    def studies(self) -> list[Study]:
        """Every study with something to do, each opened once, the first in line first."""
        with self._storage.read() as connection:
            rows = read_attrs(connection, KEYS)
            found = [study_row(self._storage, key, name, attrs) for key, name, attrs in rows]
            fitting = [r for r in found if r.obstacle is None and r.store_id == self._store_id]
            counts = count_trials(connection, [row.id for row in fitting])
        open_studies = []
        opened = {}
        for row in fitting:
            study = self._opened.get(str(row.uuid)) or Study(self._storage, row.id, row.attrs)
            opened[study.uuid] = study
            settings = Settings.from_attrs(row.attrs)
            budget, priority = settings.budget, row.attrs.get(PRIORITY, 0)
            work = counts.get(row.id)
            open_study = _open_study(study, budget, priority, work)
            if settings.standing != "open" or open_study is None or work is None:
                continue
            if not _is_spent(study, budget, work.n_trials):
                open_studies.append(open_study)
        self._opened = opened
        self._tell_of_waiting(open_studies, [row.name for row in found if row.obstacle is None])
        self._open_studies, self._looked_at = _in_line(open_studies), time.monotonic()
        return [open_study.study for open_study in self._open_studies]

    def _tell_of_waiting(self, open_studies: Sequence[OpenStudy], names: Sequence[str]) -> None:
        """Say once that there is nothing to do, and why where somebody may have meant otherwise."""
        if not open_studies and not self._is_waiting:
            own = {study.name for study in self._opened.values()}
            elsewhere = [name for name in names if name not in own]
            why = (
                f"; the artifacts of {_join_names(elsewhere)} are in another store"
                if elsewhere
                else ""
            )
            log.info("no open study has a trial to take up, waiting for one%s", why)
        self._is_waiting = not open_studies

    def shares(self, studies: Sequence[Study], n: int) -> list[tuple[Study, int]]:
        """How many of `n` trials to ask each of some studies for, in the order to ask."""
        if time.monotonic() - self._looked_at > FRESH_SECONDS:
            self.studies()
        return share_out([each for each in self._open_studies if each.study in studies], n)


def share_out(open_studies: Sequence[OpenStudy], n: int) -> list[tuple[Study, int]]:
    """Share `n` free slots out among studies, one after the other, to the first in line each time.

    Returns:
        Studies with how many trials to ask them for, in the order to ask; none without any.
    """
    wanted: Counter[Study] = Counter()
    for _ in range(n):
        free = [each for each in open_studies if wanted[each.study] < each.n_left]
        if not free:
            break
        first = min(free, key=lambda each: (-each.priority, each.n_running + wanted[each.study]))
        wanted[first.study] += 1
    return [(study, n_wanted) for study, n_wanted in wanted.items() if n_wanted]


def prioritize(study: Study, priority: int) -> None:
    """Set a study's priority; workers heed it when they next look for a trial."""
    study.storage.write(
        lambda connection: attributes.set_study(connection, study.id, PRIORITY, priority)
    )


def priorities(storage: Storage) -> dict[str, int]:
    """The priority of each study by name, where it was set."""
    with storage.read() as connection:
        return {
            name: at[PRIORITY] for _, name, at in read_attrs(connection, KEYS) if PRIORITY in at
        }


def _join_names(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more


def _in_line(open_studies: list[OpenStudy]) -> list[OpenStudy]:
    """The first in line first; equals in any order, lest all workers that look choose the same."""
    random.shuffle(open_studies)
    return sorted(open_studies, key=lambda each: (-each.priority, each.n_running))


def _open_study(
    study: Study, budget: Budget, priority: int, counts: TrialCounts | None
) -> OpenStudy | None:
    """A study as its trials tell; None where it was deleted, or none of them is left to run."""
    if counts is None:
        return None
    n_room = max(0, budget.n_trials - counts.n_trials)
    n_left = n_room + counts.n_waiting + counts.n_silent
    if not n_left and not counts.n_running:
        return None
    return OpenStudy(study=study, priority=priority, n_running=counts.n_running, n_left=n_left)


def _is_spent(study: Study, budget: Budget, n_trials: int) -> bool:
    """Whether a study that has trials left, or room for more, is finished all the same."""
    is_limited = budget.is_timed or budget.no_improvement is not None
    if not is_limited and n_trials < (study.n_points or math.inf):
        return False
    with suppress(StudyNotFoundError):  # deleted a moment ago
        return study.progress().is_finished
    return True
