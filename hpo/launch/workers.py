"""Worker processes on this machine: their supervisor, their environment, and how they die.

A dead worker's trials would also come back when its leases expire. The process that started the
worker learns of its death at once.
"""

import logging
import platform
from collections.abc import Callable, Sequence
from functools import partial

from hpo.config.errors import HpoError
from hpo.files.store import LOG, ArtifactStore, trial_path
from hpo.storage.engine import Storage
from hpo.storage.leases import worker_key
from hpo.storage.ledger import RELEASED
from hpo.study.catalog import bury
from hpo.worker.quota import Quota
from hpo.worker.supervisor import Death, Slot, Supervisor, to_stderr

log = logging.getLogger(__name__)

_MAX_MESSAGE = 200
"""Maximum characters of a worker's last log line that the study keeps."""


def worker_environment(storage: Storage, store: ArtifactStore) -> dict[str, str]:
    """Return the environment variables that tell a worker its URLs.

    The URLs may hold passwords, and command lines are public, so they travel here.
    """
    return {"HPO_STORAGE": storage.url, "HPO_ARTIFACTS": store.url}


def create_supervisor(
    storage: Storage,
    store: ArtifactStore,
    slots: Sequence[Slot],
    arguments: Sequence[str],
    *,
    on_line: Callable[[str], None] = to_stderr,
    quota: Quota | None = None,
) -> Supervisor:
    """Return a supervisor for workers on this machine, not yet started.

    Args:
        storage: storage of the studies.
        store: artifact store of the studies.
        slots: a worker runs in each.
        arguments: arguments of each worker: names of studies, then options.
        on_line: called with each line that a worker logs.
        quota: number of trials that the workers may claim; unlimited by default.
    """
    return Supervisor(
        arguments=arguments,
        environment=worker_environment(storage, store),
        slots=slots,
        quota=quota or Quota(),
        on_line=on_line,
        on_death=partial(release_trials, storage, store),
    )


def release_trials(storage: Storage, store: ArtifactStore, death: Death) -> None:
    """Return a dead worker's trials to their studies, and append its last lines to their logs.

    A worker that its supervisor killed at a stop costs its trials no attempt. If the storage
    cannot be written, the trials come back when their leases expire.
    """
    key = worker_key(platform.node(), death.pid, death.nonce)
    how = RELEASED if death.was_stopped else death.how
    if death.lines and not death.was_stopped:
        how += f"; last log line: {death.lines[-1][:_MAX_MESSAGE]}"
    try:
        for study, attempts in bury(storage, key, how).items():
            for number, attempt in attempts.items():
                _append_to_log(store, trial_path(study.uuid, number, attempt, LOG), death)
                log.warning("%s: trial %d waits again (worker %s)", study.name, number, death.how)
    except HpoError as error:  # for example, the study was deleted meanwhile
        log.warning("%s", error)


def _append_to_log(store: ArtifactStore, path: str, death: Death) -> None:
    before = store.get(path, digest=None) if store.exists(path) else b""
    heading = f"worker {death.how}; its last log lines:"
    store.put(path, before + "\n".join([heading, *death.lines, ""]).encode())
