"""The reaper: takes the trials of dead workers back to their study.

A worker that died leaves leases that run out, or somebody knows at once that it is dead.
"""

import math
import time
from collections.abc import Callable

from sqlalchemy.engine import Connection

from hpo.config.errors import StudyNotFoundError
from hpo.storage import leases, ledger
from hpo.storage.engine import Storage
from hpo.storage.leases import Sighting

RAN_OUT = "lost: its lease ran out"


class Reaper:
    """Looks at the leases of one study."""

    def __init__(
        self, storage: Storage, study_id: int, max_attempts: Callable[[Connection], int]
    ) -> None:
        """Reap for a study whose trials may cost `max_attempts` workers each, as read then."""
        self._storage = storage
        self._study_id = study_id
        self._max_attempts = max_attempts
        self._ripe_at: dict[Sighting, float] = {}

    def reap(self) -> list[int]:
        """Take back the trials of workers that died.

        A lease is taken away at a look that finds it expired and its beat unchanged a third of a
        lease after another look did, or up to a whole one where clocks may be wrong: a worker that
        only lost its database for a while keeps it. A look that fails forgets those before it.

        Returns:
            Numbers of the trials that wait again, or were failed because they cost too many
            workers.
        """
        before, self._ripe_at = self._ripe_at, {}
        with self._storage.read() as connection:
            seen = leases.expired(connection, self._study_id)
        now = time.monotonic()
        ripe = [found for found in seen if now >= before.get(found, math.inf)]

        def write(connection: Connection) -> list[int]:
            return list(self._take_back(connection, ripe, RAN_OUT))

        numbers = self._storage.write(write) if ripe else []
        self._ripe_at = {found: before.get(found, now + found.wait_ms / 1000) for found in seen}
        return numbers

    def reap_patiently(self) -> list[int]:
        """Reap, waiting between the two looks as long as it takes; returns as `reap`."""
        numbers = self.reap()
        if self._ripe_at:
            time.sleep(max(0.0, max(self._ripe_at.values()) - time.monotonic()))
            numbers += self.reap()
        return numbers

    def bury(self, worker: str, how: str) -> dict[int, int]:
        """Take back at once the trials of a worker that is known to be dead.

        Args:
            worker: its key.
            how: it died, in a few words.

        Returns:
            The attempts that it was at, by the trials' numbers.
        """

        def write(connection: Connection) -> dict[int, int]:
            held = leases.held_by(connection, self._study_id, worker)
            return self._take_back(connection, held, how)

        return self._storage.write(write)

    def _take_back(self, connection: Connection, found: list[Sighting], how: str) -> dict[int, int]:
        """Attempts that ended so, by the numbers of the trials that could be taken back."""
        leases.tick(connection, self._study_id)
        try:
            n_max = self._max_attempts(connection)
        except StudyNotFoundError:  # deleted meanwhile, its leases with it
            return {}
        return {
            seen.number: ledger.give_back(connection, seen.trial_id, how, n_max)
            for seen in found
            if leases.is_still(connection, seen)
        }
