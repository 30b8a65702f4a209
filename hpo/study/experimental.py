"""Optuna's experimental classes, created without their warning."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from optuna.exceptions import ExperimentalWarning

_LOCK = Lock()


@contextmanager
def ignore_experimental() -> Iterator[None]:
    """Ignore Optuna's ExperimentalWarning.

    `catch_warnings` changes the filters of all threads, so one thread at a time uses it.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
