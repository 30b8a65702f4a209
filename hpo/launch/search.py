"""A search on this machine: workers in its slots, watched until the study is finished.

Owns the waiting: it looks at the study, takes back what dead workers left, hands what it sees to an
observer, and stops the workers cleanly however it ends.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Protocol

from hpo.config.errors import ArtifactError, StorageUnavailableError
from hpo.files.store import ArtifactStore
from hpo.launch.burial import bury_worker
from hpo.lifecycle.housekeeping import sweep
from hpo.storage.best import OptimizationHistory
from hpo.study.status import StudyStatus
from hpo.study.study import Study
from hpo.worker.supervisor import Slot, Supervisor, to_stderr

LOOK_SECONDS = 1.0


class WorkerPool(AbstractContextManager["WorkerPool"], Protocol):
    """Workers that somebody keeps alive: started by `with`, stopped at its end."""

    def n_alive(self) -> int:
        """Start dead workers again; how many are at work."""

    def exit_code(self) -> int:
        """The most serious of the workers' exit codes."""


def local_crew(
    study: Study,
    store: ArtifactStore,
    places: Sequence[Slot],
    arguments: Sequence[str],
    on_line: Callable[[str], None] = to_stderr,
) -> Supervisor:
    """A study's workers on this machine, not yet started.

    Args:
        study: what they work for.
        store: where its weights are.
        places: the workers', one each.
        arguments: further ones of each worker.
        on_line: called with each line that they log.
    """
    return Supervisor(
        arguments=[study.name, *arguments],
        # By the environment: command lines are public, passwords are not.
        environment={"HPO_STORAGE": study.storage.url, "HPO_ARTIFACTS": store.url},
        slots=places,
        on_line=on_line,
        on_death=partial(bury_worker, study.storage, store),
    )


def search(
    study: Study,
    store: ArtifactStore,
    supervisor: WorkerPool,
    observe: Callable[[StudyStatus], None],
) -> int:
    """Run a pool's workers until none is left; sweep up what killed ones left behind.

    Args:
        study: what they work for.
        store: where its weights are.
        supervisor: the workers, not yet started.
        observe: called with the study's status once a second, and once at the end.

    Returns:
        0 when the study is finished, whatever became of single workers; otherwise their exit code.
        A KeyboardInterrupt passes through after they were stopped.
    """
    if study.progress().is_finished:
        return 0
    trend = OptimizationHistory()
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
        sweep(study, store)
    return 0
