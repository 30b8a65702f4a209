"""Studies that a worker leaves alone because their rows are damaged."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.config.errors import DamagedStudyError
from hpo.study.study import Study

log = logging.getLogger(__name__)


class DamagedStudies:
    """The damaged studies that a worker met. It works for the others, until it ends."""

    def __init__(self) -> None:
        """Start with none."""
        self._errors: dict[str, DamagedStudyError] = {}

    def __contains__(self, study: Study) -> bool:
        """Whether to leave a study alone."""
        return study.uuid in self._errors

    @contextmanager
    def set_aside(self, study: Study) -> Iterator[None]:
        """Leave a study alone from now on if its damage makes the block fail."""
        try:
            yield
        except DamagedStudyError as error:
            if study not in self:
                log.error("%s", error)
            self._errors[study.uuid] = error

    def raise_first(self) -> None:
        """Raise the first damage, if there was any.

        Raises:
            DamagedStudyError: a study is damaged.
        """
        for error in self._errors.values():
            raise error
