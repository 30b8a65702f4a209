"""The reaper: takes the trials of dead workers back to their study.

The leases of a dead worker expire, or its supervisor reports at once that it died.
"""

import math
import time
from collections.abc import Callable

from hpo.config.errors import StudyNotFoundError
from hpo.storage import leases, ledger
from hpo.storage.engine import Connection
from hpo.storage.leases import LeaseRow
from hpo.study.rows import StudyRows

_EXPIRED = "lost: its lease ran out"


class Reaper:
    """Watches the leases of one study."""

    def __init__(self, rows: StudyRows, max_attempts: Callable[[Connection], int]) -> None:
        """Watch a study; `max_attempts` reads after how many lost workers a trial fails."""
        self._rows = rows
        self._max_attempts = max_attempts
        self._ripe_at: dict[LeaseRow, float] = {}

    def reap(self) -> list[int]:
        """Take back the trials of dead workers.

        A lease is taken away if two checks find it expired with the same beat. The checks are at
        least a third of a lease apart, or up to a whole lease if clocks may be wrong, so that a
        worker that lost its database for a while keeps it. After a failed check, both start over.

        Returns:
            Numbers of the trials that wait again or failed.
        """
        before, self._ripe_at = self._ripe_at, {}
        with self._rows.read() as connection:
            seen = leases.expired(connection, self._rows.id)
        now = time.monotonic()
        ripe = [row for row in seen if now >= before.get(row, math.inf)]

        def write(connection: Connection) -> list[int]:
            return list(self._take_back(connection, ripe, _EXPIRED))

        numbers = self._rows.write(write) if ripe else []
        self._ripe_at = {row: before.get(row, now + row.wait_ms / 1000) for row in seen}
        return numbers

    def reap_patiently(self) -> list[int]:
        """Reap with both checks, sleeping in between; returns as `reap`."""
        numbers = self.reap()
        if self._ripe_at:
            time.sleep(max(0.0, max(self._ripe_at.values()) - time.monotonic()))
            numbers += self.reap()
        return numbers

    def bury(self, worker: str, how: str) -> dict[int, int]:
        """Take back at once the trials of a worker that is known to be dead.

        Args:
            worker: key of the worker.
            how: how it died, in a few words.

        Returns:
            The numbers of the attempts that ended, by trial number.
        """

        def write(connection: Connection) -> dict[int, int]:
            held = leases.held_by(connection, self._rows.id, worker)
            return self._take_back(connection, held, how)

        return self._rows.write(write)

    def _take_back(self, connection: Connection, found: list[LeaseRow], how: str) -> dict[int, int]:
        """Give back the trials whose leases are unchanged; returns as `bury`."""
        leases.tick(connection, self._rows.id)
        try:
            n_max = self._max_attempts(connection)
        except StudyNotFoundError:  # deleted meanwhile together with its leases
            return {}
        return {
            row.number: ledger.give_back(connection, row.trial_id, how, n_max)
            for row in found
            if leases.is_still(connection, row)
        }
