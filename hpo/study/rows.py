"""Access to the rows of one study, which reports damaged rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hpo.storage.engine import Connection, Storage
from hpo.study.damage import reporting_damage

Result = TypeVar("Result")


class StudyRows:
    """The rows of a study.

    Attributes:
        storage: storage with the rows.
        id: id of the study in its storage.
    """

    def __init__(self, storage: Storage, study_id: int) -> None:
        """Bind to a study; nothing is read."""
        self.storage = storage
        self.id = study_id

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run some work in one write transaction, as `Storage.write`; return its result.

        Raises:
            DamagedStudyError: the work failed, and the study's rows are damaged.
        """
        with reporting_damage(self.storage, self.id):
            return self.storage.write(work)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading that waits for no writer, as `Storage.read`.

        Raises:
            DamagedStudyError: the reading failed, and the study's rows are damaged.
        """
        with reporting_damage(self.storage, self.id), self.storage.read() as connection:
            yield connection
