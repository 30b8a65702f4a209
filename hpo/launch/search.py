"""A search on this machine: workers in its slots, watched until the study is finished.

Owns the waiting: it looks at the study, takes back what dead workers left, hands what it sees to an
observer, and stops the workers cleanly however it ends.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Protocol

from hpo.config.errors import ArtifactError, HpoError, StorageUnavailableError
from hpo.launch.burial import bury_worker
from hpo.lifecycle.housekeeping import sweep
from hpo.storage.trend import Trend
from hpo.study.artifacts import StudyArtifacts
from hpo.study.status import StudyStatus
from hpo.worker.supervisor import Slot, Supervisor, to_stderr

LOOK_SECONDS = 1.0


class WorkerPool(AbstractContextManager["WorkerPool"], Protocol):
    """Workers that somebody keeps alive: started by `with`, stopped at its end."""

    def n_alive(self) -> int:
        """Start dead workers again; how many are at work."""

    def exit_code(self) -> int:
        """The most serious of the workers' exit codes."""


def local_crew(
    artifacts: StudyArtifacts,
    places: Sequence[Slot],
    arguments: Sequence[str],
    on_line: Callable[[str], None] = to_stderr,
) -> Supervisor:
    """A study's workers on this machine, not yet started.

    Args:
        artifacts: of the study that they work for.
        places: the workers', one each.
        arguments: further ones of each worker.
        on_line: called with each line that they log.
    """
    study, store = artifacts.study, artifacts.store
    return Supervisor(
        arguments=[study.name, *arguments],
        # By the environment: command lines are public, passwords are not.
        environment={"HPO_STORAGE": study.storage.url, "HPO_ARTIFACTS": store.url},
        slots=places,
        on_line=on_line,
        on_death=partial(bury_worker, study.storage, store),
    )


def search(
    artifacts: StudyArtifacts, supervisor: WorkerPool, observe: Callable[[StudyStatus], None]
) -> int:
    """Run a pool's workers until none is left; sweep up what killed ones left behind.

    Args:
        artifacts: of the study that they work for.
        supervisor: the workers, not yet started.
        observe: called with the study's status once a second, and once at the end.

    Returns:
        0 when the study is finished, whatever became of single workers; otherwise their exit code.
        A KeyboardInterrupt passes through after they were stopped.
    """
    study = artifacts.study
    if study.progress().is_finished:
        return 0
    trend = Trend()
    try:
        with supervisor:
            while supervisor.n_alive():
                with suppress(StorageUnavailableError):  # the workers say so, and ride it out
                    study.reaper.reap()
                    observe(study.progress(trend))
                time.sleep(LOOK_SECONDS)
    finally:
        with suppress(StorageUnavailableError):
            observe(study.progress(trend))
    if not study.progress().is_finished:
        return supervisor.exit_code()
    with suppress(ArtifactError):  # `hpo gc` removes what stays
        sweep(artifacts)
    return 0


def search_locally(
    artifacts: StudyArtifacts,
    slots: Sequence[Slot],
    arguments: Sequence[str] = (),
    on_line: Callable[[str], None] = to_stderr,
) -> None:
    """Run worker processes on this machine until a study is finished.

    Args:
        artifacts: of the study that they work for.
        slots: one for each worker.
        arguments: further arguments of each worker.
        on_line: called with each line that they log.

    Raises:
        InputError: the storage does not accept enough connections.
        HpoError: the workers failed.
    """
    study = artifacts.study
    study.storage.check_room(len(slots))
    crew = local_crew(artifacts, slots, arguments, on_line)
    if code := search(artifacts, crew, lambda status: None):
        raise HpoError(f"the workers of study {study.name} ended with code {code}")
