"""Servers that several tests share."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

import pytest

Made = TypeVar("Made")


class Started(Generic[Made]):
    """A server that several tests use, or what was said when it did not start."""

    def __init__(self, name: str, made: Made | None, said: str) -> None:
        """Keep either."""
        self._name, self._made, self._said = name, made, said
        self._is_told = False

    def get(self) -> Made:
        """The server; without one, the first test fails with what was said, others are skipped."""
        if self._made is not None:
            return self._made
        if self._is_told:
            pytest.skip(f"{self._name} did not start, as the error of an earlier test says")
        self._is_told = True
        pytest.fail(f"{self._name} did not start: {self._said}", pytrace=False)


@contextmanager
def started(name: str, server: AbstractContextManager[Made]) -> Iterator[Started[Made]]:
    """Start a server for as long as it is needed."""
    made, said = None, ""
    with ExitStack() as running:
        try:
            made = running.enter_context(server)
        except Exception as error:
            said = f"{error!r} {getattr(error, 'stderr', None) or ''}"
        yield Started(name, made, said)
