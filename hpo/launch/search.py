"""Search on this machine: run worker processes until the study is finished."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from hpo.config.errors import ArtifactError, HpoError, StorageUnavailableError
from hpo.launch.workers import create_supervisor
from hpo.lifecycle.housekeeping import sweep
from hpo.storage.best import OptimizationHistory
from hpo.study.artifacts import StudyArtifacts
from hpo.study.status import StudyStatus
from hpo.worker.supervisor import Slot, to_stderr

_POLL_SECONDS = 1.0


class WorkerPool(AbstractContextManager["WorkerPool"], Protocol):
    """A pool of workers. A `with` block starts them, and stops them at its end."""

    def n_alive(self) -> int:
        """Restart dead workers, and return how many are at work."""

    def exit_code(self) -> int:
        """Return the most serious of the workers' exit codes."""


def search_locally(
    artifacts: StudyArtifacts,
    slots: Sequence[Slot],
    arguments: Sequence[str] = (),
    on_line: Callable[[str], None] = to_stderr,
) -> None:
    """Search a study with worker processes on this machine until it is finished.

    Args:
        artifacts: of the study to search.
        slots: a worker runs in each.
        arguments: options of each worker.
        on_line: called with each line that a worker logs.

    Raises:
        InputError: the storage has too few connections for the workers.
        HpoError: the workers failed.
    """
    study = artifacts.study
    study.storage.check_room(len(slots))
    workers = create_supervisor(
        study.storage, artifacts.store, slots, [study.name, *arguments], on_line=on_line
    )
    if code := search(artifacts, workers):
        raise HpoError(f"the workers of study {study.name} ended with code {code}")


def search(
    artifacts: StudyArtifacts,
    pool: WorkerPool,
    observe: Callable[[StudyStatus], None] = lambda status: None,
) -> int:
    """Run a pool of workers until none is left, and delete files that killed workers left behind.

    Args:
        artifacts: of the study to search.
        pool: the workers, not yet started.
        observe: called with the study's status once a second, and once at the end.

    Returns:
        0 if the study is finished, even if some workers failed; otherwise the pool's exit code.

    Raises:
        KeyboardInterrupt: after the workers were stopped.
    """
    study = artifacts.study
    if study.progress().is_finished:
        return 0
    trend = OptimizationHistory()
    try:
        with pool:
            while pool.n_alive():
                with suppress(StorageUnavailableError):  # the workers log it and retry
                    study.reaper.reap()
                    observe(study.progress(trend))
                time.sleep(_POLL_SECONDS)
    finally:
        with suppress(StorageUnavailableError):
            observe(study.progress(trend))
    if not study.progress().is_finished:
        return pool.exit_code()
    with suppress(ArtifactError):  # `hpo gc` deletes what remains
        sweep(artifacts)
    return 0
